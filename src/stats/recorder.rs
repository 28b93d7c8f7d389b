//! What was counted since it was last looked at, on its way to where all instances
//! keep it: in batches that count once, however often they are told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kinds::Counted;
use super::sketch::{Different, Frequent};
use super::windows::{Grain, Slots};
use crate::random::token;

/// Milliseconds.
pub(crate) const DAY: u64 = 86_400_000;
/// Hashes of users in one batch: more are forgotten, where nobody hears of them for long.
const MOST_USERS: usize = 131_072;

/// What is told at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Who tells it.
    pub(crate) who: String,
    /// Counts this teller's batches: one that is not above the last is known.
    pub(crate) number: u64,
    pub(crate) slots: Slots,
    /// How many more entries expire in an hour since 1970.
    pub(crate) expiring: HashMap<u64, i64>,
    /// Hashes of users, by endpoint and day; those of all endpoints under no name.
    pub(crate) users: BTreeMap<(Box<str>, u64), HashSet<u64>>,
    /// How often names were asked for, by day.
    pub(crate) top: BTreeMap<u64, Vec<(Box<str>, u64)>>,
    /// Entries that were removed, of which nobody knows when they would have expired.
    pub(crate) removed: u64,
}

impl Batch {
    /// Hashes of users.
    fn users(&self) -> usize {
        self.users.values().map(HashSet::len).sum()
    }

    fn is_empty(&self) -> bool {
        self.slots.is_empty()
            && self.users.is_empty()
            && self.top.is_empty()
            && self.expiring.is_empty()
            && self.removed == 0
    }
}

/// Captures and hands over.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    /// Held by who hands over.
    pub(crate) one: tokio::sync::Mutex<()>,
    /// Somebody captures now and then.
    pub(crate) recording: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// What each endpoint had counted when it was last looked at.
    known: HashMap<Box<str>, Counted>,
    /// This process' own.
    own: Slots,
    users: BTreeMap<(Box<str>, u64), Different>,
    top: BTreeMap<u64, Frequent>,
    next: Batch,
    /// What of `next` was asked for, by day.
    next_top: BTreeMap<u64, Frequent>,
    /// Told, and nobody knows whether it was heard.
    told: Option<Arc<Batch>>,
    who: String,
    number: u64,
}

impl Recorder {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what endpoints have counted since the last look, at `now` in milliseconds
    /// since 1970. Returns whether there was anything. `shares` keeps it for a batch.
    pub(crate) fn capture(&self, now: u64, counted: &[(Box<str>, Counted)], shares: bool) -> bool {
        let mut state = self.state();
        let mut any = false;
        for (endpoint, counted) in counted {
            let known = state.known.entry(endpoint.clone()).or_default();
            let mut delta = *counted;
            for (delta, known) in delta.iter_mut().zip(known.iter()) {
                *delta -= known;
            }
            *known = *counted;
            if delta.iter().all(|n| *n == 0) {
                continue;
            }
            any = true;
            state.own.add(now, endpoint, &delta);
            if shares {
                state.next.slots.add(now, endpoint, &delta);
            }
        }
        any
    }

    /// Takes who asked since the last look.
    pub(crate) fn users(&self, now: u64, endpoint: &str, users: &HashSet<u64>, shares: bool) {
        let mut state = self.state();
        let day = now / DAY;
        state
            .users
            .retain(|(_, then), _| then + Grain::Day.slots() > day);
        for name in [endpoint, ""] {
            let at = (Box::from(name), day);
            let known = state.users.entry(at.clone()).or_default();
            users.iter().for_each(|user| known.add(*user));
            if shares && !users.is_empty() {
                let room = MOST_USERS.saturating_sub(state.next.users());
                let next = state.next.users.entry(at).or_default();
                next.extend(users.iter().take(room));
            }
        }
    }

    /// Takes what was asked for since the last look.
    pub(crate) fn asked(&self, now: u64, names: &[(Box<str>, u64)], shares: bool) {
        let mut state = self.state();
        let day = now / DAY;
        state.top.retain(|then, _| then + 2 > day);
        let top = state.top.entry(day).or_default();
        names.iter().for_each(|(name, n)| top.add(name, *n));
        if shares && !names.is_empty() {
            state.next_top.retain(|then, _| then + 2 > day);
            let next = state.next_top.entry(day).or_default();
            names.iter().for_each(|(name, n)| next.add(name, *n));
        }
    }

    /// How many users this process has seen in so many days.
    pub(crate) fn own_users(&self, now: u64, days: u64, endpoint: &str) -> u64 {
        let mut all = Different::default();
        for ((name, day), users) in &self.state().users {
            if **name == *endpoint && day + days > now / DAY {
                all.join(users);
            }
        }
        all.estimate()
    }

    /// What this process was asked for most, today and yesterday.
    pub(crate) fn own_top(&self, most: usize) -> Vec<(Box<str>, u64)> {
        let mut all = Frequent::default();
        for top in self.state().top.values() {
            let names = top.top(usize::MAX);
            names.iter().for_each(|(name, n)| all.add(name, *n));
        }
        all.top(most)
    }

    /// Takes what is known of entries in the store.
    pub(crate) fn entries(&self, expiring: HashMap<u64, i64>, removed: u64) {
        let mut state = self.state();
        for (hour, n) in expiring {
            *state.next.expiring.entry(hour).or_default() += n;
        }
        state.next.removed += removed;
    }

    /// The batch to be told next: the last one again, until it was heard.
    pub(crate) fn batch(&self) -> Option<Arc<Batch>> {
        let mut state = self.state();
        if state.told.is_none() {
            let top = std::mem::take(&mut state.next_top).into_iter();
            state.next.top = top.map(|(day, mut names)| (day, names.take())).collect();
        }
        if state.told.is_none() && !state.next.is_empty() {
            if state.who.is_empty() {
                state.who = token();
            }
            state.number += 1;
            let mut batch = std::mem::take(&mut state.next);
            (batch.who, batch.number) = (state.who.clone(), state.number);
            state.told = Some(Arc::new(batch));
        }
        state.told.clone()
    }

    /// The batch of this number was heard.
    pub(crate) fn heard(&self, number: u64) {
        let mut state = self.state();
        let same = |told: &Arc<Batch>| told.number == number;
        if state.told.as_ref().is_some_and(same) {
            state.told = None;
        }
    }

    /// What this process has counted itself.
    pub(crate) fn own(&self) -> Slots {
        self.state().own.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::windows::Grain;
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn counted(hits: i64) -> Vec<(Box<str>, Counted)> {
        let mut counted = Counted::default();
        counted[0] = hits;
        vec![("a".into(), counted)]
    }

    fn hits(batch: &Batch) -> u64 {
        batch.slots.window(Grain::Hour, "", NOW).hits
    }

    #[test]
    fn a_batch_is_told_until_it_is_heard_and_then_never_again() {
        let recorder = Recorder::default();
        assert!(recorder.capture(NOW, &counted(5), true));
        assert!(!recorder.capture(NOW, &counted(5), true));
        let first = recorder.batch().unwrap();
        assert_eq!((first.number, hits(&first)), (1, 5));
        assert!(recorder.capture(NOW, &counted(7), true));
        let again = recorder.batch().unwrap();
        assert_eq!((again.number, hits(&again)), (1, 5));
        recorder.heard(1);
        let next = recorder.batch().unwrap();
        assert_eq!((next.number, hits(&next)), (2, 2));
        recorder.heard(1); // once more, late
        assert_eq!(recorder.batch().unwrap().number, 2);
        recorder.heard(2);
        assert!(recorder.batch().is_none());
        assert_eq!(recorder.own().window(Grain::Hour, "", NOW).hits, 7);
    }

    #[test]
    fn what_nobody_hears_of_does_not_grow() {
        let recorder = Recorder::default();
        for round in 0..400_u64 {
            let now = NOW + round * DAY / 100;
            let names: Vec<_> = (0..100)
                .map(|n| (format!("{round}:{n}").into(), 1))
                .collect();
            recorder.asked(now, &names, true);
            let users = (0..1_000).map(|n| round * 1_000 + n).collect();
            recorder.users(now, "a", &users, true);
        }
        let batch = recorder.batch().unwrap();
        assert!(batch.top.len() <= 2, "today and yesterday");
        let names: usize = batch.top.values().map(Vec::len).sum();
        assert!((100..=512).contains(&names), "{names}");
        assert_eq!(batch.users(), MOST_USERS);
    }
}
