//! HTTP response caching for tower and axum: in the process, in Redis, or both.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn app() -> Result<(), larder::ConfigError> {
//! use axum::{Router, routing::get};
//! use larder::{Cache, MIB, Policy, minutes, tag};
//!
//! let cache = Cache::builder().memory(256 * MIB).build()?;
//! let app: Router = Router::new()
//!     .route("/characters", get(list).layer(cache.ttl(minutes(5))))
//!     .route(
//!         "/characters/{id}",
//!         get(show)
//!             .put(update)
//!             .layer(cache.layer(
//!                 Policy::ttl(minutes(5))
//!                     .tag("character:{id}")
//!                     .invalidates(tag("character:{id}"))
//!                     .invalidates("api:characters:*"),
//!             )),
//!     );
//! # async fn list() {}
//! # async fn show() {}
//! # async fn update() {}
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! 1. *Which requests.* GET and HEAD without a body; QUERY (RFC 10008) and POST
//!    where [`Policy::methods`] says so, by their content. A request with a
//!    credential (`Authorization`, `Cookie`, `X-Api-Key` and the like) goes to its
//!    handler, unless the policy says what the credential means:
//!    [`Policy::scope`], [`Policy::vary`], [`Policy::ignore_credentials`].
//! 2. *Which key.* Host, path, query sorted by name, tenant, scope, keyed
//!    fields, and what `Vary` names (RFC 9111, 4.1). Forwarding fields such as
//!    `X-Forwarded-Host` are keyed unless hidden. Every hit compares all of it
//!    with what was stored.
//! 3. *Which answers.* Status 200 whose body ended cleanly within the size
//!    limit; no `Set-Cookie`, no `Cache-Control` that forbids it (RFC 9111, 3),
//!    no `Vary: *`, no event stream, nothing `Incremental` (RFC 10036), no CSP
//!    nonce. Everything else is delivered unchanged.
//! 4. *How long.* The policy's TTL, or less if the handler's
//!    `CDN-Cache-Control` (RFC 9213), `Cache-Control` or `Expires` says so; a
//!    handler's [`Hint`] replaces them all. Stale answers are served only
//!    within [`Policy::stale_while_revalidate`] and [`Policy::stale_if_error`],
//!    or the answer's own windows (RFC 5861).
//! 5. *How often.* Requests that miss one key together share one run of the
//!    handler, with Redis in all processes ([`Policy::coalesce`]).
//! 6. *What of it.* A stored answer becomes a 304 for a client that has it, or
//!    the part that a `Range` asks for (RFC 9110, 13 and 14).
//! 7. *Whose errors.* The inner service's alone. Whatever happens to the store
//!    costs a request at most the operation timeout; who waits for another's
//!    run of the handler waits for [`Policy::wait`] at most.
//! 8. *What was invalidated* is not served again once the call has returned `Ok`,
//!    in any process that shares the Redis, not even by an answer that was being
//!    made meanwhile.
//!
//! Under [`Policy::http`] the answers' own fields decide instead of 1, 3 and 4:
//! it is a shared cache as RFC 9111 has it, for gateways and outbound clients.
//!
//! Every response tells what happened: `Cache-Status` (RFC 9211) and an
//! [`Outcome`] in its extensions.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | endpoints and templates from the matched route, [`Hint`] as a response part, `CacheLayer::around` a `Router` |
//! | `redis` | | the Redis tier |
//! | `tls` | | `rediss://` through rustls |
//! | `cluster` | | Redis Cluster |
//! | `sentinel` | | Redis behind Sentinel |
//! | `compression` | | zstd for bodies above 1 KiB in Redis |
//! | `precompress` | | br, gzip and zstd variants made beforehand: [`Policy::precompress`] |
//! | `metrics` | | the statistics through the `metrics` facade |
//! | `serde` | | `Serialize` for [`Stats`] and its like |
//! | `config` | | settings and route tables by serde, and from the environment |
//! | `admin` | | [`admin`]: a JSON API and a live page over a cache, as an axum router |
//! | `encryption` | | entries in the shared store are sealed: `CacheBuilder::encryption` |
//! | `postcard` | | typed values in a compact binary form |
//! | `values` | | typed values on the same engine: [`Cache::values`], [`values`] |
//! | `testing` | | helpers for your own tests |

#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(
    not(all(
        feature = "admin",
        feature = "axum",
        feature = "encryption",
        feature = "precompress",
        feature = "redis",
        feature = "values"
    )),
    allow(
        rustdoc::broken_intra_doc_links,
        rustdoc::private_intra_doc_links,
        reason = "what these features add has no page to link to without them"
    )
)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "admin")]
pub mod admin;
mod advisor;
mod ahead;
mod answered;
#[cfg(feature = "axum")]
mod around;
mod arrived;
mod ask;
mod audit;
mod body;
mod cache;
mod clock;
#[cfg(feature = "config")]
pub mod config;
mod content;
mod counted;
mod ending;
mod entry;
mod error;
mod explain;
#[cfg(feature = "metrics")]
mod export;
#[cfg(not(feature = "metrics"))]
#[path = "export/none.rs"]
mod export;
mod fill;
mod first;
mod flight;
mod follow;
mod future;
mod generation;
mod handler;
mod hint;
mod inner;
pub mod inspect;
mod instead;
#[cfg(larder_internals)]
#[doc(hidden)]
pub mod internals;
mod invalidate;
mod key;
mod known;
mod lasting;
mod layer;
#[cfg(all(test, not(larder_shuttle)))]
mod model;
mod named;
mod nested;
mod observe;
mod outcome;
#[cfg(feature = "axum")]
#[path = "place/axum.rs"]
mod place;
#[cfg(not(feature = "axum"))]
#[path = "place/plain.rs"]
mod place;
mod policy;
mod question;
mod random;
mod reasons;
mod rebuild;
mod renewed;
mod reply;
mod route;
mod sent;
mod serve;
mod service;
mod share;
mod shared;
mod shift;
mod spared;
mod stats;
mod status;
mod store;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod suspended;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "not_suspended.rs"]
mod suspended;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod timers;
#[cfg(feature = "values")]
pub mod values;
mod warm;
mod way;
mod write;

pub use advisor::{Advice, AdviceLevel};
#[cfg(feature = "axum")]
pub use around::{CachedRouter, CachedRouterFuture};
pub use audit::audited_by;
pub use body::ResponseBody;
#[cfg(feature = "compression")]
pub use cache::Compression;
pub use cache::{Cache, CacheBuilder, Failover, Outage, TtlProposal};
pub use clock::{Clock, days, hours, minutes, seconds};
pub use entry::Coding;
#[cfg(feature = "encryption")]
pub use entry::Encryption;
pub use error::{
    BoxError, ConfigError, InvalidateError, InvalidateErrorKind, StoreError, StoreErrorKind,
};
pub use explain::{About, Explanation, Step, Would};
pub use future::ResponseFuture;
#[cfg(any(feature = "values", feature = "admin"))]
pub use invalidate::namespace;
pub use invalidate::{
    Invalidated, Selector, endpoint, escape_pattern, everything, key, pattern, tag, uri,
};
pub use key::Key;
pub use layer::CacheLayer;
pub use outcome::{
    Bypass, Cause, Eviction, Fault, InvalidatedBy, Mismatch, Outcome, Refusal, Staleness, Tier,
};
pub use policy::{
    CREDENTIALS, FORWARDED, FRAGMENTS, Failure, FailureKind, Hint, Policy, RequestHead, Routes,
    Scope, Size,
};
pub use service::CacheService;
pub use stats::{
    Analytics, EndpointAnalytics, EndpointStats, Frequented, Latencies, Latency, LowCause,
    LowHitRate, Recent, Span, Stats, Tally, Totals,
};
pub use store::{
    Erasure, Granted, Group, Lease, Record, Removal, Removed, Seen, Store, StoreFuture,
};
pub use warm::{WarmFailure, WarmList, WarmReport, WarmStep, Warmed, Warming, Warmup};

/// Bytes in a MiB: `Cache::builder().memory(256 * MIB)`.
pub const MIB: u64 = 1 << 20;

/// The README's examples are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
