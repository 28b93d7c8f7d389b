//! Numbers that nobody guesses.

use std::hash::{BuildHasher, Hasher};

use crate::key::hex;

/// 64 random bits: keys of the standard library's hashers come from the system's
/// randomness.
pub(crate) fn random() -> u64 {
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u8(0);
    hasher.finish()
}

/// A name for one that nobody else has: 128 random bits in hexadecimal digits.
pub(crate) fn token() -> String {
    let mut text = String::with_capacity(32);
    for _ in 0..2 {
        hex(&mut text, &random().to_be_bytes());
    }
    text
}
