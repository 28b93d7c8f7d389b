//! What a route asks of the cache, and the pure decisions that follow from it.
//!
//! Nothing in here does I/O, and no decision rests on state: [`request`] admits a
//! request, [`response`] judges an answer, and both return a reason when they decline.

pub(crate) mod accept;
pub(crate) mod adapt;
mod answer;
pub(crate) mod cache_control;
mod classes;
mod classify;
mod compiled;
pub(crate) mod conditional;
mod context;
mod credentials;
mod failure;
mod fields;
pub(crate) mod freshness;
mod hint;
mod life;
pub(crate) mod lifetime;
mod nonce;
mod pattern;
pub(crate) mod range;
pub(crate) mod request;
pub(crate) mod response;
mod route;
mod route_http;
mod route_watch;
mod rules;
mod scope;
mod size;
mod table;
pub(crate) mod targeted;
pub(crate) mod template;
pub(crate) mod vary;
mod watch;
mod wish;

pub(crate) use cache_control::is_token;
#[cfg(feature = "values")]
pub(crate) use compiled::FINGERPRINT;
#[cfg(feature = "config")]
pub(crate) use compiled::positive;
pub(crate) use compiled::{Compiled, beside_release};
pub(crate) use context::Context;
pub(crate) mod tag_fields;

pub use failure::{Failure, FailureKind};
pub use fields::{CREDENTIALS, FORWARDED, FRAGMENTS};
pub(crate) use fields::{PER_REQUEST, is_credential_like, is_hop_by_hop, parse_names};
pub use hint::Hint;
pub(crate) use route::KeyFn;
pub use route::Policy;
pub(crate) use scope::Scoped;
pub use scope::{RequestHead, Scope};
pub use size::Size;
pub use table::Routes;
pub(crate) use table::{Found, Place, Table};
pub(crate) use watch::{NameFn, Watch};
