//! [`Answer`]: what the judge looks at.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::template::Params;
use crate::outcome::Refusal;

/// What the judge looks at.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The least that is known of its body's length.
    pub(crate) at_least: u64,
    /// The request's fields as the handler saw them.
    pub(crate) request: &'a HeaderMap,
    /// The request had an `Authorization` that is not keyed.
    pub(crate) authorized: bool,
    pub(crate) now: SystemTime,
    /// Evenly random, from 0 to 1.
    pub(crate) chance: f64,
    /// How long the handler took.
    pub(crate) took: Duration,
    pub(crate) params: Params<'a>,
    /// The TTL that the policy has come to, where it adapts.
    pub(crate) adapted: Option<Duration>,
    /// The tags that its own fields name.
    pub(crate) named: Result<&'a [String], Refusal>,
}
