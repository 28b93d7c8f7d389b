//! Which fields of a request say who asks.

use http::{HeaderMap, HeaderName};

use super::classes::Class;
use super::compiled::Compiled;
use super::fields::{is_credential_like, may_be_credential_like};

impl Compiled {
    /// Whether a field carries somebody's credential: it is listed, or named like those
    /// that are.
    pub(crate) fn is_credential(&self, name: &HeaderName) -> bool {
        let like = may_be_credential_like(name.as_str().as_bytes());
        (like && is_credential_like(name.as_str())) || self.credentials.contains(name)
    }

    /// Whether a request that a handler saw has a credential that is not keyed.
    pub(crate) fn has_open_credential(&self, request: &HeaderMap) -> bool {
        let keyed = [Some(Class::KeyedSecret), Some(Class::Scoped)];
        let mut names = request.keys();
        names.any(|name| self.is_credential(name) && !keyed.contains(&self.classes.get(name)))
    }
}
