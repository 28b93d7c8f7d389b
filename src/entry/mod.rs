//! Entries: stored responses, how they are recorded, and how they look in the
//! store.

mod budget;
pub(crate) mod codec;
#[cfg(feature = "precompress")]
mod coders;
#[cfg(not(feature = "precompress"))]
#[path = "no_coders.rs"]
mod coders;
pub(crate) mod coding;
#[cfg(feature = "compression")]
mod compress;
#[cfg(not(feature = "compression"))]
#[path = "no_compress.rs"]
mod compress;
mod decode;
mod headers;
mod held;
mod peek;
mod record;
mod shape;
mod stored;

pub(crate) use budget::Budget;
pub use coding::Coding;
pub(crate) use headers::{Fields, etag_of, storable};
pub(crate) use held::{Held, Value};
pub(crate) use record::{Complete, Recording};
pub(crate) use shape::Shapes;
pub(crate) use stored::Entry;
