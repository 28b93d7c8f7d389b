//! What the TTLs should be, in the handle.

use std::time::Duration;

use super::handle::Cache;
#[cfg(feature = "serde")]
use crate::stats::as_seconds;

/// What the TTL of an endpoint's answers should be, and what that rests on. Where its routes'
/// policies have different TTLs there is one for each.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TtlProposal {
    /// The endpoint, as it stands in keys; of typed values, their namespace.
    pub endpoint: String,
    /// The TTL under which that was observed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub ttl: Duration,
    /// The TTL by whose end one answer in ten has changed, as far as one step goes: a
    /// quarter of `ttl` at least, four times as much at most; `ttl` itself where a
    /// longer one would gain nothing.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub proposed: Duration,
    /// The share of requests that were no misses since the proposal before this one,
    /// from 0 to 1.
    pub hit_rate: f64,
    /// How many answers that took the place of one that had ended were compared with
    /// it; older ones count less.
    pub refreshes: u32,
    /// How many of them had another body.
    pub changed: u32,
}

impl Cache {
    /// What the TTL of each endpoint should be, from its hit rate and from how often
    /// refreshed bodies really change: as this process has observed it, on a sample of
    /// 64 keys of each, from 20 refreshes on; one for each TTL, and its
    /// bounds, that policies of the endpoint have (of 16 that adapt and 16 that do not; more are
    /// not looked at). In the order of their names. Only a policy that
    /// [adapts](crate::Policy::adaptive) goes by it.
    #[must_use]
    pub fn ttl_proposals(&self) -> Vec<TtlProposal> {
        let endpoints = self.engine().counters.list().into_iter();
        let proposals = endpoints.flat_map(|(endpoint, counts)| {
            let latest = counts.watch.latest().into_iter();
            latest.map(move |latest| TtlProposal {
                endpoint: endpoint.to_string(),
                ttl: latest.seen.ttl,
                proposed: latest.ttl,
                hit_rate: latest.seen.hit_rate,
                refreshes: latest.seen.refreshes,
                changed: latest.seen.changed,
            })
        });
        let mut all: Vec<_> = proposals.collect();
        all.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        all
    }
}
