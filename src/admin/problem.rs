//! Errors as JSON.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::error::{InvalidateError, InvalidateErrorKind, StoreError};
use crate::inspect::{InspectError, InspectErrorKind};

/// Why a request is not answered as it asks.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { status, error }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

pub(super) async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not by this method")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error }).to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"larder\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl From<InspectError> for Problem {
    fn from(error: InspectError) -> Self {
        let status = match error.kind() {
            InspectErrorKind::BadRequest => StatusCode::BAD_REQUEST,
            InspectErrorKind::Store => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<InvalidateError> for Problem {
    fn from(error: InvalidateError) -> Self {
        let status = match error.kind() {
            InvalidateErrorKind::BadSelector => StatusCode::BAD_REQUEST,
            // it is honoured here, and kept for the others
            InvalidateErrorKind::Queued => StatusCode::ACCEPTED,
            InvalidateErrorKind::Store => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}
