//! What the rules look at.

use std::time::Duration;

use http::HeaderName;

use crate::inspect::Server;
use crate::policy::{Policy, is_credential_like};
use crate::stats::{EndpointStats, LowHitRate, Stats};

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) servers: Vec<Server>,
    /// The eviction policy that is expected.
    pub(crate) eviction_policy: Option<String>,
    /// The least hit rate that is well.
    pub(crate) hit_rate: f64,
    pub(crate) policies: Vec<PolicyFacts>,
    pub(crate) total: Stats,
    pub(crate) endpoints: Vec<EndpointStats>,
    pub(crate) sampled: Vec<Sampled>,
    /// Endpoints that are under what their policies ask for.
    pub(crate) low: Vec<LowHitRate>,
}

/// What of a policy matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyFacts {
    /// Its route's pattern in a table, its endpoint, or where its layer was made.
    pub(crate) place: Option<String>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) shares_private: bool,
    pub(crate) shares_cookies: bool,
}

impl PolicyFacts {
    /// `credentials` are the cache's fields that say who asks.
    pub(crate) fn of(policy: &Policy, place: Option<&str>, credentials: &[HeaderName]) -> Self {
        let place = place.or(policy.endpoint.as_deref());
        let credential = |name: &String| {
            let name = name.to_ascii_lowercase();
            is_credential_like(&name) || credentials.iter().any(|known| *known == *name)
        };
        let tells_apart = policy.scope.is_some() || policy.vary.iter().any(credential);
        Self {
            place: place.map(str::to_owned),
            ttl: policy.ttl,
            shares_private: policy.override_cache_control && !tells_apart,
            shares_cookies: policy.store_set_cookie,
        }
    }
}

/// What entries in memory say of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sampled {
    pub(crate) endpoint: String,
    pub(crate) entries: u64,
    /// Their answers forbid to serve them stale, though their policy does so.
    pub(crate) never_stale: u64,
    /// Bytes of bodies that have coded variants, as often as they have them.
    pub(crate) plain: u64,
    /// Bytes of these variants.
    pub(crate) coded: u64,
}
