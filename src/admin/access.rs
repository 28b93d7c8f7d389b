//! Who may do what.
//!
//! 1. A router without a token that was not opened refuses everybody.
//! 2. A token is compared by its hash, in a time that says nothing of it, with all
//!    that are known.
//! 3. A token for reading changes nothing.
//! 4. What is no GET comes from the same origin, as browsers say it by
//!    `Sec-Fetch-Site` and `Origin`, and is JSON: no form of another site can send it.
//!
//! Cookies are not looked at, so there is nothing that a browser adds by itself.

use http::{HeaderMap, Method, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::problem::Problem;

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rights {
    Read,
    Full,
}

/// The tokens that are known, as hashes.
#[derive(Default)]
pub(super) struct Access {
    tokens: Vec<([u8; 32], Rights)>,
    open: bool,
}

impl Access {
    pub(super) fn allow(&mut self, token: &str, rights: Rights) {
        self.tokens.push((Sha256::digest(token).into(), rights));
    }

    pub(super) fn open(&mut self) {
        self.open = true;
    }

    /// Whether a request may be answered.
    pub(super) fn check(
        &self,
        needed: Rights,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        if !method.is_safe() {
            same_origin(uri, headers)?;
        }
        match self.rights(headers)? {
            rights if rights < needed => {
                let why = "this token is for reading alone";
                return Err(Problem::new(StatusCode::FORBIDDEN, why));
            }
            _ => {}
        }
        match !method.is_safe() && !is_json(headers) {
            true => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content-type must be application/json",
            )),
            false => Ok(()),
        }
    }

    fn rights(&self, headers: &HeaderMap) -> Result<Rights, Problem> {
        if self.open {
            return Ok(Rights::Full);
        }
        if self.tokens.is_empty() {
            let why = "the admin router is closed: give it a token, or open it";
            return Err(Problem::new(StatusCode::FORBIDDEN, why));
        }
        let refused = |why| Problem::new(StatusCode::UNAUTHORIZED, why);
        let token = bearer(headers).ok_or_else(|| refused("a bearer token is needed"))?;
        let given: [u8; 32] = Sha256::digest(token).into();
        let is = |rights| {
            let all = self.tokens.iter().filter(|(_, of)| *of == rights);
            all.fold(Choice::from(0), |any, (known, _)| any | known.ct_eq(&given))
        };
        let (full, read) = (is(Rights::Full), is(Rights::Read));
        match (bool::from(full), bool::from(read)) {
            (true, _) => Ok(Rights::Full),
            (false, true) => Ok(Rights::Read),
            (false, false) => Err(refused("this token is not known")),
        }
    }
}

/// The token of `Authorization: Bearer ..` (RFC 6750, 2.1). Two fields are none.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut fields = headers.get_all(header::AUTHORIZATION).into_iter();
    let (field, None) = (fields.next()?, fields.next()) else {
        return None;
    };
    let (scheme, token) = field.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let essence = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether a request comes from a page of the same origin, or from no page.
fn same_origin(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || {
        let why = "a request of another site: its Origin is not the Host that has arrived, which a proxy on the way must leave as it is";
        Problem::new(StatusCode::FORBIDDEN, why)
    };
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(refused()),
        };
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, needed: Rights, fields: &[(&'static str, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let uri = Uri::from_static("/invalidate");
        let method = match needed {
            Rights::Read => Method::GET,
            Rights::Full => Method::POST,
        };
        match access.check(needed, &method, &uri, &headers) {
            Ok(()) => 200,
            Err(problem) => axum::response::IntoResponse::into_response(problem)
                .status()
                .as_u16(),
        }
    }

    fn two() -> Access {
        let mut access = Access::default();
        access.allow("writer", Rights::Full);
        access.allow("reader", Rights::Read);
        access
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const WRITER: (&str, &str) = ("authorization", "Bearer writer");
    const READER: (&str, &str) = ("authorization", "bearer reader");

    #[test]
    fn who_has_no_token_or_a_wrong_one_is_refused() {
        assert_eq!(check(&Access::default(), Rights::Read, &[WRITER]), 403);
        for field in [
            "",
            "writer",
            "Basic writer",
            "Bearer ",
            "Bearer write",
            "Bearer writer ",
        ] {
            assert_eq!(
                check(&two(), Rights::Read, &[("authorization", field)]),
                401,
                "{field}"
            );
        }
        assert_eq!(
            check(&two(), Rights::Read, &[("cookie", "token=writer")]),
            401
        );
        assert_eq!(
            check(&two(), Rights::Read, &[WRITER, READER]),
            401,
            "two of them"
        );
        assert_eq!(check(&two(), Rights::Read, &[WRITER]), 200);
        assert_eq!(check(&two(), Rights::Read, &[READER]), 200);
    }

    #[test]
    fn a_token_for_reading_changes_nothing() {
        assert_eq!(check(&two(), Rights::Full, &[READER, JSON]), 403);
        assert_eq!(check(&two(), Rights::Full, &[READER, JSON]), 403);
        assert_eq!(check(&two(), Rights::Full, &[WRITER, JSON]), 200);
    }

    #[test]
    fn what_changes_something_is_json_from_the_same_origin() {
        let mut open = Access::default();
        open.open();
        let post = |fields: &[_]| check(&open, Rights::Full, fields);
        let host = ("host", "a.example:3000");
        assert_eq!(post(&[host]), 415);
        assert_eq!(post(&[host, ("content-type", "text/plain")]), 415);
        assert_eq!(post(&[host, JSON]), 200, "no browser");
        for (site, status) in [
            ("same-origin", 200),
            ("none", 200),
            ("same-site", 403),
            ("cross-site", 403),
            ("", 403),
        ] {
            assert_eq!(
                post(&[host, JSON, ("sec-fetch-site", site)]),
                status,
                "{site}"
            );
        }
        for (origin, status) in [
            ("http://a.example:3000", 200),
            ("http://A.example:3000", 200),
            ("http://a.example", 403),
            ("http://b.example:3000", 403),
            ("http://a.example:3000.b.example", 403),
            ("null", 403),
        ] {
            assert_eq!(post(&[host, JSON, ("origin", origin)]), status, "{origin}");
        }
    }
}
