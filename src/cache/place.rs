//! What this process writes to the store under one name goes one after the other, and so does
//! what is given in its place.
//!
//! A write that was invalidated on its way is taken back, and an insertion ends what began before
//! it: side by side, two of them left nothing in the store of what both had stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as One, OwnedMutexGuard};
use tokio::time::timeout;

use super::engine::{Engine, Writes};
use crate::key::Key;

/// A write may take as long as so many operations. Nobody waits for others' for longer: the
/// runtime of one may not be driven.
const WRITE: u32 = 8;

/// The names under which something is being written.
#[derive(Default)]
pub(crate) struct Places {
    ones: Mutex<HashMap<Key, Arc<One<()>>>>,
    /// The numbers of what is written: until an invalidated one is taken back, nobody reads it.
    pub(super) writing: Mutex<HashMap<Key, Writes>>,
}

/// The turns to write what has one name, or two, until they are dropped.
pub(crate) struct Placed {
    _turns: [Option<Turn>; 2],
}

/// The turn to write under a name.
struct Turn {
    _one: OwnedMutexGuard<()>, // goes first
    _asked: Asked,
}

/// One who has it, or waits for it.
struct Asked {
    all: Arc<Places>,
    name: Key,
    /// There until it is dropped.
    one: Option<Arc<One<()>>>,
}

impl Places {
    fn ones(&self) -> MutexGuard<'_, HashMap<Key, Arc<One<()>>>> {
        self.ones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Self>, name: &Key) -> (Asked, Arc<One<()>>) {
        let one = Arc::clone(self.ones().entry(name.clone()).or_default());
        let asked = Asked {
            all: Arc::clone(self),
            name: name.clone(),
            one: Some(Arc::clone(&one)),
        };
        (asked, one)
    }

    fn try_take(self: &Arc<Self>, name: &Key) -> Result<Turn, (Asked, Arc<One<()>>)> {
        let (asked, one) = self.ask(name);
        match Arc::clone(&one).try_lock_owned() {
            Ok(one) => Ok(asked.with(one)),
            Err(_) => Err((asked, one)),
        }
    }

    /// None where another one's turn does not end in time. Who comes next does not wait for
    /// that one again.
    async fn take(self: &Arc<Self>, name: &Key, longest: Duration) -> Option<Turn> {
        let (asked, one) = match self.try_take(name) {
            Ok(turn) => return Some(turn),
            Err(asked) => asked,
        };
        if let Ok(guard) = timeout(longest, Arc::clone(&one).lock_owned()).await {
            return Some(asked.with(guard));
        }
        if let Some(known) = self.ones().get_mut(name)
            && Arc::ptr_eq(known, &one)
        {
            *known = Arc::default();
        }
        self.try_take(name).ok()
    }
}

impl Asked {
    fn with(self, one: OwnedMutexGuard<()>) -> Turn {
        Turn {
            _one: one,
            _asked: self,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut ones = self.all.ones();
        let one = self.one.take(); // goes before the lock does: who comes next counts the others
        let known = ones.get(&self.name);
        let own = known.filter(|known| one.as_ref().is_some_and(|one| Arc::ptr_eq(known, one)));
        // the list's and this one
        if own.is_some_and(|own| Arc::strong_count(own) == 2) {
            ones.remove(&self.name);
        }
    }
}

impl Engine {
    /// The turns to write under a name, and under another one that leads to it. All take them
    /// in one order, so that nobody waits in a circle.
    pub(crate) async fn place(&self, name: &Key, alias: Option<&Key>) -> Placed {
        let mut names = [Some(name), alias.filter(|alias| *alias != name)];
        names.sort_by_key(|name| name.map(Key::as_str));
        let [first, second] = names;
        Placed {
            _turns: [self.turn(first).await, self.turn(second).await],
        }
    }

    async fn turn(&self, name: Option<&Key>) -> Option<Turn> {
        match self.has_runtime() {
            true => self.places.take(name?, self.budget * WRITE).await,
            false => self.places.try_take(name?).ok(), // nobody could end a wait
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    const LONGEST: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_goes_after_the_other_and_nothing_is_left() {
        let (places, name) = (Arc::new(Places::default()), Key::new("a:1"));
        let first = places.take(&name, LONGEST).await;
        let (mut second, mut third) = (
            Box::pin(places.take(&name, LONGEST)),
            Box::pin(places.take(&name, LONGEST)),
        );
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        let other = places.take(&Key::new("a:2"), LONGEST).now_or_never();
        assert!(other.flatten().is_some(), "under another name at once");
        drop(first);
        drop(third); // goes away while it waits
        assert!(second.await.is_some());
        assert!(places.ones().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_is_waited_for_once() {
        let (places, name) = (Arc::new(Places::default()), Key::new("a:1"));
        let stands = places.take(&name, LONGEST).await;
        let began = Instant::now();
        let second = places.take(&name, LONGEST).await;
        assert!(second.is_some() && began.elapsed() == LONGEST);
        drop(second);
        let third = places.take(&name, LONGEST).now_or_never();
        assert!(third.flatten().is_some());
        drop(stands);
        assert!(places.ones().is_empty());
    }
}
