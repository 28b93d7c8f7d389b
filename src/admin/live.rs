//! Server-sent events: all that the page shows, once a second, computed once
//! however many look on, and not at all while nobody does.
//!
//! A stream ends after a while, and with the cache: a server that ends gracefully waits for
//! its answers, and would wait for who leaves a page open. The page asks anew.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, select};
use futures_util::stream::unfold;
use http::{HeaderValue, header};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::figures::Figures;
use crate::cache::Cache;

const EVERY: Duration = Duration::from_secs(1);
/// Orchestrators wait for longer before they kill.
const LONGEST: Duration = Duration::from_secs(10);
/// Who is away for longer than this begins anew.
const AWAY: Duration = Duration::from_secs(5);

pub(super) struct Live {
    cache: Cache,
    latest: watch::Sender<Bytes>,
    /// Who computes them, while somebody looks on.
    work: Mutex<Option<JoinHandle<()>>>,
    /// What the last one remembered, and when he went.
    left: Mutex<Option<(Figures, Instant)>>,
}

impl Live {
    pub(super) fn new(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            latest: watch::Sender::new(Bytes::new()),
            work: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// One who looks on. The first begins the work, which ends with the last.
    fn watch(self: &Arc<Self>) -> watch::Receiver<Bytes> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let viewer = self.latest.subscribe();
        if work.as_ref().is_none_or(JoinHandle::is_finished) {
            *work = Some(tokio::spawn(compute(Arc::downgrade(self))));
        }
        viewer
    }

    /// Whether nobody looks on: then nobody computes any more.
    fn is_deserted(&self) -> bool {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let deserted = self.latest.receiver_count() == 0;
        if deserted {
            *work = None;
        }
        deserted
    }
}

impl Live {
    fn leave(&self, figures: Figures) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = Some((figures, Instant::now()));
    }

    /// What is remembered by who comes back at once, as a page whose stream has ended does.
    fn resume(&self) -> Figures {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = |(_, at): &(Figures, Instant)| at.elapsed() < AWAY;
        left.take()
            .filter(soon)
            .map(|(figures, _)| figures)
            .unwrap_or_default()
    }
}

async fn compute(live: Weak<Live>) {
    let mut next = tokio::time::interval(EVERY);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut figures = live
        .upgrade()
        .map_or_else(Figures::default, |live| live.resume());
    loop {
        next.tick().await;
        let Some(live) = live.upgrade() else {
            return;
        };
        if live.is_deserted() {
            return live.leave(figures);
        }
        let message = figures.message(&live.cache).await;
        live.latest.send_replace(message);
    }
}

/// When a stream ends.
fn end(cache: &Cache) -> BoxFuture<'static, ()> {
    let engine = Arc::clone(cache.engine());
    let ends = async move { engine.tasks.ends().await };
    select(Box::pin(ends), Box::pin(tokio::time::sleep(LONGEST)))
        .map(drop)
        .boxed()
}

/// What one who looks on gets.
pub(super) fn events(live: &Arc<Live>) -> Response {
    let messages = unfold(live.watch(), |mut viewer| async {
        viewer.changed().await.ok()?;
        let message = viewer.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(message), viewer))
    });
    let mut response = Body::from_stream(messages.take_until(end(&live.cache))).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    // proxies such as nginx would hold it back
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_at_once_goes_on_with_what_was_remembered() {
        let live = Live::new(&Cache::builder().memory(1 << 20).build().unwrap());
        for (away, known) in [(AWAY / 2, true), (AWAY * 2, false)] {
            let mut figures = Figures::default();
            let first = figures.message(&live.cache).await;
            assert!(!first.is_empty() && figures.has_looked());
            live.leave(figures);
            tokio::time::advance(away).await;
            assert_eq!(live.resume().has_looked(), known, "{away:?}");
        }
    }
}
