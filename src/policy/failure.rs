//! What a policy's fallback is told.

use http::{HeaderMap, StatusCode, Uri};

/// A handler that has failed, and whose request nothing stored can answer.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) status: Option<StatusCode>,
}

impl<'a> Failure<'a> {
    /// The original request target.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The request's fields, as the handler saw them.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// 500, 502, 503 or 504; none where the service itself ended in an error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }
}
