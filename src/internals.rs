//! For the fuzz targets and the benches of this repository alone, behind `--cfg
//! larder_internals`: every parser that reads what a stranger wrote, and the
//! decisions of a hit.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, ETAG, HeaderName, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::entry::codec::{self, Bounds};
use crate::entry::{Seen, Wire};
use crate::key::{Canonical, Key, json};
use crate::policy::cache_control::Directives;
use crate::policy::freshness::{Lifetime, Rules, Use, usable};
use crate::policy::request::Wish;
use crate::policy::{accept, conditional, freshness, range, targeted, vary};

fn headers(name: HeaderName, lines: &[u8]) -> HeaderMap {
    let lines = lines.split(|b| *b == b'\n');
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// Directives of responses and of requests, and targeted ones.
pub fn directives(data: &[u8]) {
    let control = headers(CACHE_CONTROL, data);
    let name = HeaderName::from_static("cdn-cache-control");
    let targeted_field = headers(name.clone(), data);
    let _ = (Directives::of(&control), Wish::of(&control));
    let _ = targeted::of(&targeted_field, &[name]);
    let _ = targeted::strings(&targeted_field, "cdn-cache-control");
}

/// Ages, dates and lifetimes.
pub fn freshness(data: &[u8]) {
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_132_800);
    for name in ["age", "date", "expires", "last-modified"] {
        let headers = headers(HeaderName::from_static(name), data);
        let took = std::time::Duration::ZERO;
        let _ = freshness::initial_age(&headers, now, took);
        let _ = freshness::stated(&Directives::default(), &headers, false, now);
        let _ = freshness::heuristic(&headers, now);
    }
}

/// Conditions against an entry with validators.
pub fn conditions(data: &[u8]) {
    let mut entry = HeaderMap::new();
    entry.insert(ETAG, HeaderValue::from_static("\"a\""));
    let date = HeaderValue::from_static("Fri, 20 Nov 2026 12:00:00 GMT");
    entry.insert(LAST_MODIFIED, date);
    for name in conditional::CONDITIONS {
        let request = headers(name, data);
        let _ = conditional::not_modified(&request, &entry);
        let _ = conditional::in_range(&request, &entry);
    }
}

/// A range of a body of 100 bytes.
///
/// # Panics
///
/// If it reaches beyond the body.
pub fn ranges(data: &[u8]) {
    if let range::Part::Single(part) = range::part(&headers(RANGE, data), 100) {
        assert!(part.start < part.end && part.end <= 100);
    }
}

/// `Vary`, and what requests prefer.
pub fn preferences(data: &[u8]) {
    let _ = vary::of(&headers(VARY, data), None);
    for name in [
        ACCEPT_ENCODING,
        ACCEPT_LANGUAGE,
        HeaderName::from_static("x"),
    ] {
        let headers = headers(name.clone(), data);
        let _ = accept::normal(&name, &headers, true);
        let _ = accept::normal(&name, &headers, false);
        let _ = (
            accept::best_language(&headers),
            accept::coding(&headers, &["br"]),
        );
    }
}

/// JSON in its one form, which has itself as its form.
///
/// # Panics
///
/// If it has another.
pub fn json_form(data: &[u8]) {
    if let Some(form) = json::canonical(data) {
        assert_eq!(json::canonical(&form).as_ref(), Some(&form));
    }
}

/// A frame from the store; what it decodes to can be written again.
pub fn frame(data: &[u8]) {
    let seen = Seen::default();
    let bounds = Bounds {
        max_body: 1 << 20,
        cookies: data.first().is_some_and(|byte| byte % 2 == 0),
        seals: None,
        seen: Some(&seen),
    };
    let key = Key::new("api:fuzz:00");
    let sealed = codec::sealed(data);
    for frame in [Bytes::copy_from_slice(data), sealed] {
        let read = || codec::decode(&frame, &key, &Canonical::from(&b""[..]), bounds);
        if let Ok(codec::Frame::Entry(entry)) = read() {
            let _ = codec::encode(&entry, &Wire::default());
            let again = read(); // in the shape that is known now
            assert!(matches!(again, Ok(codec::Frame::Entry(e)) if e.fields == entry.fields));
        }
    }
}

/// What a hit decides: whether an entry is fresh for a request with these
/// directives and conditions. `true` is a hit.
#[must_use]
pub fn decide(age: u64, request: &HeaderMap, entry: &HeaderMap) -> bool {
    let life = Lifetime::fresh(60_000);
    let wish = request
        .contains_key(CACHE_CONTROL)
        .then(|| Wish::of(request));
    let fresh = usable(&life, Rules::IMMUTABLE, age, wish.as_ref());
    let conditional = conditional::CONDITIONS
        .iter()
        .any(|name| request.contains_key(name));
    matches!(fresh, Use::Fresh(_)) && !(conditional && conditional::not_modified(request, entry))
}
