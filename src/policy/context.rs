//! [`Context`]: what of the cache's settings its policies are compiled with.

use http::HeaderName;

use crate::invalidate::Namespaces;

/// What of the cache's settings a policy is compiled with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) prefix: String,
    pub(crate) release: String,
    pub(crate) max_body: usize,
    pub(crate) credentials: Vec<HeaderName>,
    /// Where typed values lie.
    pub(crate) namespaces: Namespaces,
    /// Each entry is a tenant's.
    pub(crate) tenants: bool,
}
