//! Entries: stored responses, how they are recorded, and how they look in the
//! store.

mod budget;
mod checksum;
pub(crate) mod codec;
#[cfg(feature = "precompress")]
mod coders;
#[cfg(not(feature = "precompress"))]
#[path = "no_coders.rs"]
mod coders;
pub(crate) mod coding;
mod codings;
mod common;
#[cfg(feature = "compression")]
mod compress;
#[cfg(not(feature = "compression"))]
#[path = "no_compress.rs"]
mod compress;
mod decode;
mod headers;
mod held;
pub(crate) mod layout;
mod own;
mod peek;
mod record;
#[cfg(feature = "encryption")]
mod seal;
#[cfg(not(feature = "encryption"))]
#[path = "no_seal.rs"]
mod seal;
mod seen;
mod shape;
mod stored;
mod wire;

pub(crate) use budget::{Budget, Room};
pub use codings::Coding;
pub(crate) use headers::{Fields, etag_of, is_made, storable};
pub(crate) use held::{Held, Value};
pub(crate) use record::{Complete, Place, Recording};
#[cfg(feature = "encryption")]
pub use seal::Encryption;
#[cfg(feature = "encryption")]
pub(crate) use seal::Seals;
pub(crate) use seen::Seen;
pub(crate) use shape::Shapes;
pub(crate) use stored::Entry;
#[cfg(feature = "compression")]
pub(crate) use wire::Packing;
pub(crate) use wire::Wire;
