//! Admission: whether a request takes part in caching.
//!
//! A request is admitted when
//!
//! 1. its method is GET or HEAD (RFC 9110, 9.3.1 and 9.3.2), and it has no body; or
//!    its method is one of the policy's that ask by their content (`content.rs`);
//! 2. it asks for no upgrade, no event stream, and carries no gRPC;
//! 3. no field asks the handler to take it as another method;
//! 4. its host is not in doubt, and `Connection` takes no field off it;
//! 5. no credential says who asks, unless the policy tells what that means;
//! 6. it has no condition that is the handler's alone to judge, and does not
//!    forbid to store its answer (RFC 9111, 5.2.1.5; under `Policy::http` only).
//!
//! Everything else runs the handler as if there were no cache.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use smallvec::SmallVec;

use super::classes::Class;
use super::compiled::Compiled;
pub(crate) use super::wish::Wish;
use crate::hint::rarely;
use crate::key::has;
use crate::outcome::Bypass;

/// The keyed fields of a request in the order of their names: name, value, and
/// whether it is a secret.
pub(crate) type KeyedFields<'a> = SmallVec<[(&'a str, &'a HeaderValue, bool); 4]>;

/// What admission has seen on its way.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    /// In lower case it is the key's; absent where the request names no host.
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) head: bool,
    pub(crate) asks: Asks,
}

/// What a request asks for beyond the answer itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Asks {
    /// It is conditional or partial.
    pub(crate) conditional: bool,
    /// No part of an answer can be asked for: not a GET (RFC 9110, 14.2).
    pub(crate) whole: bool,
    /// It has an `Authorization` that is not keyed (RFC 9111, 3.5).
    pub(crate) authorized: bool,
    /// What it says of the answers it takes.
    pub(crate) wish: Option<Box<Wish>>,
}

/// Unsafe, or unknown and taken for unsafe (RFC 9110, 9.2.1; RFC 9111, 4.4); but for
/// CONNECT, which changes nothing and only opens a tunnel (RFC 9110, 9.3.6; RFC 8441).
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !(method.is_safe() || method.as_str() == "QUERY" || *method == Method::CONNECT)
}

/// Whether the method takes part at all.
#[inline]
pub(crate) fn method(method: &Method, has_body: bool) -> Result<(), Bypass> {
    if *method != Method::GET && *method != Method::HEAD {
        return Err(Bypass::Method);
    }
    if has_body {
        return Err(Bypass::RequestBody);
    }
    Ok(())
}

/// Reads the fields once, in the order of the list above. The keyed ones are put
/// where they stay: moving them costs as much as reading them.
#[inline]
pub(crate) fn admit<'a>(
    policy: &Compiled,
    method: &Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    keyed: &mut KeyedFields<'a>,
) -> Result<Admitted<'a>, Bypass> {
    let mut asks = Asks {
        whole: *method != Method::GET,
        ..Asks::default()
    };
    let (mut host, mut wishes): (Option<&[u8]>, _) = (None, false);
    for (name, value) in headers {
        if !policy.classes.notable(name) {
            continue;
        }
        if *name == header::HOST {
            if rarely(host.replace(value.as_bytes()).is_some()) {
                return Err(Bypass::AmbiguousHost);
            }
        } else if *name == header::ACCEPT && !policy.classes.has_accept() {
            if rarely(accepts_events(value.as_bytes())) {
                return Err(Bypass::Streaming);
            }
        } else {
            notice(policy, (name, value), &mut asks, &mut wishes, keyed)?;
        }
    }
    if wishes {
        asks.wish = Some(wished(headers)?);
    }
    if keyed.len() > 1 {
        sort(keyed);
    }
    Ok(Admitted {
        host: host_of(uri, host)?,
        head: *method == Method::HEAD,
        asks,
    })
}

#[cold]
fn wished(headers: &HeaderMap) -> Result<Box<Wish>, Bypass> {
    let wish = Wish::of(headers);
    match wish.no_store && !wish.only_if_cached {
        true => Err(Bypass::NoStore),
        false => Ok(Box::new(wish)),
    }
}

#[cold]
fn sort(keyed: &mut KeyedFields<'_>) {
    keyed.sort_by_key(|(name, _, _)| *name); // stable: values keep their order
}

/// Takes note of a field that few requests have. Out of the way of the rest.
#[inline(never)]
fn notice<'a>(
    policy: &Compiled,
    (name, value): (&'a HeaderName, &'a HeaderValue),
    asks: &mut Asks,
    wishes: &mut bool,
    keyed: &mut KeyedFields<'a>,
) -> Result<(), Bypass> {
    if *name == header::CONNECTION && lists_fields(value.as_bytes()) {
        return Err(Bypass::Connection);
    }
    if is_streaming(name, value) {
        return Err(Bypass::Streaming);
    }
    match policy.classes.get(name) {
        None | Some(Class::Hidden | Class::Scoped) => {}
        Some(Class::Keyed) => keyed.push((name.as_str(), value, false)),
        Some(Class::KeyedSecret) => keyed.push((name.as_str(), value, true)),
        Some(Class::Credential) => return Err(Bypass::Credential),
        Some(Class::MethodOverride) => return Err(Bypass::MethodOverride),
        Some(Class::Condition) => asks.conditional = true,
        Some(Class::Precondition) => return Err(Bypass::Precondition),
        Some(Class::Authorization) => asks.authorized = true,
        Some(Class::Wish) => *wishes = true,
    }
    Ok(())
}

fn is_streaming(name: &HeaderName, value: &HeaderValue) -> bool {
    if *name == header::ACCEPT {
        return accepts_events(value.as_bytes());
    }
    if *name == header::CONTENT_TYPE {
        return contains(value.as_bytes(), b"application/grpc");
    }
    *name == header::UPGRADE
}

/// Whether a `Connection` lists more than options and fields of the connection.
fn lists_fields(value: &[u8]) -> bool {
    const USUAL: [&str; 6] = [
        "keep-alive",
        "close",
        "te",
        "upgrade",
        "http2-settings",
        "proxy-connection",
    ];
    let usual = |option: &[u8]| {
        let option = option.trim_ascii();
        let known = |known: &&str| option.eq_ignore_ascii_case(known.as_bytes());
        option.is_empty() || USUAL.iter().any(known)
    };
    !value.split(|byte| *byte == b',').all(usual)
}

/// Whether an `Accept` names event streams. Looks for the hyphen first, of
/// which ordinary values have few.
fn accepts_events(value: &[u8]) -> bool {
    if !has(value, b'-') {
        return false;
    }
    let hyphens = value.iter().enumerate().filter(|(_, byte)| **byte == b'-');
    hyphens
        .map(|(at, _)| value.split_at(at))
        .any(|(before, behind)| {
            let before = before.len().checked_sub(10).map(|at| &before[at..]);
            before.is_some_and(|b| b.eq_ignore_ascii_case(b"text/event"))
                && behind
                    .get(..7)
                    .is_some_and(|b| b.eq_ignore_ascii_case(b"-stream"))
        })
}

/// Whether a field's value contains a text, in any case.
pub(crate) fn contains(value: &[u8], text: &[u8]) -> bool {
    value
        .windows(text.len())
        .any(|window| window.eq_ignore_ascii_case(text))
}

/// The host of a request: the target's authority (RFC 9112, 3.2.2) or the
/// `Host` field, and where both are there they must agree.
#[inline]
fn host_of<'a>(uri: &'a Uri, field: Option<&'a [u8]>) -> Result<Option<&'a [u8]>, Bypass> {
    match uri.authority() {
        None => Ok(field),
        Some(authority) => agreed(authority, field).map(Some),
    }
}

#[inline(never)] // HTTP/1.1 has none as a rule
fn agreed<'a>(authority: &'a Authority, field: Option<&[u8]>) -> Result<&'a [u8], Bypass> {
    let authority = authority.as_str().as_bytes();
    if authority.contains(&b'@') {
        return Err(Bypass::AmbiguousHost);
    }
    match field {
        Some(field) if !field.eq_ignore_ascii_case(authority) => Err(Bypass::AmbiguousHost),
        _ => Ok(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(uri: &'static str, field: Option<&'static str>) -> Result<Option<String>, Bypass> {
        let uri = Uri::from_static(uri);
        host_of(&uri, field.map(str::as_bytes))
            .map(|host| host.map(|h| String::from_utf8_lossy(h).into_owned()))
    }

    #[test]
    fn event_streams_are_seen_wherever_they_stand() {
        for yes in [
            "text/event-stream",
            "a/b-c, TEXT/Event-Stream;q=1",
            "*/*,text/event-stream",
        ] {
            assert!(accepts_events(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "-",
            "-stream",
            "text/event",
            "text/event-strea",
            "xtext/vent-stream",
            "*/*",
        ] {
            assert!(!accepts_events(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn the_target_and_the_field_must_name_one_host() {
        assert_eq!(host("/x", None), Ok(None));
        assert_eq!(host("/x", Some("a")), Ok(Some("a".into())));
        assert_eq!(host("http://a/x", None), Ok(Some("a".into())));
        assert_eq!(host("http://a/x", Some("A")), Ok(Some("a".into())));
        for (uri, field) in [
            ("http://a/x", Some("b")),
            ("http://a:80/x", Some("a")),
            ("http://user@a/x", None),
        ] {
            assert_eq!(host(uri, field), Err(Bypass::AmbiguousHost), "{uri}");
        }
    }
}
