//! The page: what it is made of, embedded in the crate.

use axum::Router;
use axum::extract::OriginalUri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};

use super::problem::not_allowed;
use super::shared::Shared;

/// Nothing from elsewhere, nothing inline.
pub(super) const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal $kind:ident,)*) => {
        const ASSETS: &[(&str, &str, &str)] = &[$(($name, $kind, include_str!(concat!("assets/", $name))),)*];
    };
}

assets! {
    "dashboard.css" CSS,
    "uplot.css" CSS,
    "uplot.js" SCRIPT,
    "theme.js" SCRIPT,
    "main.js" SCRIPT,
    "actions.js" SCRIPT,
    "charts.js" SCRIPT,
    "dom.js" SCRIPT,
    "endpoints.js" SCRIPT,
    "format.js" SCRIPT,
    "history.js" SCRIPT,
    "live.js" SCRIPT,
    "panels.js" SCRIPT,
    "icon.svg" SVG,
}

/// The page asks for a token, unless the router is open.
pub(super) fn routes(open: bool) -> Router<Shared> {
    let page: &str = match open {
        true => concat!(
            "<!doctype html>\n<html lang=\"en\" data-open>",
            include_str!("assets/dashboard.html")
        ),
        false => concat!(
            "<!doctype html>\n<html lang=\"en\">",
            include_str!("assets/dashboard.html")
        ),
    };
    let page = move || async move { asset(HTML, page) };
    let mut router = Router::new()
        .route("/", get(to_page))
        .route("/dashboard", get(page));
    for (name, kind, text) in ASSETS {
        let asset = move || async move { asset(kind, text) };
        router = router.route(&format!("/assets/{name}"), get(asset));
    }
    router.method_not_allowed_fallback(not_allowed)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The page's own path has no slash at its end, wherever it is nested; what it names
/// lies beside it.
async fn to_page(OriginalUri(uri): OriginalUri) -> Response {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let place = match last {
        "" => "dashboard".to_owned(),
        last => format!("{last}/dashboard"),
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}
