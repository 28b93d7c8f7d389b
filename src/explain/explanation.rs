//! What an explanation says.

use std::fmt;

use crate::key::Key;
use crate::outcome::{Bypass, Cause, Staleness, Tier};

/// What would become of a request now, and why. Made by
/// [`Cache::explain`](crate::Cache::explain); it displays as a numbered list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// What was looked at, in this order, until the answer was plain.
    pub steps: Vec<Step>,
    /// The name of the entry that answers, or would be made; where the request takes
    /// part.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_name"))]
    pub key: Option<Key>,
    /// What would become of it.
    pub would: Would,
}

#[cfg(feature = "serde")]
fn as_name<S: serde::Serializer>(key: &Option<Key>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&key.as_ref().map(Key::as_str), to)
}

/// One step, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Step {
    /// What was looked at.
    pub about: About,
    /// What was found, for people to read.
    pub found: String,
}

/// What a step looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum About {
    /// The policy for the request.
    Policy,
    /// Whether the request takes part.
    Admission,
    /// The entry's name, and what goes into it.
    Key,
    /// Whether this process may serve what it holds.
    Lease,
    /// The memory tier.
    Memory,
    /// The shared store.
    Store,
    /// What invalidations have done to an entry.
    Invalidations,
    /// Its age and its times to live.
    Freshness,
    /// A fill under way.
    Flight,
    /// Why the last request for it that was no hit was none.
    LastMiss,
    /// What follows.
    Result,
}

impl About {
    /// As one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Admission => "admission",
            Self::Key => "key",
            Self::Lease => "lease",
            Self::Memory => "memory",
            Self::Store => "store",
            Self::Invalidations => "invalidations",
            Self::Freshness => "freshness",
            Self::Flight => "flight",
            Self::LastMiss => "last-miss",
            Self::Result => "result",
        }
    }
}

/// What would become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Would {
    /// A fresh entry answers.
    Hit(Tier),
    /// A stale one does.
    Stale(Staleness),
    /// The answer of a fill under way.
    Coalesced(Cause),
    /// The handler answers.
    Miss(Cause),
    /// The request does not take part.
    Bypass(Bypass),
}

impl fmt::Display for Would {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit(Tier::Memory) => write!(f, "hit (memory)"),
            Self::Hit(Tier::Redis) => write!(f, "hit (redis)"),
            Self::Stale(why) => write!(f, "stale ({why})"),
            Self::Coalesced(cause) => write!(f, "coalesced ({cause})"),
            Self::Miss(cause) => write!(f, "miss ({cause})"),
            Self::Bypass(reason) => write!(f, "bypass ({reason})"),
        }
    }
}

/// As it displays.
#[cfg(feature = "serde")]
impl serde::Serialize for Would {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            let about = step.about.as_str();
            writeln!(f, "{:>2}. {about:<13} {}", at + 1, step.found)?;
        }
        Ok(())
    }
}
