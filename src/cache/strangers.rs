//! Other clocks that are heard of: to the channels of one server its databases are one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// More than so many are not told apart from this process' own.
const MOST: usize = 16;

/// The epochs of what was told, but for the present one, and whether they are known to be
/// another clock's.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Vec<(u64, bool)>>);

impl Strangers {
    fn all(&self) -> MutexGuard<'_, Vec<(u64, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of another epoch is told. Whether that is known to be another clock's; else
    /// this one's may be lost.
    pub(super) fn hear(&self, epoch: u64) -> bool {
        let mut all = self.all();
        if let Some((_, known)) = all.iter().find(|(other, _)| *other == epoch) {
            return *known;
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push((epoch, false));
        false
    }

    /// Those that were heard of so far.
    pub(super) fn heard(&self) -> Vec<u64> {
        self.all().iter().map(|(epoch, _)| *epoch).collect()
    }

    /// This process' clock is of this epoch, and was so after all of `heard` were.
    pub(super) fn tell(&self, own: u64, heard: &[u64]) {
        let mut all = self.all();
        all.retain(|(epoch, _)| *epoch != own);
        for (epoch, known) in all.iter_mut() {
            *known |= heard.contains(epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_another_clocks_once_this_one_was_asked_after_it() {
        let strangers = Strangers::default();
        assert!(!strangers.hear(7));
        strangers.tell(1, &[]);
        assert!(!strangers.hear(7), "it may have begun since");
        let heard = strangers.heard();
        strangers.tell(1, &heard);
        assert!(strangers.hear(7) && !strangers.hear(8));
        strangers.tell(7, &heard);
        assert_eq!(strangers.heard(), [8], "that is the present one");
    }
}
