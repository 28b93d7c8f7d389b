//! [`CachedValue`]: a value, and how it was come by.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::outcome::{Bypass, Cause, Outcome, Refusal};

/// A value, and how it was come by. Cheap to clone; all clones are one value.
pub struct CachedValue<T> {
    value: Arc<T>,
    outcome: Outcome,
}

impl<T> CachedValue<T> {
    #[inline]
    pub(super) fn new(value: Arc<T>, outcome: Outcome) -> Self {
        Self { value, outcome }
    }

    /// How it was come by, and why.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether it was stored already, so that no loader ran for it.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.outcome.is_hit() || matches!(self.outcome, Outcome::Stale { .. })
    }

    /// Whether the namespace's [`fallback`](super::ValuesBuilder::fallback) made it.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        let stored = Err(Refusal::Fallback);
        matches!(self.outcome, Outcome::Miss { stored: known, .. } if known == stored)
    }

    /// How old it is; zero for one that was just made.
    #[must_use]
    pub fn age(&self) -> Duration {
        match self.outcome {
            Outcome::Hit { age, .. } | Outcome::Stale { age, .. } => age,
            _ => Duration::ZERO,
        }
    }

    /// How much longer it is fresh where it was found; none for one that was not
    /// found fresh.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Hit { ttl, .. } => Some(ttl),
            _ => None,
        }
    }

    /// The value alone.
    #[must_use]
    pub fn into_arc(self) -> Arc<T> {
        self.value
    }
}

impl<T> Deref for CachedValue<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> AsRef<T> for CachedValue<T> {
    fn as_ref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for CachedValue<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.value), self.outcome)
    }
}

impl<T: fmt::Debug> fmt::Debug for CachedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedValue")
            .field("value", &self.value)
            .field("outcome", &self.outcome)
            .finish()
    }
}

/// How a value that was just made was come by.
pub(super) fn miss(cause: Cause, stored: Result<(), Refusal>) -> Outcome {
    Outcome::Miss {
        cause,
        stored,
        status: StatusCode::OK,
    }
}

/// How a value was come by that the cache had no part in.
pub(super) fn bypassed(reason: Bypass) -> Outcome {
    Outcome::Bypass {
        reason,
        status: StatusCode::OK,
    }
}
