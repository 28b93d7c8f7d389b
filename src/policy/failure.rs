//! What a policy's fallback is told.

use http::{HeaderMap, StatusCode, Uri};

/// A request that the handler did not answer, and nothing stored can.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) kind: FailureKind,
    pub(crate) status: Option<StatusCode>,
}

/// Why a [fallback](crate::Policy::fallback) is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The handler answered 500, 502, 503 or 504.
    Status,
    /// The service ended in an error.
    Error,
    /// The handler took longer than the
    /// [`hard_timeout`](crate::Policy::hard_timeout).
    Timeout,
    /// Too many requests wait, or this one has waited too long
    /// ([`Bypass::Crowded`](crate::Bypass::Crowded)).
    Crowded,
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

    /// What has happened.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// 500, 502, 503 or 504, of [`FailureKind::Status`]; else none.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }
}
