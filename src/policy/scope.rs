//! Scopes: what of a request says whose answer it is.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// A request without its body, as user's functions see it. The URI is the
/// original one, also inside a nested router.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The original request target.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The fields.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What layers further out have left, such as a verified user.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

pub(crate) type ScopeFn = Arc<dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync>;

/// Whose answer a stored response is: part of its key, by a hash.
///
/// A policy without a scope is shared by everybody, and a request with a
/// credential bypasses it.
#[derive(Clone)]
pub struct Scope(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Field(HeaderName),
    Cookie(String),
    /// And where it was written: two functions are two scopes.
    By(ScopeFn, &'static Location<'static>),
    /// A name that is not one; refused when the policy is compiled.
    Bad(String),
}

/// What a scope says of one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scoped {
    /// The scope's value, hashed into the key.
    Value(Vec<u8>),
    /// No credential at all: the anonymous answer.
    Anonymous,
    /// The scope cannot tell; the request bypasses.
    Unknown,
}

impl Scope {
    /// Per value of `Authorization`. Requests without it share one answer.
    #[must_use]
    pub fn bearer() -> Self {
        Self(Kind::Field(header::AUTHORIZATION))
    }

    /// Per value of one field, such as `X-Api-Key`. Requests without it share
    /// one answer.
    #[must_use]
    pub fn header(name: &str) -> Self {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == header::COOKIE => Self(Kind::Bad(
                "the Cookie field as a whole is different for each visit; use Scope::cookie(name)"
                    .into(),
            )),
            Ok(name) => Self(Kind::Field(name)),
            Err(_) => Self(Kind::Bad(format!("{name:?} is no field name"))),
        }
    }

    /// Per value of one cookie. The handler then sees that cookie alone, so
    /// that its answer cannot depend on another one. Requests without it
    /// share one answer.
    #[must_use]
    pub fn cookie(name: impl Into<String>) -> Self {
        let name = name.into();
        let token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Self(Kind::Bad(format!("{name:?} is no cookie name")));
        }
        Self(Kind::Cookie(name))
    }

    /// Per text that `scope` makes of the request, such as the id of a user
    /// whom a layer further out has verified. It speaks for every credential
    /// of the request. `None`, or a panic, bypasses the cache. Two scopes that
    /// are written in two places never share entries; when a release changes
    /// what the function means, change [`Policy::version`](crate::Policy::version)
    /// too.
    #[must_use]
    #[track_caller]
    pub fn by(scope: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Kind::By(Arc::new(scope), Location::caller()))
    }

    pub(crate) fn of(&self, head: &RequestHead<'_>) -> Scoped {
        match &self.0 {
            Kind::Field(name) => {
                let mut values = head.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => Scoped::Anonymous,
                    (Some(value), None) => Scoped::Value(value.as_bytes().to_vec()),
                    _ => Scoped::Unknown,
                }
            }
            Kind::Cookie(name) => cookie(head.headers, name),
            Kind::By(scope, _) => match scope(head) {
                Some(value) => Scoped::Value(value.into_bytes()),
                None => Scoped::Unknown,
            },
            Kind::Bad(_) => Scoped::Unknown,
        }
    }

    /// Reduces the `Cookie` field to the scope's cookie.
    pub(crate) fn narrow(&self, headers: &mut HeaderMap) {
        let Kind::Cookie(name) = &self.0 else { return };
        let kept = match cookie(headers, name) {
            Scoped::Value(value) => {
                let text = [name.as_bytes(), b"=", &value].concat();
                HeaderValue::from_bytes(&text).ok()
            }
            _ => None,
        };
        match kept {
            Some(value) => {
                headers.insert(header::COOKIE, value);
            }
            None => {
                headers.remove(header::COOKIE);
            }
        }
    }
}

/// The value of a cookie; one that is there twice with different values is
/// nobody's (RFC 6265, 5.4 leaves the order to the user agent).
fn cookie(headers: &HeaderMap, name: &str) -> Scoped {
    let mut found: Option<&[u8]> = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            let Some(at) = pair.iter().position(|b| *b == b'=') else {
                continue;
            };
            let (key, value) = (pair[..at].trim_ascii_end(), pair[at + 1..].trim_ascii());
            if key != name.as_bytes() {
                continue;
            }
            if found.is_some_and(|known| known != value) {
                return Scoped::Unknown;
            }
            found = Some(value);
        }
    }
    found.map_or(Scoped::Anonymous, |value| Scoped::Value(value.to_vec()))
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Field(name) => write!(f, "Scope::header({name})"),
            Kind::Cookie(name) => write!(f, "Scope::cookie({name})"),
            Kind::By(_, place) => write!(f, "Scope::by({place})"),
            Kind::Bad(why) => write!(f, "Scope::bad({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(header::COOKIE, HeaderValue::from_static(line));
        }
        map
    }

    #[test]
    fn a_cookie_is_found_among_others_and_over_two_lines() {
        let map = headers(&["a=1; sid=x", " b = 2"]);
        assert_eq!(cookie(&map, "sid"), Scoped::Value(b"x".to_vec()));
        assert_eq!(cookie(&map, "b"), Scoped::Value(b"2".to_vec()));
        assert_eq!(cookie(&map, "si"), Scoped::Anonymous);
    }

    #[test]
    fn two_values_of_one_cookie_are_nobodys() {
        assert_eq!(cookie(&headers(&["sid=x; sid=y"]), "sid"), Scoped::Unknown);
    }

    #[test]
    fn the_handler_sees_the_scopes_cookie_alone() {
        let mut map = headers(&["a=1; sid=x; b=2"]);
        Scope::cookie("sid").narrow(&mut map);
        assert_eq!(map.get_all(header::COOKIE).iter().count(), 1);
        assert_eq!(map[header::COOKIE], "sid=x");
        let mut map = headers(&["a=1"]);
        Scope::cookie("sid").narrow(&mut map);
        assert!(!map.contains_key(header::COOKIE));
    }
}
