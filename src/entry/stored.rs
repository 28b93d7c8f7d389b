//! [`Entry`]: a stored response, as it came from a fill or from the store.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::headers::Fields;
use crate::generation::{Scoped, Stamp};
use crate::key::{Canonical, Key, ScopeId};
use crate::policy::freshness::{Lifetime, Rules};

/// A stored response. What a hit reads comes first and lies together.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) lifetime: Lifetime,
    pub(crate) status: StatusCode,
    pub(crate) rules: Rules,
    /// How long its fill took, in milliseconds.
    pub(crate) took: u32,
    pub(crate) body: Bytes,
    pub(crate) fields: Fields,
    pub(crate) canonical: Canonical,
    pub(crate) key: Key,
    pub(crate) scopes: Box<[ScopeId]>,
    /// When the response was made, milliseconds since 1970: the time it was
    /// stored, less the age it came with.
    pub(crate) created: u64,
    /// The shared clock before its handler started.
    pub(crate) stamp: Stamp,
}

impl Entry {
    /// Its age at a time of day, in milliseconds.
    pub(crate) fn age_at(&self, now: u64) -> u64 {
        now.saturating_sub(self.created)
    }

    /// An estimate of the bytes it holds, allocator's overhead included.
    pub(crate) fn weight(&self) -> u64 {
        let block = |len: usize| {
            if len == 0 {
                0
            } else {
                (len + 8).next_multiple_of(16)
            }
        };
        let fields = block(self.fields.weight());
        let values: usize = self.fields.iter().map(|(_, value)| value.len()).sum();
        let parts = block(self.canonical.len() + 16)
            + block(self.key.as_str().len() + 16)
            + block(self.scopes.len() * 16)
            + block(self.body.len() + values)
            + fields;
        parts as u64
    }
}

impl Scoped for Entry {
    fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    fn name(&self) -> &str {
        self.key.as_str()
    }
}

impl<T: Scoped> Scoped for Arc<T> {
    fn scopes(&self) -> &[ScopeId] {
        (**self).scopes()
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}
