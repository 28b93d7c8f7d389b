//! Space is taken back once for many: by pattern that is a scan of all that a server
//! holds, by tag a look at all its names. One at a time for each of them, and one more
//! for all who ask meanwhile; and so many together.
//!
//! Where a clock is shared nobody is served any of it once the clock has moved. So one
//! for whom it is a matter of space alone does not wait where somebody waits already.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::{Handle, Id};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::timeout;

use super::dropping::Dropped;
use super::engine::Engine;
use super::removed::Looks;
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::Force;
use crate::invalidate::Target;
use crate::store::{Group, Removal, Removed, Store};

/// So many go on at a time,
const TOGETHER: usize = 2;
/// if those do go on: their runtimes may not be driven, and nobody waits longer for them.
const LONGEST: Duration = Duration::from_secs(10);
/// More different ones than this do not wait where it is a matter of space.
const MOST: usize = 64;

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To know what has gone, or that it has.
    Done,
    /// For its space alone.
    Space,
}

/// What invalidations are clearing away.
#[derive(Default)]
pub(crate) struct Clearing {
    pub(super) dropped: Dropped,
    pub(super) reclaims: Reclaims,
    pub(super) looks: Looks,
}

/// What is being taken back, and who waits for it.
pub(super) struct Reclaims {
    lines: Mutex<Lines>,
    together: Semaphore,
}

/// Of each runtime its own: those of others may not be driven.
type Lines = HashMap<(Option<Id>, Name), Arc<Line>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Pattern(Box<str>),
    Group(Group),
}

impl Name {
    /// None for what costs one step.
    fn of(removal: &Removal<'_>) -> Option<Self> {
        match removal {
            Removal::Key(_) => None,
            Removal::Group(group) => Some(Self::Group(*group)),
            Removal::Pattern(pattern) => Some(Self::Pattern((*pattern).into())),
        }
    }
}

/// Those who want the same: who has asked, and for whom it has begun. Both change under
/// the lock of all lines.
#[derive(Default)]
struct Line {
    asked: AtomicU64,
    begun: AtomicU64,
    last: Turn<Last>,
}

/// The last that has ended.
#[derive(Default)]
struct Last {
    /// Done for all who had asked by then.
    upto: u64,
    failed: Option<StoreErrorKind>,
}

impl Default for Reclaims {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
            together: Semaphore::new(TOGETHER),
        }
    }
}

impl Reclaims {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None where it is left to another who waits, or to the entries' own end.
    fn ask(&self, name: Name, wish: Wish) -> Option<Asked<'_>> {
        let name = (Handle::try_current().ok().map(|runtime| runtime.id()), name);
        let mut lines = self.lines();
        if wish == Wish::Space {
            let left = match lines.get(&name) {
                Some(line) => line.is_waited_for(),
                None => lines.len() >= MOST,
            };
            if left {
                return None;
            }
        }
        let line = Arc::clone(lines.entry(name.clone()).or_default());
        let ticket = line.asked.fetch_add(1, Ordering::Relaxed) + 1;
        drop(lines);
        Some(Asked {
            all: self,
            name,
            line,
            ticket,
        })
    }
}

impl Line {
    /// Somebody has asked, and it has not begun for him.
    fn is_waited_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > self.begun.load(Ordering::Relaxed)
    }
}

/// Somebody who has asked.
struct Asked<'a> {
    all: &'a Reclaims,
    name: (Option<Id>, Name),
    line: Arc<Line>,
    ticket: u64,
}

impl Asked<'_> {
    /// It begins now, for all who have asked. Returns the last of them.
    fn begin(&self) -> u64 {
        let _lines = self.all.lines();
        let upto = self.line.asked.load(Ordering::Relaxed);
        self.line.begun.store(upto, Ordering::Relaxed);
        upto
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut lines = self.all.lines();
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.name); // the list's and this one
        }
    }
}

impl Engine {
    /// Takes back the space of what is invalid, or will be once Redis is told.
    pub(super) fn remove_behind(self: &Arc<Self>, targets: &[Target]) {
        let Some(runtime) = self.runtime() else {
            return;
        };
        let hard = targets
            .iter()
            .filter(|target| target.force == Force::Hard)
            .cloned();
        let (engine, targets) = (Arc::clone(self), hard.collect::<Vec<_>>());
        self.tasks.spawn(&runtime, async move {
            for target in &targets {
                if engine.remove(target, Wish::Space).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Removes from the store, alone or with others. What has gone is told to one of them.
    /// Where it is for its space, it ends with the cache.
    pub(super) async fn reclaim(
        &self,
        store: &dyn Store,
        removal: Removal<'_>,
        wish: Wish,
    ) -> Result<Removed, StoreError> {
        let reclaiming = pin!(self.reclaim_all(store, removal, wish));
        match wish {
            Wish::Done => reclaiming.await,
            Wish::Space => match select(reclaiming, pin!(self.tasks.ends())).await {
                Either::Left((removed, _)) => removed,
                Either::Right(_) => Ok(Removed::default()),
            },
        }
    }

    async fn reclaim_all(
        &self,
        store: &dyn Store,
        removal: Removal<'_>,
        wish: Wish,
    ) -> Result<Removed, StoreError> {
        let Some(name) = Name::of(&removal) else {
            return store.remove(removal).await;
        };
        let Some(asked) = self.clearing.reclaims.ask(name, wish) else {
            return Ok(Removed::default());
        };
        let mut last = asked.line.last.lock().await;
        if last.upto >= asked.ticket {
            return match last.failed {
                Some(kind) => Err(StoreError::new(kind, "it has failed for all who asked")),
                None => Ok(Removed::default()),
            };
        }
        let _one = timeout(LONGEST, self.clearing.reclaims.together.acquire()).await;
        let upto = asked.begin();
        let result = store.remove(removal).await;
        *last = Last {
            upto,
            failed: result.as_ref().err().map(StoreError::kind),
        };
        result
    }
}
