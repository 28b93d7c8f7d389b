//! A process' way to the stand-in: every call takes its time, and may fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::server::{Lapse, Removing, Sent, Server};
use super::world::{DAY, World};
use crate::clock::millis;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Change, News, Snapshot, Stamp};
use crate::invalidate::Pattern;
use crate::key::Key;
use crate::store::fence::{Beat, Fence, Heard, Rows, Told};
use crate::store::{Record, Removal, Removed, Store, StoreFuture};

/// An operation may take so long.
pub(super) const TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Link {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
}

pub(super) fn error<T>(kind: StoreErrorKind) -> Result<T, StoreError> {
    Err(StoreError::new(kind, "the stand-in"))
}

impl Link {
    /// A command of the clock, for which a primary needs its replicas' word.
    async fn on_clock<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Server, u64, u64) -> T + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let world = Arc::clone(&self.world);
        let fresh = world.fresh();
        self.call(true, move |server, now| work(server, now, fresh))
            .await
    }

    async fn call<T: Send + 'static>(
        &self,
        waits: bool,
        work: impl Fn(&mut Server, u64) -> T + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let Self { world, host } = self.clone();
        world.runs(host).await;
        let (server, trip) = (world.server_of(host), world.trip());
        let (give, answer) = oneshot::channel();
        tokio::spawn(async move {
            sleep(Duration::from_millis(trip.there)).await;
            if world.is_cut(host) {
                if world.draw(|chance| chance.once_in(2)) {
                    sleep(TIMEOUT).await;
                }
                return;
            }
            let mut done = world.apply(server, waits, &work);
            if let Some(later) = trip.twice {
                sleep(Duration::from_millis(later)).await;
                done = world.apply(server, waits, &work);
            }
            sleep(Duration::from_millis(trip.back)).await;
            if world.is_cut(host) || trip.lost {
                sleep(TIMEOUT).await; // nothing comes
            } else if let Some(done) = done {
                let _ = give.send(done);
            }
        });
        let heard = timeout(TIMEOUT, answer).await;
        self.world.runs(self.host).await;
        match heard {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => error(StoreErrorKind::Unavailable),
            Err(_) => error(StoreErrorKind::Timeout),
        }
    }
}

impl Fence for Link {
    fn advance<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, (News, Rows)> {
        Box::pin(async move {
            let before = match self.world.lapse(Lapse::TwoSteps) {
                true => Some(self.rows(None).await?),
                false => None,
            };
            let changes = changes.to_vec();
            let done = self.on_clock(move |on, now, fresh| on.advance(fresh, now, &changes));
            let (news, rows) = done.await?;
            let seen: Vec<_> = rows.rows.iter().map(|row| (row.seen, row.beats)).collect();
            self.world
                .log(|| format!("{} advances: {:?} {seen:?}", self.host, news.stamp));
            Ok((news, before.unwrap_or(rows)))
        })
    }

    fn beat<'a>(&'a self, beat: Beat<'a>) -> StoreFuture<'a, Heard> {
        let sent = Sent {
            who: beat.who.to_owned(),
            seen: beat.seen,
            ended: beat.ended,
            ripe: beat.ripe,
            lease: beat.lease,
        };
        Box::pin(async move {
            let seen = sent.seen;
            let heard = self.on_clock(move |on, now, fresh| on.beat(fresh, now, &sent));
            let heard = heard.await.map(|heard| Heard {
                time: DAY + heard.time,
                ..heard
            });
            self.world
                .log(|| format!("{} beats: {seen:?} {heard:?}", self.host));
            heard
        })
    }

    fn switch(&self, off: bool) -> StoreFuture<'_, ()> {
        Box::pin(self.on_clock(move |on, _, fresh| on.switch(fresh, off)))
    }

    fn snapshot(&self) -> StoreFuture<'_, Snapshot> {
        Box::pin(self.on_clock(|on, _, fresh| on.snapshot(fresh)))
    }

    fn rows(&self, ripe: Option<Stamp>) -> StoreFuture<'_, Rows> {
        Box::pin(self.on_clock(move |on, now, fresh| on.rows(fresh, now, ripe)))
    }

    fn leave<'a>(&'a self, who: &'a str, beats: Option<u64>) -> StoreFuture<'a, ()> {
        let who = who.to_owned();
        self.world
            .log(|| format!("{} takes a row away {beats:?}", self.host));
        Box::pin(self.on_clock(move |on, _, fresh| on.leave(fresh, &who, beats)))
    }

    fn take_back<'a>(&'a self, key: &'a Key, frame: &'a [u8]) -> StoreFuture<'a, ()> {
        let (key, frame) = (key.as_str().to_owned(), frame.to_vec());
        Box::pin(self.call(false, move |on, _| on.take_back(&key, &frame)))
    }

    fn listen(&self, _entries: bool) -> StoreFuture<'_, BoxStream<'static, Told>> {
        Box::pin(async move {
            self.world.runs(self.host).await;
            sleep(Duration::from_millis(self.world.trip().there)).await;
            let (ear, heard) = mpsc::unbounded_channel();
            match self.world.hear(self.host, ear) {
                false => error(StoreErrorKind::Unavailable),
                true => Ok(unfold(heard, |mut heard| async move {
                    Some((Told::Message(heard.recv().await?), heard))
                })
                .boxed()),
            }
        })
    }
}

impl Store for Link {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        let key = key.as_str().to_owned();
        Box::pin(self.call(false, move |on, now| on.get(now, &key)))
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        let (key, frame) = (record.key.as_str().to_owned(), record.frame);
        let (ttl, groups) = (millis(record.ttl), record.groups.to_vec());
        Box::pin(self.call(false, move |on, now| {
            on.put(now, &key, &frame, ttl, &groups)
        }))
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let removing = match removal {
            Removal::Key(key) => Removing::Key(key.as_str().to_owned()),
            Removal::Group(group) => Removing::Group(group),
            Removal::Pattern(pattern) => Removing::Pattern(Pattern::trusted(pattern.to_owned())),
        };
        let done = self.call(false, move |on, _| Removed::from(on.remove(&removing)));
        Box::pin(done)
    }
}
