//! The right to fill a key, among the instances that share the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use http::HeaderMap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::error::Elapsed;

use super::engine::Engine;
use super::found::{Found, Missed, Stale};
use super::read::Family;
use crate::entry::Entry;
use crate::error::{StoreError, StoreErrorKind};
use crate::outcome::{Cause, Tier};
use crate::policy::freshness::Use;
use crate::question::Question;
use crate::random::token;
use crate::store::{Granted, Lease, Seen, Store};

/// A lease is for so long, and is renewed when a third of that has gone.
const TTL: Duration = Duration::from_secs(3);
const RENEWAL: Duration = Duration::from_secs(1);
/// How long nobody waits for answers that cannot be shared.
const ALONE: Duration = Duration::from_secs(120);

/// What comes of asking for the right to fill.
#[allow(clippy::large_enum_variant, reason = "never stored, only handed on")]
pub(crate) enum Right {
    /// Fill: nobody else does, or nobody can tell.
    Fill(Option<Leased>),
    /// Another instance has filled it meanwhile.
    Found(Found<Box<Entry>>),
    /// Another instance is at it, and it takes too long; or nobody can share the
    /// answer: run the handler, alone.
    Alone,
}

/// Who asks for the right to fill.
pub(crate) struct AsksToFill {
    /// Why it found nothing.
    cause: Cause,
    /// What it saw in the store.
    seen: Seen,
    /// The number of the shared clock below which a holder gives way: it began too early.
    least: u64,
    /// It does not wait for the holder.
    pub(crate) at_once: bool,
}

impl AsksToFill {
    pub(crate) fn new(cause: Cause, seen: Seen, least: u64) -> Self {
        Self {
            cause,
            seen,
            least,
            at_once: false,
        }
    }
}

/// A lease that is held, renewed and given back.
pub(crate) struct Leased {
    engine: Arc<Engine>,
    lease: Lease,
    runtime: Handle,
    renewal: AbortHandle,
    /// It is not renewed any more: its fill takes longer than anybody waits for it.
    lapsed: Arc<AtomicBool>,
    /// The store has ended it with the entry.
    ended: AtomicBool,
    alone: AtomicBool,
}

impl Engine {
    /// Asks for the right to fill, and waits for another instance's fill where it
    /// has that.
    pub(crate) async fn right_to_fill(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        asks: AsksToFill,
    ) -> Right {
        let shared = question.policy.coalesce && !question.policy.memory_only;
        let store = self.store.as_ref().filter(|_| shared);
        let cause = asks.cause;
        let Some(store) = store.filter(|_| cause != Cause::StoreError) else {
            return Right::Fill(None);
        };
        let mut lease = self.lease_of(question, family, asks.seen);
        if cause == Cause::Bounds {
            lease.seen = Seen::Useless; // it is left there
        }
        lease.least = asks.least;
        let key = lease.key.clone();
        let start = self.now();
        let (mut waits, mut filled) = (false, false);
        let reloads = question.asks.wish.as_ref();
        let reloads = reloads.is_some_and(|wish| wish.reloads());
        while !waits || self.since(start) < question.policy.wait {
            // who waits listens before it looks: nothing is missed in between
            let mut released = store.released(&key).fuse();
            if waits {
                std::future::poll_fn(|cx| Poll::Ready(released.poll_unpin(cx).is_ready())).await;
                match self.filled_there(question, family, headers, cause).await {
                    Ok(found) => return Right::Found(found),
                    // it has been filled, and that is of no use to this request
                    Err(_) if filled => lease.seen = Seen::Useless,
                    Err(seen) => lease.seen = seen,
                }
            }
            // who waits for another one's fill waits longer than for the store
            let longest = match waits {
                true => self.budget,
                false => self.left(question),
            };
            match self.granted(self.ask_for(&**store, &lease, longest).await) {
                None => return Right::Fill(None),
                Some(Granted::Yes) => {
                    return Right::Fill(self.leased(lease, question.policy.wait));
                }
                Some(Granted::Alone) => return Right::Alone,
                // it must refuse what another one brings, or would wait for itself
                Some(Granted::No) if reloads || asks.at_once => return Right::Fill(None),
                Some(Granted::No) if waits && !released.is_terminated() => {
                    filled = false;
                    let _ = released.await;
                }
                Some(granted) => {
                    filled = granted == Granted::Filled;
                    waits = true;
                }
            }
        }
        Right::Alone
    }

    /// The store's word, if it has given one in time.
    fn granted(&self, asked: Result<Result<Granted, StoreError>, Elapsed>) -> Option<Granted> {
        match asked {
            Ok(Ok(granted)) => return Some(granted),
            Ok(Err(error)) => self.counters.store_error(&error),
            Err(_) => self.counters.store_timeout(),
        }
        None
    }

    /// What another instance has filled meanwhile; else what lies there.
    async fn filled_there(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        cause: Cause,
    ) -> Result<Found<Box<Entry>>, Seen> {
        let look = self.look_once(question, family, headers, cause).await;
        let stale = match look {
            Ok(found) => return Ok(found),
            Err(missed) => missed.stale,
        };
        match stale.as_deref() {
            // somebody renews it in his turn
            Some(&Stale {
                ref held,
                age,
                usable: Use::Early(ttl),
                ..
            }) => Ok(Found {
                entry: Box::new(held.entry.clone()),
                age,
                ttl,
                number: held.number(),
            }),
            stale => Err(seen(stale)),
        }
    }

    /// Looks into the store, with the time that one look has.
    async fn look_once(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        cause: Cause,
    ) -> Result<Found<Box<Entry>>, Missed> {
        let (now, counts) = (self.now(), self.counters.endpoint(family));
        let times = (now, now.saturating_add(self.budget_millis()));
        let family = Family {
            name: family,
            counts: &counts,
        };
        let look = self.look_shared(question, family, headers, cause, times);
        look.await
    }

    fn lease_of(&self, question: &Question, family: &str, seen: Seen) -> Lease {
        Lease {
            token: format!("{}{:016x}", token(), self.generations.stamp().number),
            least: 0,
            key: question.key(&self.context.prefix, family),
            seen,
        }
    }

    /// Asks without waiting: who renews has its answer. What another instance has
    /// renewed is taken into memory instead.
    pub(crate) async fn right_to_renew(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        missed: &Missed,
    ) -> Right {
        let shared = !question.policy.memory_only;
        let Some(store) = self.store.as_ref().filter(|_| shared) else {
            return Right::Fill(None);
        };
        let early = missed.is_early();
        let stale = missed.stale.as_deref();
        let known = match stale.filter(|_| early) {
            Some(stale) => frame_of(stale), // nobody has looked at the store yet
            None => seen(stale),
        };
        let mut lease = self.lease_of(question, family, known);
        let mut asked = self.ask_for(&**store, &lease, self.budget).await;
        if early && matches!(asked, Ok(Ok(Granted::Filled))) {
            let look = self.look_once(question, family, headers, missed.cause);
            if look.await.is_ok() {
                return Right::Alone;
            }
            lease.seen = Seen::Useless;
            asked = self.ask_for(&**store, &lease, self.budget).await;
        }
        match asked {
            Ok(Ok(Granted::Yes)) => Right::Fill(self.leased(lease, question.policy.wait)),
            Ok(Ok(Granted::No | Granted::Filled)) => Right::Alone,
            _ => Right::Fill(None),
        }
    }

    /// Asks for a lease. Whoever goes away before the answer, or has none in time, may
    /// have got it all the same: it is given back, and holds nobody up.
    async fn ask_for(
        self: &Arc<Self>,
        store: &dyn Store,
        lease: &Lease,
        longest: Duration,
    ) -> Result<Result<Granted, StoreError>, Elapsed> {
        let mut asking = Asking {
            engine: self,
            lease: Some(lease),
        };
        let asked = tokio::time::timeout(longest, store.acquire(lease, TTL)).await;
        let late = |error: &StoreError| error.kind() == StoreErrorKind::Timeout;
        if asked
            .as_ref()
            .is_ok_and(|answer| !answer.as_ref().is_err_and(late))
        {
            asking.lease = None;
        }
        asked
    }

    /// Gives a lease back, behind the request's back.
    fn give_back(self: &Arc<Self>, runtime: &Handle, lease: Lease, alone: Option<Duration>) {
        let engine = Arc::clone(self);
        let release = async move {
            if let Some(store) = &engine.store
                && let Err(error) = store.release(&lease, alone).await
            {
                tracing::debug!(target: "larder", %error, "a lease is left to run out");
            }
        };
        self.tasks.spawn(runtime, release);
    }

    /// Holds a lease from now on, and renews it for `longest`.
    fn leased(self: &Arc<Self>, lease: Lease, longest: Duration) -> Option<Leased> {
        let runtime = Handle::try_current().ok()?;
        let (engine, held) = (Arc::clone(self), lease.clone());
        let lapsed = Arc::new(AtomicBool::new(false));
        let lapses = Arc::clone(&lapsed);
        let renewal = runtime.spawn(async move {
            let Some(store) = &engine.store else { return };
            let start = engine.now();
            // who waits for longer has gone on alone: a handler that hangs keeps nothing
            while engine.since(start) < longest {
                tokio::time::sleep(RENEWAL).await;
                if matches!(store.renew(&held, TTL).await, Ok(false)) {
                    return; // lost: the write will be refused
                }
            }
            lapses.store(true, Ordering::Release);
        });
        Some(Leased {
            engine: Arc::clone(self),
            lease,
            runtime,
            renewal: renewal.abort_handle(),
            lapsed,
            ended: AtomicBool::new(false),
            alone: AtomicBool::new(false),
        })
    }
}

impl Leased {
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether it may have run out, for its fill took so long.
    pub(super) fn has_lapsed(&self) -> bool {
        self.lapsed.load(Ordering::Acquire)
    }

    /// Whether it is held. One that has lapsed is taken again where nobody has it and the
    /// key was not filled since its holder has looked; where he did not look, only if the entry
    /// itself `tells` when its fill began, by which the store knows what is later.
    pub(super) async fn is_held(&self, store: &dyn Store, tells: bool) -> Result<bool, StoreError> {
        let lease = &self.lease;
        if !self.has_lapsed() {
            // unless that is known, the entry's own write tells
            return Ok(!matches!(store.renew(lease, TTL).await, Ok(false)));
        }
        let looked = lease.seen != Seen::Useless;
        Ok((looked || tells) && store.acquire(lease, TTL).await? == Granted::Yes)
    }

    /// The store has ended it.
    pub(crate) fn ended(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Its answer cannot be shared: nobody shall wait for the next ones.
    pub(crate) fn alone(&self) {
        self.alone.store(true, Ordering::Release);
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.renewal.abort();
        if *self.ended.get_mut() {
            return;
        }
        let alone = (*self.alone.get_mut()).then_some(ALONE);
        self.engine
            .give_back(&self.runtime, self.lease.clone(), alone);
    }
}

/// A lease that was asked for, and not answered yet.
struct Asking<'a> {
    engine: &'a Arc<Engine>,
    lease: Option<&'a Lease>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease
            && let Ok(runtime) = Handle::try_current()
        {
            self.engine.give_back(&runtime, lease.clone(), None);
        }
    }
}

/// What was seen of an entry under its key: none that came from memory alone.
pub(crate) fn seen(stale: Option<&Stale>) -> Seen {
    match stale {
        Some(stale) if stale.tier == Tier::Redis => frame_of(stale),
        Some(_) => Seen::Useless,
        None => Seen::Nothing,
    }
}

fn frame_of(stale: &Stale) -> Seen {
    Seen::Frame(stale.held.entry.created.to_le_bytes())
}
