//! What the cache asks of the service inside it.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// A service whose answers can be kept, and whose fills can move to a task.
pub(crate) trait Inner<R, B>:
    Service<Request<R>, Response = Response<B>, Future: Send, Error: Send> + Send + 'static
{
}

impl<S, R, B> Inner<R, B> for S where
    S: Service<Request<R>, Response = Response<B>, Future: Send, Error: Send> + Send + 'static
{
}

/// The body of its answers.
pub(crate) trait Content:
    Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static
{
}

impl<B> Content for B where B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}
