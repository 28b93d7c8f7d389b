//! The layout of a frame: an entry as it lies in the store.
//!
//! ```text
//!  0  4  magic "LRDR"
//!  4  1  version, 3; versions 1 and 2 are read too
//!  5  1  flags: 1 body is zstd, 2 a marker of what answers vary on, 4 sealed
//!  6  2  status
//!  8  8  checksum of all other bytes, see below
//! 16  8  created, milliseconds since 1970
//! 24 24  fresh, stale, keep: milliseconds from creation
//! 48 16  generation: epoch and number; zero where no clock is shared
//! 64  4  length of the canonical request
//! 68  4  number of scopes
//! 72  4  number of fields
//! 76  4  length of the fields' block
//! 80  8  length of the body as stored
//! 88  8  length of the body
//! 96  8  error: may stand in for a failed handler until then, milliseconds from creation (not in version 1)
//! 104 1  rules of reuse, see `Rules` (not in version 1)
//! 105 4  how long the fill took, milliseconds (not in version 1)
//! 109    canonical request, scopes (16 bytes each), fields, body
//! ```
//!
//! The checksum is XXH3-64 of what stands behind it, exclusive-or the eight bytes before it
//! times an odd number. In versions 1 and 2 it is XXH3-64 of both, one after the
//! other: a hash of two pieces takes twice as long.
//!
//! In a sealed frame (`seal.rs`) the number of the key (4), the nonce (24) and the
//! scopes come first, then what is sealed: canonical request, fields, body.
//!
//! Numbers are little-endian. A field is the length of its name (2), the
//! length of its value (4), name, value. The body comes last, so that it is
//! sliced out of the store's reply. Decoding checks every number and accounts
//! for every byte: whatever else may write to the store, nothing is served
//! that an entry could not be.

use crate::generation::Stamp;
use crate::key::Key;
use crate::policy::freshness::{Lifetime, Rules};

pub(crate) const MAGIC: &[u8; 4] = b"LRDR";
pub(super) const VERSION: u8 = 3;
pub(super) const FIXED: usize = 109;
/// Version 1 ended here.
pub(super) const FIXED_1: usize = 96;
pub(crate) const SUM: std::ops::Range<usize> = 8..16;
pub(super) const ZSTD: u8 = 1;
pub(super) const VARY: u8 = 2;
pub(super) const SEALED: u8 = 4;

/// What stands at fixed places, but for the lengths of what follows.
pub(super) struct Head {
    pub(super) flags: u8,
    pub(super) status: u16,
    pub(super) created: u64,
    pub(super) lifetime: Lifetime,
    pub(super) rules: Rules,
    pub(super) took: u32,
    /// The body's length once it is unpacked.
    pub(super) raw_len: usize,
    pub(super) stamp: Stamp,
}

/// What is bound to what is sealed: all that comes before it, but for the checksum,
/// and the name.
pub(super) fn bound(before: &[u8], key: &Key) -> Vec<u8> {
    let mut bound = [before, key.as_str().as_bytes()].concat();
    bound[SUM].fill(0);
    bound
}
