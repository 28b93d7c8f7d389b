//! Without axum no router has been asked.

use http::{Extensions, Uri};

use crate::policy::Place;

pub(crate) fn place(_extensions: &Extensions) -> Place<'_> {
    Place::Outside
}

pub(crate) fn original_uri<'a>(_extensions: &'a Extensions, uri: &'a Uri) -> &'a Uri {
    uri
}

pub(crate) fn rewritten<'a>(_original: &Uri, _uri: &'a Uri) -> Option<&'a Uri> {
    None
}
