//! Encryption at rest, in the builder.

use super::builder::CacheBuilder;
use crate::entry::{Encryption, Seals};

impl CacheBuilder {
    /// Seals what is written to the shared store, responses and values, by
    /// XChaCha20-Poly1305: fields, bodies, and the requests or keys that they answer.
    /// What can still be read there is an entry's name, status, size and times, and
    /// hashes of its tags. Names bind what is sealed: under another one it does not open.
    ///
    /// An entry that is not sealed, or sealed with a key that is not given here, is a
    /// miss that counts as [`Fault::Corrupt`](crate::Fault::Corrupt). It is left where it
    /// lies, for another process may have its key, until the next fill overwrites it. To
    /// change keys, give the new one to all processes as an
    /// [`older`](Encryption::older) one first. Default: nothing is sealed.
    ///
    /// A number that stands for two keys, and a key of zeros, are refused by
    /// [`build`](Self::build).
    #[allow(clippy::needless_pass_by_value, reason = "keys are not for keeping")]
    pub fn encryption(mut self, keys: Encryption) -> Self {
        match Seals::new(&keys) {
            Ok(seals) => self.wire.seals = Some(seals),
            Err(error) => self.refused = Some(error),
        }
        self
    }
}
