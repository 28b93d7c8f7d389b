//! Reading requests: bounded bodies, and errors as JSON.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::{JSON, Problem};

/// The largest body that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// A body that is an object of JSON.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body: Body = request.into_body();
        let body = axum::body::to_bytes(body, LARGEST).await.map_err(|_| {
            let why = format!("a body has at most {LARGEST} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why)
        })?;
        // serde takes a list for a struct, too
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad("the body is no JSON object, such as {}"));
        }
        let asked = serde_json::from_slice(&body);
        asked
            .map(Self)
            .map_err(|error| Problem::bad(error.to_string()))
    }
}

/// The parameters of a query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(params)| Self(params))
            .map_err(|error: QueryRejection| Problem::bad(error.body_text()))
    }
}

/// An answer in JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
            Err(error) => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
            }
        }
    }
}
