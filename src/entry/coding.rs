//! Coded variants of an entry: made once, off every request's path, and chosen
//! for the clients that read them (RFC 9110, 8.4 and 12.5.3).

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG,
    HeaderValue, IF_MATCH, IF_RANGE, VARY,
};

use super::coders::code;
use super::codings::Coding;
use super::headers::is_plain_made;
use super::stored::Entry;
use crate::known::number_value;
use crate::policy::accept;
use crate::policy::cache_control::tags;
use crate::policy::freshness::Rules;

/// A body in one coding.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    coding: Coding,
    body: Bytes,
}

impl Coded {
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }
}

/// A shorter body gains nothing.
const SHORTEST: usize = 1 << 10;

/// Whether coded variants of an entry are sent: of a text-like type, not coded
/// already, and nobody forbids it (RFC 9111, 5.2.2.6).
pub(crate) fn is_codable(
    status: http::StatusCode,
    headers: &HeaderMap,
    rules: Rules,
    len: usize,
) -> bool {
    status == http::StatusCode::OK
        && len >= SHORTEST
        && !rules.has(Rules::NO_TRANSFORM)
        && !headers.contains_key(CONTENT_ENCODING)
        && headers.get(CONTENT_TYPE).is_some_and(is_text)
}

fn is_text(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes();
    let end = kind.iter().position(|b| *b == b';').unwrap_or(kind.len());
    let kind = kind[..end].trim_ascii().to_ascii_lowercase();
    let known: [&[u8]; 7] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/wasm",
        b"application/graphql",
        b"application/x-ndjson",
        b"image/svg+xml",
    ];
    kind.starts_with(b"text/")
        || kind.ends_with(b"+json")
        || kind.ends_with(b"+xml")
        || known.contains(&&kind[..])
}

/// Codes a body, in those codings that make it at least a tenth shorter. Takes
/// long: not for a request's path.
pub(crate) fn code_all(entry: &Entry, codings: &[Coding]) -> Box<[Coded]> {
    let whole = entry.body.len();
    let coded = codings.iter().filter_map(|coding| {
        let body = Bytes::from(code(*coding, &entry.body)?);
        (body.len() < whole - whole / 10).then_some(Coded {
            coding: *coding,
            body,
        })
    });
    coded.collect()
}

/// Whether a layer further out may code what has a tag of larder's own: that tag would
/// stand for the coded body too, and a part of the plain one must not be joined to it
/// (RFC 9110, 8.8.3.3). Nor can one there decode a part of what is coded. Whoever takes no
/// coding has parts. Told by the tag's form: to hash a long body for each part takes long.
pub(crate) fn may_be_coded_outside(request: &HeaderMap, response: &HeaderMap) -> bool {
    response.get(ETAG).is_some_and(is_plain_made)
        && accept::coding(request, &["gzip", "deflate", "br", "zstd"]).is_some()
}

/// Whether a part is asked for by a date alone, by who may have a coded variant of what it
/// is of: the two have one date.
pub(crate) fn is_by_date(request: &HeaderMap, codings: &[Coding]) -> bool {
    let dated = |said: &HeaderValue| !said.as_bytes().ends_with(b"\"");
    let names: Vec<_> = codings.iter().map(|coding| coding.as_str()).collect();
    request.get(IF_RANGE).is_some_and(dated) && accept::coding(request, &names).is_some()
}

/// The variant for a request, and what of the response's fields it changes. The
/// body is none where the identity serves.
pub(crate) fn choose(
    request: &HeaderMap,
    response: &mut HeaderMap,
    coded: &[Coded],
) -> Option<Bytes> {
    add_vary(response);
    let available: Vec<&'static str> = coded.iter().map(|c| c.coding.as_str()).collect();
    let name = accept::coding(request, &available)?;
    let chosen = coded.iter().find(|coded| coded.coding.as_str() == name)?;
    response.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    response.insert(CONTENT_LENGTH, number_value(chosen.body.len() as u64));
    response.remove(ACCEPT_RANGES);
    for digest in ["content-md5", "content-digest", "repr-digest", "digest"] {
        response.remove(digest); // of the other bytes (RFC 9530, 3: of the coded ones)
    }
    if let Some(tag) = response.get(ETAG).and_then(|tag| tag_of(tag, name)) {
        response.insert(ETAG, tag);
    }
    Some(chosen.body.clone())
}

/// Says of an answer whose body is still to come that it has coded variants,
/// where it will have them. One of no `declared` length may.
pub(crate) fn announce(
    response: &mut HeaderMap,
    codings: &[Coding],
    status: http::StatusCode,
    rules: Rules,
    declared: Option<u64>,
) {
    let len = declared.and_then(|len| usize::try_from(len).ok());
    let len = len.unwrap_or(usize::MAX);
    if !codings.is_empty() && is_codable(status, response, rules, len) {
        add_vary(response);
    }
}

/// Says that clients get what they accept.
fn add_vary(response: &mut HeaderMap) {
    let listed = |line: &HeaderValue| {
        let mut names = line
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
    };
    if !response.get_all(VARY).iter().any(listed) {
        response.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
}

/// The tag of a coded variant, which is another representation (RFC 9110,
/// 8.8.3.3): the coding stands inside the quotes.
fn tag_of(tag: &HeaderValue, coding: &str) -> Option<HeaderValue> {
    let inner = tag.as_bytes().strip_suffix(b"\"")?;
    let tag = [inner, b"-", coding.as_bytes(), b"\""].concat();
    HeaderValue::from_bytes(&tag).ok()
}

/// Lets a request name the plain body too where it names a coded variant, whose
/// tag its handler does not know (RFC 9110, 13.1.1): its client has seen either. The plain
/// tags stand in a line of their own before the client's, which some handlers read alone.
pub(crate) fn name_plain(request: &mut HeaderMap, codings: &[Coding]) {
    let mut lines = Vec::new();
    for line in request.get_all(IF_MATCH) {
        lines.extend(tags(line.as_bytes()).filter_map(|tag| plain_of(tag, codings)));
    }
    if lines.is_empty() {
        return;
    }
    lines.extend(request.get_all(IF_MATCH).iter().cloned());
    request.remove(IF_MATCH);
    for line in lines {
        request.append(IF_MATCH, line);
    }
}

/// The tag of the plain body that [`tag_of`] has made this strong one of.
pub(crate) fn plain_of(tag: &[u8], codings: &[Coding]) -> Option<HeaderValue> {
    let inner = tag
        .strip_suffix(b"\"")
        .filter(|tag| tag.starts_with(b"\""))?;
    let mut names = codings.iter().map(|coding| coding.as_str().as_bytes());
    let plain = names.find_map(|name| inner.strip_suffix(name)?.strip_suffix(b"-"))?;
    HeaderValue::from_bytes(&[plain, b"\""].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn what_is_text_and_plain_and_long_is_codable() {
        let ok = http::StatusCode::OK;
        let json = headers(&[("content-type", "application/json; charset=utf-8")]);
        assert!(is_codable(ok, &json, Rules::default(), 2_000));
        assert!(!is_codable(ok, &json, Rules::default(), 1_000));
        assert!(!is_codable(ok, &json, Rules::NO_TRANSFORM, 2_000));
        assert!(!is_codable(
            http::StatusCode::NOT_FOUND,
            &json,
            Rules::default(),
            2_000
        ));
        let png = headers(&[("content-type", "image/png")]);
        assert!(!is_codable(ok, &png, Rules::default(), 2_000));
        let coded = headers(&[("content-type", "text/html"), ("content-encoding", "gzip")]);
        assert!(!is_codable(ok, &coded, Rules::default(), 2_000));
        assert!(!is_codable(ok, &headers(&[]), Rules::default(), 2_000));
    }

    #[test]
    fn a_tag_of_larders_own_is_told_by_its_form() {
        let accepts = headers(&[("accept-encoding", "gzip")]);
        let outside = |tag| may_be_coded_outside(&accepts, &headers(&[("etag", tag)]));
        assert!(outside("\"l-0123456789abcdef0123456789abcd\""));
        for other in [
            "\"l-0123456789abcdef0123456789abcd-br\"",
            "\"l-0\"",
            "\"v1\"",
        ] {
            assert!(!outside(other), "{other}");
        }
    }

    #[test]
    fn a_variant_has_fields_of_its_own() {
        let coded = [Coded {
            coding: Coding::Brotli,
            body: Bytes::from_static(b"coded"),
        }];
        let stored = [
            ("etag", "\"a\""),
            ("content-length", "2000"),
            ("vary", "Origin"),
            ("repr-digest", "sha-256=:AAAA:"),
            ("digest", "sha-256=AAAA"),
        ];
        let mut response = headers(&stored);
        let asked = headers(&[("accept-encoding", "gzip, br")]);
        assert_eq!(choose(&asked, &mut response, &coded).unwrap(), "coded");
        assert_eq!(response["etag"], "\"a-br\"");
        assert_eq!(response["content-length"], "5");
        assert_eq!(response["content-encoding"], "br");
        assert_eq!(response.get_all("vary").iter().count(), 2);
        for digest in ["repr-digest", "digest"] {
            assert!(!response.contains_key(digest), "of the plain body");
        }

        let mut plain = headers(&stored);
        assert_eq!(choose(&headers(&[]), &mut plain, &coded), None);
        assert_eq!(plain["etag"], "\"a\"");
        assert_eq!(plain["repr-digest"], "sha-256=:AAAA:");
        assert_eq!(
            plain.get_all("vary").iter().count(),
            2,
            "it varies all the same"
        );
        assert_eq!(
            tag_of(&HeaderValue::from_static("W/\"a\""), "gzip").unwrap(),
            "W/\"a-gzip\""
        );
    }
}
