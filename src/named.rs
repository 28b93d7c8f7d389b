//! What the answer to an unsafe request names: other URIs of its origin, and
//! groups of answers.

use http::uri::{Parts, PathAndQuery};
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};

use crate::cache::Engine;
use crate::invalidate::{Target, escape_uri};
use crate::key::ScopeId;
use crate::place::original_uri;
use crate::policy::{RequestHead, targeted};

/// A request, as far as the names in its answer depend on it.
pub(crate) struct Named {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Named {
    pub(crate) fn new<R>(request: &Request<R>) -> Self {
        Self {
            method: request.method().clone(),
            uri: original_uri(request.extensions(), request.uri()).clone(),
            headers: request.headers().clone(),
            extensions: request.extensions().clone(),
        }
    }

    /// `Location` and `Content-Location` of the same origin (RFC 9111, 4.4), and
    /// the groups of `Cache-Group-Invalidation` (RFC 9875, 3).
    pub(crate) fn targets(&self, engine: &Engine, answer: &HeaderMap) -> Vec<Target> {
        let head = RequestHead {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            extensions: &self.extensions,
        };
        let Ok(tenant) = engine.tenant_of(&head) else {
            return Vec::new(); // nothing was ever stored for it
        };
        let (tenant, host) = (tenant.as_deref(), host_of(&self.uri, &self.headers));
        let mut targets = Vec::new();
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let uri = answer
                .get(&name)
                .and_then(|value| resolved(&self.uri, value));
            if let Some(uri) = uri.filter(|uri| self.is_of(&host, uri)) {
                targets.push(Target::of_uri(&uri, tenant));
            }
        }
        let groups = targeted::strings(answer, "cache-group-invalidation");
        let ids = groups.iter();
        let ids = ids.map(|group| ScopeId::group(tenant, &host, group));
        targets.extend(ids.map(Target::of_group));
        targets
    }

    /// Whether the answer to a POST is that to a GET of the same target (RFC 9110,
    /// 9.3.3): it says so by its `Content-Location`, and is a 200, for what was
    /// created or found elsewhere is no answer to a GET.
    pub(crate) fn stands_for_get<B>(&self, answer: &Response<B>) -> bool {
        if answer.status() != StatusCode::OK {
            return false;
        }
        let mut lines = answer.headers().get_all(header::CONTENT_LOCATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return false;
        };
        let uri = resolved(&self.uri, line);
        let host = host_of(&self.uri, &self.headers);
        uri.is_some_and(|uri| {
            self.is_of(&host, &uri) && uri.path_and_query() == self.uri.path_and_query()
        })
    }

    /// Whether a URI has the request's own host, its scheme's port said or not; a
    /// server behind a proxy does not know its own scheme.
    fn is_of(&self, host: &str, uri: &Uri) -> bool {
        let port = match uri.scheme_str() {
            Some("https") => ":443",
            _ => ":80",
        };
        let named = host_of(uri, &self.headers);
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_owned();
        uri.authority().is_none() || bare(&named) == bare(host)
    }
}

/// Host and port of a request, as groups are bound to them: its origin but for the
/// scheme, which HTTP/1.1 does not tell, whatever the connection.
pub(crate) fn host_of(uri: &Uri, headers: &HeaderMap) -> String {
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()),
    };
    host.unwrap_or_default().to_ascii_lowercase()
}

/// The URI in a field. Handlers write what no URI can hold, and clients escape it.
fn resolved(base: &Uri, field: &HeaderValue) -> Option<Uri> {
    let text = std::str::from_utf8(field.as_bytes()).ok()?;
    resolve(base, &escape_uri(text))
}

/// A reference resolved against a request's target (RFC 3986, 5.2).
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next()?;
    if let Ok(absolute) = reference.parse::<Uri>()
        && absolute.scheme().is_some()
    {
        return normal(absolute);
    }
    if let Some(authority) = reference.strip_prefix("//") {
        return normal(format!("http://{authority}").parse().ok()?);
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let path = match path {
        "" => base.path().to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => {
            let directory = base.path().rfind('/').map_or("/", |at| &base.path()[..=at]);
            without_dots(&format!("{directory}{path}"))
        }
    };
    let query = if reference.is_empty() {
        base.query()
    } else {
        query
    };
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = Parts::default();
    parts.path_and_query = Some(target.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

/// An absolute URI without dot segments.
fn normal(uri: Uri) -> Option<Uri> {
    let path = without_dots(uri.path());
    if path == uri.path() {
        return Some(uri);
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Removes dot segments (RFC 3986, 5.2.4), also encoded ones: a dot is unreserved (6.2.2.2).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        match &*dots {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if last && matches!(&*dots, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_rfc_3986_has_it() {
        let base = Uri::from_static("/b/c/d?q");
        let resolved = |reference| resolve(&base, reference).map(|uri| uri.to_string());
        for (reference, wanted) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("../g", "/b/g"),
            ("../../../g", "/g"),
            ("/g?y#s", "/g?y"),
            ("?y", "/b/c/d?y"),
            ("", "/b/c/d?q"),
            ("g/..", "/b/c/"),
            ("http://a/x", "http://a/x"),
            ("http://a/y/../x/%2E?q", "http://a/x/?q"),
            ("/y/.%2e/x%2ey", "/x%2ey"),
            ("//a/x", "http://a/x"),
        ] {
            assert_eq!(resolved(reference).as_deref(), Some(wanted), "{reference}");
        }
        assert_eq!(resolved("a b"), None);
    }
}
