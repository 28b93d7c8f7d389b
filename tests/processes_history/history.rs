//! What has happened, and what may not be read any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

pub const KEYS: usize = 4;
/// The other processes have Redis alone.
pub const WITH_MEMORY: usize = 2;

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Value,
    Page,
}

/// What was found tells when it began.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    pub began: u64,
    /// By a load, or a handler.
    pub made: bool,
}

#[derive(Clone, Copy)]
struct Given {
    by: usize,
    began: u64,
    ended: u64,
}

/// What was done with one key.
#[derive(Default)]
pub struct Log {
    given: Vec<Given>,
    /// When the last removal that was done had begun.
    removed: u64,
}

/// What a read may not be older than.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    removed: u64,
    given: u64,
}

#[derive(Default)]
pub struct History {
    events: AtomicU64,
    pub operations: AtomicU64,
    pub found: AtomicU64,
    values: [Mutex<Log>; KEYS],
    pages: [Mutex<Log>; KEYS],
    pub violations: Mutex<Vec<String>>,
}

impl History {
    /// One count for everything that begins or ends.
    pub fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn log(&self, (kind, key): (Kind, usize)) -> MutexGuard<'_, Log> {
        let logs = match kind {
            Kind::Value => &self.values,
            Kind::Page => &self.pages,
        };
        logs[key].lock().unwrap()
    }

    pub fn check(&self, process: usize, of: (Kind, usize), least: Least, found: Version) {
        self.found.fetch_add(1, Ordering::Relaxed);
        // what is made counts from when that began, what is given until it was done
        let time = match found.made {
            true => found.began,
            false => self.log(of).end_of(found.began),
        };
        if time < least.removed.max(least.given) {
            let what = format!("{process} reads {found:?} of {of:?}, of {time}: {least:?}");
            self.violations.lock().unwrap().push(what);
        }
    }
}

impl Log {
    pub fn inserts(&mut self, by: usize, began: u64) {
        let ended = u64::MAX;
        self.given.push(Given { by, began, ended });
    }

    pub fn inserted(&mut self, began: u64, ended: u64) {
        if let Some(own) = self.given.iter_mut().find(|given| given.began == began) {
            own.ended = ended;
        }
    }

    /// It was done, which had begun then.
    pub fn removed(&mut self, began: u64) {
        self.removed = self.removed.max(began);
    }

    /// What is true for a read by this process from now on.
    pub fn least(&self, process: usize) -> Least {
        let seen = |given: &&Given| process >= WITH_MEMORY || given.by == process;
        let done = self.given.iter().filter(|given| given.ended < u64::MAX);
        let given = done.filter(seen).map(|given| given.began).max();
        Least {
            removed: self.removed,
            given: given.unwrap_or(0),
        }
    }

    fn end_of(&self, began: u64) -> u64 {
        let given = self.given.iter().find(|given| given.began == began);
        given.map_or(u64::MAX, |given| given.ended)
    }
}
