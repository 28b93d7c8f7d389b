//! `Vary` (RFC 9110, 12.5.5): which fields of a request a stored answer
//! depends on.

use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, COOKIE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::accept;
use super::cache_control::is_token;
use super::classes::Class;
use super::compiled::Compiled;
use crate::key::Writer;

/// More names than this in one `Vary` are not stored.
pub(crate) const MOST_NAMES: usize = 16;

/// What a response says it varies on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// On these fields, sorted, each once. None is the usual case.
    On(Arc<[HeaderName]>),
    /// On something no cache can see, or a field that cannot be read.
    Any,
    /// On more names than larder keeps apart.
    TooMany,
}

/// Reads `Vary`, all lines of it. An `Access-Control-Allow-Origin` that is the
/// request's own `Origin`, in any case, counts as varying on it, said or not, and a
/// `Content-Encoding` as varying on `Accept-Encoding`.
pub(crate) fn of(response: &HeaderMap, origin: Option<&HeaderValue>) -> Vary {
    let mut names: Vec<HeaderName> = Vec::new();
    for line in response.get_all(VARY) {
        for name in names_of(line) {
            if name == b"*" || !name.iter().all(|b| is_token(*b)) {
                return Vary::Any;
            }
            match HeaderName::from_bytes(name) {
                Ok(name) => names.push(name),
                Err(_) => return Vary::Any,
            }
        }
    }
    let echoes = |line: &HeaderValue| {
        let line = line.as_bytes();
        origin.is_some_and(|origin| origin.as_bytes().eq_ignore_ascii_case(line))
    };
    let allowed = response.get_all(ACCESS_CONTROL_ALLOW_ORIGIN);
    if allowed.iter().any(echoes) {
        names.push(ORIGIN);
    }
    if response.contains_key(CONTENT_ENCODING) {
        names.push(ACCEPT_ENCODING); // said or not
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    if names.len() > MOST_NAMES {
        return Vary::TooMany;
    }
    Vary::On(names.into())
}

/// Adds the lines of an answer's `Vary` that name more than `fields` do.
pub(crate) fn join(fields: &mut HeaderMap, answer: &HeaderMap) {
    for line in answer.get_all(VARY) {
        let known = |name: &[u8]| {
            let mut lines = fields.get_all(VARY).iter();
            lines.any(|line| names_of(line).any(|known| known.eq_ignore_ascii_case(name)))
        };
        if !names_of(line).all(known) {
            fields.append(VARY, line.clone());
        }
    }
}

fn names_of(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let names = line.as_bytes().split(|b| *b == b',');
    names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// Continues a canonical request with the fields that an answer varies on, as
/// the handler saw them: hidden ones are absent, credentials are hashed, and
/// what is part of the key already is not repeated.
pub(crate) fn write(
    writer: &mut Writer,
    names: &[HeaderName],
    request: &HeaderMap,
    policy: &Compiled,
) {
    for name in names {
        writer.field(name.as_str().as_bytes());
        match policy.classes.get(name) {
            Some(Class::Hidden | Class::Keyed | Class::KeyedSecret) => {}
            // reduced to the scope's cookie, which is part of the key
            Some(Class::Scoped) if *name == COOKIE && policy.narrows_cookie() => {}
            Some(Class::Scoped | Class::Credential) => {
                for value in request.get_all(name) {
                    writer.secret(value.as_bytes());
                }
            }
            // a credential is one, whether or not this policy heeds it
            _ if policy.is_credential(name) => {
                for value in request.get_all(name) {
                    writer.secret(value.as_bytes());
                }
            }
            _ => {
                // a handler may take the order of languages for a preference
                if let Some(value) = accept::normal(name, request, !policy.http) {
                    writer.field(&value);
                }
            }
        }
        writer.absent(); // the end of this field's values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vary(lines: &[&'static str]) -> Vary {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(VARY, HeaderValue::from_static(line));
        }
        of(&headers, None)
    }

    fn names(names: &[&'static str]) -> Vary {
        Vary::On(names.iter().map(|n| HeaderName::from_static(n)).collect())
    }

    #[test]
    fn lines_order_case_and_repetition_do_not_matter() {
        let wanted = names(&["accept", "accept-language"]);
        assert_eq!(vary(&["Accept-Language, accept"]), wanted);
        assert_eq!(vary(&["accept,, ", "ACCEPT-LANGUAGE , accept"]), wanted);
        assert_eq!(vary(&[]), names(&[]));
    }

    #[test]
    fn a_star_anywhere_is_any() {
        assert_eq!(vary(&["*"]), Vary::Any);
        assert_eq!(vary(&["accept", "x, *"]), Vary::Any);
        assert_eq!(vary(&["acc ept"]), Vary::Any);
    }

    #[test]
    fn lines_are_joined_where_they_name_more() {
        let mut fields = HeaderMap::new();
        fields.insert(VARY, HeaderValue::from_static("Accept, origin"));
        let joined = |fields: &mut HeaderMap, line| {
            let answer = HeaderMap::from_iter([(VARY, HeaderValue::from_static(line))]);
            join(fields, &answer);
            fields.get_all(VARY).iter().count()
        };
        for known in ["", "ORIGIN", "origin,,accept"] {
            assert_eq!(joined(&mut fields, known), 1, "{known}");
        }
        assert_eq!(joined(&mut fields, "origin, cookie"), 2);
        assert_eq!(joined(&mut fields, "cookie"), 2);
        assert_eq!(joined(&mut fields, "*"), 3);
        assert_eq!(of(&fields, None), Vary::Any);
    }

    #[test]
    fn an_echoed_origin_varies_on_it() {
        let mut headers = HeaderMap::new();
        let origin = HeaderValue::from_static("https://a.example");
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        assert_eq!(of(&headers, Some(&origin)), names(&["origin"]));
        assert_eq!(of(&headers, None), names(&[]));
    }
}
