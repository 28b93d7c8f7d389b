//! The rules that the argument in `mod.rs` stands on, each at its place in the code
//! as `keeps(Rule::..)`. A build keeps all of them; the unit tests' build can leave
//! some out, so that the checker in `src/model/` shows what each is for.

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A fill's note is from before its handler.
    NoteFirst,
    /// Out of its lease a process reads no tier.
    LeaseFirst,
    /// A lease counts from when its beat was sent.
    LeaseFromSent,
    /// The lease ends before the row goes.
    LeaseEndsFirst,
    /// A row has another name after its process has resigned.
    RowsOfOneLease,
    /// News are taken as the next number only.
    InOrder,
    /// What was found valid is remembered by the process' own numbers.
    OwnNumbers,
    /// A promotion is numbered before it is read and checked.
    NumberedFirst,
    /// What comes from the store is checked.
    PromotionChecked,
    /// What a follower gets is checked when it is known.
    FollowerChecked,
    /// Another epoch clears memory.
    EpochClears,
    /// Who compares readings compares epochs too.
    EpochsCompared,
    /// What was forgotten may have been anything: for entries,
    FloorRefuses,
    /// and for who knew less.
    FloorClears,
    /// What is confirmed by 304 keeps the note of its body.
    MergeKeepsNote,
    /// An own invalidation is known here before the call returns.
    OwnLearnt,
    /// A call waits for all who have not seen its number.
    Awaited,
    /// Rows that are not there any more, or of another epoch, are no word.
    VanishedAwaited,
    /// In a young epoch there may be others.
    YoungAwaited,
    /// The longest lease is waited for.
    LongestLease,
    /// Without a shared clock: what was read while the store dropped it is refused,
    FencedTwice,
    /// what it is dropping is not read,
    DroppedHidden,
    /// what was written meanwhile is taken back,
    TakenBack,
    /// and not read until then.
    LateHidden,
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn keeps(_: Rule) -> bool {
    true
}

#[cfg(test)]
pub(crate) use switched::{Without, keeps};

#[cfg(test)]
mod switched {
    use std::cell::RefCell;

    use super::Rule;

    thread_local! {
        static LEFT_OUT: RefCell<Vec<Rule>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn keeps(rule: Rule) -> bool {
        LEFT_OUT.with_borrow(|out| !out.contains(&rule))
    }

    /// This thread goes without some rules while it lives.
    pub(crate) struct Without(());

    impl Without {
        pub(crate) fn rules(rules: &[Rule]) -> Self {
            LEFT_OUT.set(rules.to_vec());
            Self(())
        }
    }

    impl Drop for Without {
        fn drop(&mut self) {
            LEFT_OUT.set(Vec::new());
        }
    }
}
