//! Preferences of a request (RFC 9110, 12.4 and 12.5): brought into one form,
//! so that what means the same is one variant (RFC 9111, 4.1), and negotiated.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName};

use super::cache_control::split_item;

/// A member of a preference list, and its weight in thousandths.
type Weighted = (Vec<u8>, u16);

/// The values of a field in one form. `ordered` keeps the order of languages
/// of equal weight, which some handlers take for a preference.
pub(crate) fn normal(name: &HeaderName, headers: &HeaderMap, ordered: bool) -> Option<Vec<u8>> {
    if !headers.contains_key(name) {
        return None;
    }
    let members = members(name, headers);
    if *name == ACCEPT_ENCODING {
        return Some(preferences(members, false));
    }
    if *name == ACCEPT_LANGUAGE {
        return Some(preferences(members, ordered));
    }
    Some(members.join(&b','))
}

/// The members of a list over all lines, without the blanks around them. What
/// is no list, such as an open quote, stays as it is.
fn members<'a>(name: &HeaderName, headers: &'a HeaderMap) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    for line in headers.get_all(name) {
        let mut rest = Some(line.as_bytes());
        while let Some(list) = rest {
            let (item, after) = split_item(list);
            all.push(item.unwrap_or(list).trim_ascii());
            rest = after;
        }
    }
    all
}

/// Sorted by weight, then by name unless the order counts; weight nought last.
fn preferences(members: Vec<&[u8]>, ordered: bool) -> Vec<u8> {
    let mut list = weighted(members);
    match ordered {
        true => list.sort_by_key(|(_, weight)| Reverse(*weight)),
        false => list.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0))),
    }
    let mut text = Vec::new();
    for (name, weight) in list {
        text.extend_from_slice(&name);
        text.push(b';');
        text.extend_from_slice(&weight.to_be_bytes());
    }
    text
}

fn weighted(members: Vec<&[u8]>) -> Vec<Weighted> {
    let members = members.into_iter().filter(|member| !member.is_empty());
    members.map(member).collect()
}

/// Name in lower case and weight. A parameter that is no weight stays part of
/// the name.
fn member(text: &[u8]) -> Weighted {
    let mut name = text.to_ascii_lowercase();
    let Some(at) = name.iter().position(|b| *b == b';') else {
        return (without_x(name), 1000);
    };
    let parameter = name[at + 1..].trim_ascii();
    match parameter.strip_prefix(b"q=").and_then(weight) {
        Some(weight) => {
            name.truncate(at);
            let name = name.trim_ascii_end().to_vec();
            (without_x(name), weight)
        }
        None => (name, 1000),
    }
}

/// `x-gzip` and `x-compress` are old names (RFC 9110, 8.4.1).
fn without_x(name: Vec<u8>) -> Vec<u8> {
    match &*name {
        b"x-gzip" | b"x-compress" => name[2..].to_vec(),
        _ => name,
    }
}

/// A weight of at most three decimals (RFC 9110, 12.4.2).
fn weight(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The one language that a request likes best, in lower case.
pub(crate) fn best_language(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut list = weighted(members(&ACCEPT_LANGUAGE, headers));
    list.sort_by_key(|(_, weight)| Reverse(*weight));
    let tie = list.get(1).is_some_and(|next| next.1 == list[0].1);
    let (name, weight) = list.into_iter().next()?;
    (!tie && weight > 0 && name != b"*").then_some(name)
}

/// The best of `available` content codings that a request accepts; `None` is
/// the identity. `available` stands in our own order of preference.
pub(crate) fn coding(headers: &HeaderMap, available: &[&'static str]) -> Option<&'static str> {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return None; // anything goes, and the identity goes everywhere
    }
    let list = weighted(members(&ACCEPT_ENCODING, headers));
    let listed = |name: &str| {
        list.iter()
            .find(|(n, _)| n == name.as_bytes())
            .map(|(_, w)| *w)
    };
    let star = listed("*");
    let identity = listed("identity").unwrap_or(0); // unlisted: behind all that is
    let weigh = |name: &&'static str| listed(name).or(star).unwrap_or(0);
    let best = available.iter().rev().max_by_key(|name| weigh(name))?;
    let weight = weigh(best);
    (weight > 0 && weight >= identity).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn form(name: &HeaderName, lines: &[&str], ordered: bool) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        normal(name, &headers, ordered)
    }

    #[test]
    fn encodings_in_any_order_are_one() {
        let one = form(&ACCEPT_ENCODING, &["gzip, br;q=0.5, *;q=0"], true);
        assert_eq!(
            one,
            form(
                &ACCEPT_ENCODING,
                &["*;q=0.0", "BR; q=0.500,x-gzip;q=1"],
                true
            )
        );
        assert_ne!(one, form(&ACCEPT_ENCODING, &["gzip, br, *;q=0"], true));
        assert_ne!(one, form(&ACCEPT_ENCODING, &["gzip"], true));
        assert_ne!(
            form(&ACCEPT_ENCODING, &[""], true),
            form(&ACCEPT_ENCODING, &[], true)
        );
    }

    #[test]
    fn languages_keep_their_order_where_it_counts() {
        let with = |line: &str, ordered| form(&ACCEPT_LANGUAGE, &[line], ordered);
        assert_eq!(with("en, de", false), with(" DE ,   en", false));
        assert_ne!(with("en, de", true), with("de, en", true));
        assert_eq!(with("en, de;q=0.5", true), with("de;q=0.5,EN", true));
        assert_ne!(with("en", false), with("en;q=0.5", false));
    }

    #[test]
    fn lists_are_joined_and_lose_their_blanks() {
        let name = HeaderName::from_static("foo");
        assert_eq!(
            form(&name, &["1, 2"], true),
            form(&name, &["1", " 2 "], true)
        );
        assert_ne!(
            form(&name, &["\"1, 2\""], true),
            form(&name, &["\"1,2\""], true)
        );
        assert_ne!(form(&name, &["A"], true), form(&name, &["a"], true));
    }

    #[test]
    fn the_best_language_is_one() {
        let best = |line: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(line));
            best_language(&headers)
        };
        assert_eq!(best("fr;q=0.5, De;q=1.0"), Some(b"de".to_vec()));
        assert_eq!(best("en, de"), None);
        assert_eq!(best("*"), None);
        assert_eq!(best(""), None);
    }

    #[test]
    fn a_coding_is_sent_to_those_who_read_it() {
        const OURS: [&str; 2] = ["br", "gzip"];
        let chosen = |line: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(line));
            coding(&headers, &OURS)
        };
        assert_eq!(coding(&HeaderMap::new(), &OURS), None);
        assert_eq!(chosen("gzip, br"), Some("br"));
        assert_eq!(chosen("gzip, br;q=0.9"), Some("gzip"));
        assert_eq!(chosen("br;q=0, gzip;q=0.001"), Some("gzip"));
        assert_eq!(chosen("*"), Some("br"));
        assert_eq!(chosen("*, br;q=0"), Some("gzip"));
        assert_eq!(chosen("identity, gzip;q=0.5"), None);
        assert_eq!(chosen("identity;q=0, gzip;q=0.5"), Some("gzip"));
        for none in ["", "zstd", "br;q=0", "*;q=0", "gzip;q=2"] {
            assert_eq!(chosen(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(ACCEPT_ENCODING, value.clone());
                headers.insert(ACCEPT_LANGUAGE, value);
                let _ = (normal(&ACCEPT_ENCODING, &headers, true), normal(&ACCEPT_LANGUAGE, &headers, false));
                let _ = (best_language(&headers), coding(&headers, &["br"]));
            }
        }
    }
}
