//! The canonical request's bytes.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::words::has_uppercase;

/// Enough for an ordinary request without touching the heap.
const INLINE: usize = 256;

/// A finished canonical request, shared by the tier's index and the entry.
pub(crate) type Canonical = Arc<[u8]>;

/// Writes a canonical request: every field is its length and its bytes, an
/// absent one differs from an empty one.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The bytes, as long as they fit.
    inline: [u8; INLINE],
    len: usize,
    /// All of them, once they do not.
    heap: Vec<u8>,
}

impl Writer {
    #[inline]
    pub(crate) fn empty() -> Self {
        Self {
            inline: [0; INLINE],
            len: 0,
            heap: Vec::new(),
        }
    }

    /// Goes on where another one has ended.
    pub(crate) fn resume(canonical: &[u8]) -> Self {
        let mut writer = Self::empty();
        writer.push(canonical);
        writer
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            self.heap.extend_from_slice(&self.inline[..self.len]);
            self.len = INLINE + 1; // nothing fits from now on
        }
        self.heap.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn field(&mut self, value: &[u8]) {
        self.push(&length(value.len()));
        self.push(value);
    }

    #[inline]
    pub(crate) fn absent(&mut self) {
        self.push(&u32::MAX.to_le_bytes());
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
        match has_uppercase(value) {
            false => self.field(value),
            true => self.field_lowered(value),
        }
    }

    #[cold]
    fn field_lowered(&mut self, value: &[u8]) {
        self.field(&value.to_ascii_lowercase());
    }

    /// A field that nobody shall read in the store: its hash stands for it.
    pub(crate) fn secret(&mut self, value: &[u8]) {
        self.field(&Sha256::digest(value));
    }

    /// Begins a field whose length is known only at its end.
    #[inline]
    pub(crate) fn open(&mut self) -> usize {
        self.absent();
        self.as_bytes().len()
    }

    #[inline]
    pub(crate) fn close(&mut self, start: usize) {
        let len = length(self.as_bytes().len() - start);
        self.as_mut_bytes()[start - 4..start].copy_from_slice(&len);
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.inline.get(..self.len).unwrap_or(&self.heap)
    }

    fn as_mut_bytes(&mut self) -> &mut [u8] {
        match self.inline.get_mut(..self.len) {
            Some(inline) => inline,
            None => &mut self.heap,
        }
    }

    pub(crate) fn finish(&self) -> Canonical {
        Arc::from(self.as_bytes())
    }
}

/// Lengths beyond 4 GiB do not occur in a request's head; `u32::MAX` is kept
/// for what is absent.
#[inline]
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX - 1).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(fields: &[Option<Vec<u8>>]) -> Canonical {
        let mut writer = Writer::empty();
        for field in fields {
            writer.option(field.as_deref());
        }
        writer.finish()
    }

    #[test]
    fn a_field_opened_and_closed_is_a_field() {
        let mut opened = Writer::empty();
        let at = opened.open();
        opened.push(b"ab");
        opened.push(b"c");
        opened.close(at);
        let mut plain = Writer::empty();
        plain.field(b"abc");
        assert_eq!(opened.as_bytes(), plain.as_bytes());
    }

    #[test]
    fn a_long_request_moves_to_the_heap_whole() {
        let fields: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 40]).collect();
        let mut writer = Writer::empty();
        for field in &fields {
            writer.field(field);
        }
        let at = writer.open();
        writer.push(b"end");
        writer.close(at);
        let mut wanted = Vec::new();
        for field in fields.iter().map(|f| &f[..]).chain([&b"end"[..]]) {
            wanted.extend_from_slice(&length(field.len()));
            wanted.extend_from_slice(field);
        }
        assert_eq!(writer.as_bytes(), wanted);
        writer.field_lowercase(b"ABC");
        assert!(writer.as_bytes().ends_with(b"abc"));
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
