//! Scopes of invalidation as numbers: what an entry can be invalidated by.

use sha2::{Digest, Sha256};

use super::hex;

/// 128 bits of the SHA-256 of a scope's kind, tenant and name. Nothing of the
/// name can be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ScopeId(pub(crate) [u8; 16]);

impl ScopeId {
    fn new(kind: u8, tenant: Option<&str>, name: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update([kind]);
        let tenant_len = tenant.map_or(u64::MAX, |t| t.len() as u64);
        hash.update(tenant_len.to_le_bytes());
        hash.update(tenant.unwrap_or_default());
        hash.update(name);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }

    /// An endpoint as it stands in keys, tenant included.
    pub(crate) fn endpoint(endpoint: &str) -> Self {
        Self::new(b'e', None, endpoint.as_bytes())
    }

    /// A target: path and query, in the form that is common to its spellings.
    pub(crate) fn uri(tenant: Option<&str>, target: &[u8]) -> Self {
        Self::new(b'u', tenant, target)
    }

    /// A path, percent-decoded, whatever its query: for answers that not every
    /// parameter keys.
    pub(crate) fn path(tenant: Option<&str>, path: &[u8]) -> Self {
        Self::new(b'p', tenant, path)
    }

    pub(crate) fn tag(tenant: Option<&str>, tag: &str) -> Self {
        Self::new(b't', tenant, tag.as_bytes())
    }

    /// A cache group, which is its origin's (RFC 9875, 2), told by the host.
    pub(crate) fn group(tenant: Option<&str>, host: &str, group: &str) -> Self {
        let name = [host.as_bytes(), &[0], group.as_bytes()].concat();
        Self::new(b'g', tenant, &name)
    }

    /// A namespace of typed values.
    #[cfg_attr(not(feature = "values"), allow(dead_code, reason = "values have them"))]
    pub(crate) fn namespace(name: &str) -> Self {
        Self::new(b'n', None, name.as_bytes())
    }

    pub(crate) fn key(key: &str) -> Self {
        Self::new(b'k', None, key.as_bytes())
    }

    pub(crate) fn to_hex(self) -> String {
        let mut out = String::with_capacity(32);
        hex(&mut out, &self.0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_tenant_and_name_are_told_apart() {
        let ids = [
            ScopeId::tag(None, "a"),
            ScopeId::tag(Some(""), "a"),
            ScopeId::tag(Some("a"), ""),
            ScopeId::tag(None, ""),
            ScopeId::key("a"),
            ScopeId::uri(None, b"a"),
            ScopeId::endpoint("a"),
            ScopeId::namespace("a"),
            ScopeId::group(None, "", "a"),
            ScopeId::group(None, "a", ""),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[at + 1..].contains(id));
        }
    }
}
