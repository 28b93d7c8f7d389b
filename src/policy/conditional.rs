//! Conditional requests (RFC 9110, 13): those of clients answered from an
//! entry, and those that validate an entry.

use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE,
    ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::cache_control::tags;
pub(crate) use super::fields::CONDITIONS;
use super::freshness::date;
use super::vary;

/// Whether a client that sent `request` has what an entry holds (RFC 9111,
/// 4.3.2): by `If-None-Match`, and only where there is none, by
/// `If-Modified-Since` (RFC 9110, 13.2.2).
pub(crate) fn not_modified(request: &HeaderMap, entry: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let tag = entry.get(ETAG).map(HeaderValue::as_bytes);
        let lines = request.get_all(IF_NONE_MATCH).iter();
        return lines.into_iter().any(|line| names(line.as_bytes(), tag));
    }
    if same_to_the_letter(request, entry) {
        return true;
    }
    let Some(since) = date(request, &IF_MODIFIED_SINCE) else {
        return false;
    };
    // without a Last-Modified, the Date stands for it (RFC 9111, 4.3.2)
    let modified = match entry.contains_key(LAST_MODIFIED) {
        true => date(entry, &LAST_MODIFIED),
        false => date(entry, &DATE),
    };
    modified.is_some_and(|modified| modified <= since)
}

/// Whether a request's only date is the entry's, to the letter, as clients send
/// it back: then nothing need be computed.
fn same_to_the_letter(request: &HeaderMap, entry: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    let (Some(since), None) = (lines.next(), lines.next()) else {
        return false;
    };
    // `Fri, 20 Nov 2026 12:00:00 GMT` (RFC 9110, 5.6.7); what is no date is nothing
    let bytes = since.as_bytes();
    let shaped = bytes.len() == 29 && bytes.ends_with(b" GMT") && bytes[3] == b',';
    shaped && entry.get(LAST_MODIFIED) == Some(since)
}

/// Whether a list of entity tags names `tag`, compared weakly (RFC 9110,
/// 8.8.3.2 and 13.1.2).
fn names(list: &[u8], tag: Option<&[u8]>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(tag) = tag.map(opaque) else {
        return false;
    };
    tags(list).any(|item| opaque(item) == tag)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether `If-Range` lets a part of an entry be sent: by the same strong tag
/// or the very date (RFC 9110, 13.1.5). One that stands there twice does not.
pub(crate) fn in_range(request: &HeaderMap, entry: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let wanted = match (lines.next(), lines.next()) {
        (None, _) => return true,
        (Some(wanted), None) => wanted,
        _ => return false,
    };
    let bytes = wanted.as_bytes();
    if bytes.starts_with(b"\"") || bytes.starts_with(b"W/") {
        return bytes.starts_with(b"\"") && entry.get(ETAG) == Some(wanted);
    }
    // a date is strong once it is a second older than the answer (8.8.2.2)
    let (modified, made) = (date(entry, &LAST_MODIFIED), date(entry, &DATE));
    let strong = matches!((modified, made), (Some(modified), Some(made)) if modified < made);
    strong && date(request, &IF_RANGE) == modified
}

/// What of an entry's fields a 304 leaves out: metadata of the body that the
/// client has (RFC 9110, 15.4.5).
pub(crate) fn left_out(name: &HeaderName, has_tag: bool) -> bool {
    if *name == LAST_MODIFIED {
        return has_tag;
    }
    let text = name.as_str();
    text.starts_with("content-")
        && *name != CONTENT_LOCATION
        && !text.starts_with("content-security-policy")
}

/// What else a 416 leaves out: lifetime and validators, by which a cache further
/// out could take it for the resource's whole (RFC 9111, 3).
pub(crate) fn is_of_the_whole(name: &HeaderName) -> bool {
    let known = [AGE, CACHE_CONTROL, ETAG, EXPIRES, LAST_MODIFIED];
    let text = name.as_str();
    known.contains(name) || text.ends_with("-cache-control") || text == "surrogate-control"
}

/// Makes a request validate an entry, in place of the client's own conditions
/// (RFC 9111, 4.3.1). `false` where the entry has no validator.
pub(crate) fn validate(request: &mut HeaderMap, entry: &HeaderMap) -> bool {
    for name in CONDITIONS {
        request.remove(name);
    }
    let tag = entry.get(ETAG);
    let modified = entry.get(LAST_MODIFIED);
    if let Some(tag) = tag {
        request.insert(IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = modified {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
    tag.is_some() || modified.is_some()
}

/// Whether an answer has a validator.
pub(crate) fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

/// Whether a 304 can confirm an answer: a condition is looked at only where the answer
/// would be a success without it (RFC 9110, 13.2.1).
pub(crate) fn can_be_confirmed(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success() && has_validator(headers)
}

/// Whether a 304 speaks of this entry: its entity tag decides, and where one of
/// them has none, the date (RFC 9111, 4.3.4).
pub(crate) fn confirms(answer: &HeaderMap, entry: &HeaderMap) -> bool {
    same_tag(answer, entry).unwrap_or_else(|| same_date(answer, entry))
}

/// Whether the answer to a HEAD is about this entry's body, by the validators that both
/// have (RFC 9111, 4.3.5). None where that cannot be told: they share none, or the
/// entry lacks one of the answer's.
pub(crate) fn same(answer: &HeaderMap, entry: &HeaderMap) -> Option<bool> {
    let tag = same_tag(answer, entry);
    let date = answer.get(LAST_MODIFIED).zip(entry.get(LAST_MODIFIED));
    let date = date.map(|(a, b)| a == b);
    if tag == Some(false) || date == Some(false) {
        return Some(false);
    }
    let lacks = |name| answer.contains_key(&name) && !entry.contains_key(&name);
    let told = (tag.is_some() || date.is_some()) && !lacks(ETAG) && !lacks(LAST_MODIFIED);
    told.then_some(true)
}

fn same_tag(answer: &HeaderMap, entry: &HeaderMap) -> Option<bool> {
    let (a, b) = (answer.get(ETAG)?, entry.get(ETAG)?);
    Some(opaque(a.as_bytes()) == opaque(b.as_bytes()))
}

fn same_date(answer: &HeaderMap, entry: &HeaderMap) -> bool {
    match (answer.get(LAST_MODIFIED), entry.get(LAST_MODIFIED)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// The fields of an entry after an answer without a body has confirmed it (RFC
/// 9111, 3.2): the answer's, but for those that describe the stored body, and
/// the entry's where the answer says nothing. What the body varies on it goes on
/// to vary on: `Vary` only grows.
pub(crate) fn merge(entry: &HeaderMap, answer: &HeaderMap) -> HeaderMap {
    let mut merged = entry.clone();
    vary::join(&mut merged, answer);
    let updates = answer.keys().filter(|name| !describes_body(name));
    for name in updates.filter(|name| **name != VARY) {
        merged.remove(name);
        for value in answer.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    merged
}

fn describes_body(name: &HeaderName) -> bool {
    *name == CONTENT_ENCODING
        || *name == CONTENT_LENGTH
        || *name == CONTENT_RANGE
        || *name == ETAG
        || name.as_str() == "content-md5"
        || name.as_str() == "content-digest"
        || name.as_str() == "repr-digest"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let tagged = |tag: &str, asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|a| ("if-none-match", *a)).collect();
            not_modified(&headers(&asked), &headers(&[("etag", tag)]))
        };
        for asked in [
            "\"a\"",
            "W/\"a\"",
            "\"x\", \"a\"",
            "\"a\",\"x\"",
            " W/\"a\" ",
            "*",
        ] {
            assert!(
                tagged("\"a\"", &[asked]) && tagged("W/\"a\"", &[asked]),
                "{asked}"
            );
        }
        for asked in ["\"b\"", "", "\"a", "\"a,\"", "\"x, \"a\"\"", "w/\"a\""] {
            assert!(!tagged("\"a\"", &[asked]), "{asked}");
        }
        assert!(tagged("\"a,b\"", &["\"x\", \"a,b\""]));
        assert!(
            tagged("\"a\"", &[r#""x\", "a""#]),
            "a backslash is a letter"
        );
        assert!(tagged("\"a\"", &["\"b\"", "\"a\""]), "over lines");
    }

    #[test]
    fn a_tag_comes_before_a_date() {
        let date = "Fri, 20 Nov 2026 12:00:00 GMT";
        let entry = headers(&[("etag", "\"a\""), ("last-modified", date)]);
        let both = |tag| headers(&[("if-none-match", tag), ("if-modified-since", date)]);
        assert!(not_modified(&both("\"a\""), &entry));
        assert!(!not_modified(&both("\"b\""), &entry));
    }

    #[test]
    fn dates_are_compared_in_every_form() {
        let entry = headers(&[("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT")]);
        let since = |date| not_modified(&headers(&[("if-modified-since", date)]), &entry);
        assert!(since("Fri, 20 Nov 2026 12:00:00 GMT"));
        assert!(since("Friday, 20-Nov-26 12:00:01 GMT"));
        assert!(!since("Fri, 20 Nov 2026 11:59:59 GMT"));
        assert!(!since("yesterday"));
        let undated = headers(&[("date", "Fri, 20 Nov 2026 12:00:00 GMT")]);
        let asked = headers(&[("if-modified-since", "Fri, 20 Nov 2026 13:00:00 GMT")]);
        assert!(not_modified(&asked, &undated));
    }

    #[test]
    fn if_range_wants_the_very_same() {
        let entry = headers(&[
            ("etag", "\"a\""),
            ("last-modified", "Fri, 20 Nov 2026 12:00:00 GMT"),
            ("date", "Fri, 20 Nov 2026 13:00:00 GMT"),
        ]);
        let with = |value| in_range(&headers(&[("if-range", value)]), &entry);
        assert!(with("\"a\"") && with("Fri, 20 Nov 2026 12:00:00 GMT"));
        assert!(!with("W/\"a\"") && !with("\"b\"") && !with("rubbish"));
        assert!(!with("Fri, 20 Nov 2026 12:00:01 GMT"));
        let weak = headers(&[("etag", "W/\"a\"")]);
        assert!(!in_range(&headers(&[("if-range", "W/\"a\"")]), &weak));
    }

    #[test]
    fn a_merge_keeps_what_describes_the_body() {
        let entry = headers(&[
            ("etag", "\"a\""),
            ("content-length", "5"),
            ("x", "1"),
            ("y", "1"),
        ]);
        let answer = headers(&[
            ("etag", "W/\"a\""),
            ("content-length", "0"),
            ("x", "2"),
            ("x", "3"),
        ]);
        assert!(confirms(&answer, &entry) && same(&answer, &entry) == Some(true));
        let merged = merge(&entry, &answer);
        assert_eq!(merged["etag"], "\"a\"");
        assert_eq!(merged["content-length"], "5");
        assert_eq!(merged.get_all("x").iter().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(merged["y"], "1");
        let other = headers(&[("etag", "\"b\"")]);
        assert!(!confirms(&other, &entry) && same(&other, &entry) == Some(false));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(a in proptest::collection::vec(any::<u8>(), 0..40), b in proptest::collection::vec(any::<u8>(), 0..10)) {
            let _ = names(&a, Some(&b));
            if let (Ok(a), Ok(b)) = (HeaderValue::from_bytes(&a), HeaderValue::from_bytes(&b)) {
                let mut request = HeaderMap::new();
                for name in CONDITIONS {
                    request.insert(name, a.clone());
                }
                let mut entry = HeaderMap::new();
                entry.insert(ETAG, b.clone());
                entry.insert(LAST_MODIFIED, b);
                let _ = (not_modified(&request, &entry), in_range(&request, &entry));
            }
        }
    }
}
