//! The canonical request's bytes.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

/// Enough for an ordinary request without touching the heap.
const INLINE: usize = 256;

/// A finished canonical request, shared by the tier's index and the entry.
pub(crate) type Canonical = Arc<[u8]>;

/// Writes a canonical request: every field is its length and its bytes, an
/// absent one differs from an empty one.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    bytes: SmallVec<[u8; INLINE]>,
}

impl Writer {
    /// Begins with what is the same for all requests under one policy.
    #[inline]
    pub(crate) fn new(fingerprint: &[u8; 16]) -> Self {
        let mut bytes = SmallVec::new();
        bytes.extend_from_slice(fingerprint);
        Self { bytes }
    }

    /// Continues a canonical request with what an answer varies on.
    pub(crate) fn resume(canonical: &[u8]) -> Self {
        Self {
            bytes: SmallVec::from_slice(canonical),
        }
    }

    #[inline]
    pub(crate) fn field(&mut self, value: &[u8]) {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX - 1);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    #[inline]
    pub(crate) fn absent(&mut self) {
        self.bytes.extend_from_slice(&u32::MAX.to_le_bytes());
    }

    #[inline]
    pub(crate) fn option(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.field(value),
            None => self.absent(),
        }
    }

    /// A field in lower case.
    #[inline]
    pub(crate) fn field_lowercase(&mut self, value: &[u8]) {
        self.field(value);
        let start = self.bytes.len() - value.len();
        self.bytes[start..].make_ascii_lowercase();
    }

    /// A field that nobody shall read in the store: its hash stands for it.
    pub(crate) fn secret(&mut self, value: &[u8]) {
        self.field(&Sha256::digest(value));
    }

    /// Begins a field whose length is known only at its end.
    #[inline]
    pub(crate) fn open(&mut self) -> usize {
        self.absent();
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn close(&mut self, start: usize) {
        let len = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX - 1);
        self.bytes[start - 4..start].copy_from_slice(&len.to_le_bytes());
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn finish(&self) -> Canonical {
        Arc::from(&self.bytes[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(fields: &[Option<Vec<u8>>]) -> Canonical {
        let mut writer = Writer::new(&[0; 16]);
        for field in fields {
            writer.option(field.as_deref());
        }
        writer.finish()
    }

    #[test]
    fn a_field_opened_and_closed_is_a_field() {
        let mut opened = Writer::new(&[7; 16]);
        let at = opened.open();
        opened.push(b"ab");
        opened.push(b"c");
        opened.close(at);
        let mut plain = Writer::new(&[7; 16]);
        plain.field(b"abc");
        assert_eq!(opened.as_bytes(), plain.as_bytes());
    }

    proptest! {
        #[test]
        fn different_fields_never_have_the_same_bytes(
            a in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)), 0..5),
            b in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)), 0..5),
        ) {
            prop_assert_eq!(a == b, write(&a) == write(&b));
        }
    }
}
