//! Entries that nobody can read or change in the store: XChaCha20-Poly1305.
//!
//! A nonce of 24 random bytes is never used twice, however many processes write
//! however much under one key. The head of the frame, its tags and its name in the
//! store are bound to what is sealed: a frame that is changed, or lies under
//! another name, does not open.

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::error::ConfigError;

pub(super) const NONCE: usize = 24;

/// The keys by which entries are sealed in the shared store
/// ([`CacheBuilder::encryption`](crate::CacheBuilder::encryption)).
///
/// ```
/// use larder::{Cache, Encryption, MIB};
///
/// # let (this_year, last_year) = ([7; 32], [8; 32]);
/// let keys = Encryption::new(2, this_year).older(1, last_year);
/// let cache = Cache::builder().memory(64 * MIB).encryption(keys).build()?;
/// # let _ = cache;
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Encryption {
    /// The first one seals.
    keys: Vec<(u32, [u8; 32])>,
}

impl Encryption {
    /// A key of 32 random bytes that seals and opens, and the number by which frames
    /// name it.
    pub fn new(id: u32, key: [u8; 32]) -> Self {
        let keys = vec![(id, key)];
        Self { keys }
    }

    /// A key that opens what it sealed before. Default: none.
    pub fn older(mut self, id: u32, key: [u8; 32]) -> Self {
        self.keys.push((id, key));
        self
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.keys.iter().map(|(id, _)| *id).collect();
        f.debug_struct("Encryption")
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

/// Keys that are ready.
pub(crate) struct Seals {
    keys: Vec<(u32, XChaCha20Poly1305)>,
}

impl Seals {
    pub(crate) fn new(settings: &Encryption) -> Result<Self, ConfigError> {
        let keys = &settings.keys;
        for (at, (id, key)) in keys.iter().enumerate() {
            if keys[..at].iter().any(|(other, _)| other == id) {
                let why = format!("two keys have the number {id}");
                return Err(ConfigError::new("encryption", why));
            }
            if *key == [0; 32] {
                let why = format!("key {id} is zero");
                return Err(ConfigError::new("encryption", why));
            }
        }
        let ready = |(id, key): &(u32, [u8; 32])| (*id, XChaCha20Poly1305::new(key.into()));
        Ok(Self {
            keys: keys.iter().map(ready).collect(),
        })
    }

    /// The number of the key that seals, and a new nonce; none where the system has no
    /// randomness.
    pub(super) fn begin(&self) -> Option<(u32, [u8; NONCE])> {
        let (id, _) = self.keys.first()?;
        Some((*id, XNonce::try_generate().ok()?.into()))
    }

    pub(super) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
        let (_, key) = self.keys.first()?;
        key.encrypt(nonce.into(), Payload { msg, aad }).ok()
    }

    /// What was sealed; none without its key, or if anything was changed.
    pub(super) fn open(
        &self,
        (id, nonce): (u32, &[u8; NONCE]),
        aad: &[u8],
        msg: &[u8],
    ) -> Option<Vec<u8>> {
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id)?;
        key.decrypt(nonce.into(), Payload { msg, aad }).ok()
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals").finish_non_exhaustive()
    }
}
