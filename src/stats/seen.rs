//! Who asked, and for what most: kept in the process until it is captured.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::sketch::Frequent;

/// Users that were seen lately are known without a lock.
const KNOWN: usize = 1 << 10;
/// No more of them are kept until the next look.
const MOST: usize = 1 << 14;

/// Users of one endpoint, by hashes of their names.
#[derive(Debug)]
pub(crate) struct Users {
    known: Box<[AtomicU64]>,
    new: Mutex<HashSet<u64>>,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            known: (0..KNOWN).map(|_| AtomicU64::new(0)).collect(),
            new: Mutex::default(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Users {
    pub(crate) fn saw(&self, user: &str) {
        let digest = Sha256::digest(user.as_bytes());
        let mut hash = [0; 8];
        hash.copy_from_slice(&digest[..8]);
        let hash = u64::from_le_bytes(hash);
        let known = &self.known[hash as usize % KNOWN];
        if known.swap(hash, Ordering::Relaxed) == hash {
            return;
        }
        let mut new = locked(&self.new);
        if new.len() < MOST {
            new.insert(hash);
        }
    }

    /// Those that were seen since the last look, each at least once a look.
    pub(crate) fn take(&self) -> HashSet<u64> {
        for known in &self.known {
            known.store(0, Ordering::Relaxed);
        }
        std::mem::take(&mut locked(&self.new))
    }
}

/// Longer names are cut: a path may be one, and is anybody's to choose.
const LONGEST: usize = 256;

/// What was asked for most.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Frequent>);

impl Asked {
    /// Counts a name, whoever else counts.
    pub(crate) fn saw(&self, name: &str, times: u64) {
        let mut end = name.len().min(LONGEST);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        locked(&self.0).add(&name[..end], times);
    }

    /// Counts a name, unless somebody else does just now: no hit waits.
    pub(crate) fn saw_perhaps(&self, name: &str, times: u64) {
        if let Ok(mut names) = self.0.try_lock() {
            names.add(name, times);
        }
    }

    pub(crate) fn take(&self) -> Vec<(Box<str>, u64)> {
        locked(&self.0).take()
    }
}
