//! Without axum no router has been asked.

use http::{Request, Uri};

use crate::policy::Place;

pub(crate) fn place<B>(_request: &Request<B>) -> Place<'_> {
    Place::Outside
}

pub(crate) fn original_uri<B>(request: &Request<B>) -> &Uri {
    request.uri()
}

pub(crate) fn rewritten<B>(_request: &Request<B>) -> Option<&Uri> {
    None
}
