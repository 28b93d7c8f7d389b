//! Keys: `<prefix>:<endpoint>:<hash>` in the store, the canonical request
//! everywhere.
//!
//! The *canonical request* is all that an answer depends on, written as
//! length-prefixed fields, so that no two different requests have the same
//! bytes. The memory tier looks it up as it is, by a keyed hash and a full
//! comparison. In the store its SHA-256, cut to 128 bits, is the key's last
//! part, and the entry carries the canonical request itself: one that differs
//! is a miss.

mod canonical;
pub(crate) mod json;
mod name;
mod query;
mod scope_id;
mod words;

pub(crate) use canonical::{Canonical, Writer};
pub use name::Key;
pub(crate) use name::{endpoint_of_route, escape_endpoint, hex, is_escaped_endpoint, valid_prefix};
pub(crate) use query::{Params, decoded_query, write_query};
pub(crate) use scope_id::ScopeId;
pub(crate) use words::has;
