//! What a run tells: each step, and all of it at the end.

use std::fmt;
use std::time::Duration;

/// What became of one item of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warmed {
    /// It was filled, and is kept.
    Filled,
    /// It was fresh, and left as it is.
    Fresh,
    /// Another request or another process was filling it, and it was left to that.
    Shared,
    /// It was not filled, and why.
    Failed(String),
}

impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filled => f.write_str("filled"),
            Self::Fresh => f.write_str("fresh"),
            Self::Shared => f.write_str("shared"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// One item of a run that is done with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WarmStep {
    /// The item's place in the list, from 1; of a list that was parsed, its line.
    pub at: usize,
    /// The item: its target or key, or its line.
    pub name: String,
    /// What became of it.
    pub warmed: Warmed,
    /// How long it took, waiting for its turn included.
    pub took: Duration,
    /// How many items are done with, this one included.
    pub done: usize,
    /// How many items there are.
    pub total: usize,
}

impl fmt::Display for WarmStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, .. } = self;
        write!(f, "{done}/{total} {}: {}", self.name, self.warmed)
    }
}

/// An item that was not filled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmFailure {
    /// The item's place in the list, from 1; of a list that was parsed, its line.
    pub at: usize,
    /// The item: its target or key, or its line.
    pub name: String,
    /// Why it was not filled.
    pub why: String,
}

/// What a run has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmReport {
    /// How many items there were.
    pub total: usize,
    /// How many were filled.
    pub filled: usize,
    /// How many were fresh already.
    pub fresh: usize,
    /// How many somebody else was filling.
    pub shared: usize,
    /// Those that were not filled, in the order in which that was found.
    pub failed: Vec<WarmFailure>,
    /// How many were not begun, for the run was cancelled or its runtime ended.
    pub left: usize,
    /// How long the run took.
    pub took: Duration,
}

impl WarmReport {
    /// Whether nothing failed and nothing was left: what a program's exit status
    /// should say.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.left == 0
    }

    pub(super) fn count(&mut self, step: &WarmStep) {
        self.left = self.left.saturating_sub(1);
        match &step.warmed {
            Warmed::Filled => self.filled += 1,
            Warmed::Fresh => self.fresh += 1,
            Warmed::Shared => self.shared += 1,
            Warmed::Failed(why) => self.failed.push(WarmFailure {
                at: step.at,
                name: step.name.clone(),
                why: why.clone(),
            }),
        }
    }
}

impl fmt::Display for WarmReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            filled,
            fresh,
            shared,
            left,
            ..
        } = self;
        write!(f, "{filled} filled, {fresh} fresh")?;
        if *shared > 0 {
            write!(f, ", {shared} shared")?;
        }
        write!(f, ", {} failed", self.failed.len())?;
        if *left > 0 {
            write!(f, ", {left} left")?;
        }
        write!(f, " in {:.1} s", self.took.as_secs_f64())
    }
}
