//! Targeted cache control (RFC 9213): a field such as `CDN-Cache-Control`
//! speaks to some caches alone, and takes the place of `Cache-Control` and
//! `Expires` for them.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, List, ListEntry, Parser};

use super::cache_control::{Directives, Extent, lower};

/// The directives of the first of `targets` that is present and valid. One
/// that does not parse is ignored as a whole, an empty one counts as absent
/// (RFC 9213, 2.1 and 2.2).
pub(crate) fn of(headers: &HeaderMap, targets: &[HeaderName]) -> Option<Directives> {
    targets.iter().find_map(|name| read(headers, name))
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let text = joined(headers, name)?;
    let dictionary = Parser::new(&text).parse::<Dictionary>().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut all = Directives::default();
    for (key, entry) in &dictionary {
        if let ListEntry::Item(item) = entry {
            directive(&mut all, key.as_str(), &item.bare_item);
        }
    }
    Some(all)
}

/// Whether one of `targets` is there and cannot be read, or the age that it states.
pub(crate) fn unreadable(headers: &HeaderMap, targets: &[HeaderName]) -> bool {
    let age = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => item.bare_item.as_integer().map(i64::from),
        ListEntry::InnerList(_) => None,
    };
    let bad = |name| {
        let Some(text) = joined(headers, name) else {
            return false;
        };
        let read = Parser::new(&text).parse::<Dictionary>();
        read.map_or(true, |all| {
            let mut stated = all
                .iter()
                .filter(|(key, _)| matches!(key.as_str(), "max-age" | "s-maxage"));
            stated.any(|(_, entry)| age(entry).is_none_or(|seconds| seconds < 0))
        })
    };
    targets.iter().any(bad)
}

/// All lines of a field as one list (RFC 9651, 4.2).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    Some(text)
}

/// A value of the wrong type makes its directive be ignored.
fn directive(all: &mut Directives, key: &str, value: &BareItem) {
    let set = value.as_boolean() == Some(true);
    let seconds = value.as_integer().map(i64::from);
    let number = |known: &mut Option<u64>| {
        if let Some(seconds) = seconds.and_then(|n| u64::try_from(n).ok()) {
            lower(known, seconds.min(1 << 31));
        }
    };
    match key {
        "no-store" => all.no_store |= set,
        "public" => all.public |= set,
        "must-revalidate" => all.must_revalidate |= set,
        "proxy-revalidate" => all.proxy_revalidate |= set,
        "must-understand" => all.must_understand |= set,
        "no-transform" => all.no_transform |= set,
        "immutable" => all.immutable |= set,
        "no-cache" => extent(&mut all.no_cache, value),
        "private" => extent(&mut all.private, value),
        "max-age" => number(&mut all.max_age),
        "s-maxage" => number(&mut all.s_maxage),
        "stale-while-revalidate" => number(&mut all.stale_while_revalidate),
        "stale-if-error" => number(&mut all.stale_if_error),
        _ => {}
    }
}

fn extent(known: &mut Extent, value: &BareItem) {
    if value.as_boolean() == Some(true) {
        *known = Extent::Whole;
    } else if let Some(list) = value.as_string() {
        *known = Extent::of(Some(list.as_str().as_bytes()));
    }
}

/// The strings of a list field, such as `Cache-Groups` (RFC 9875, 2): none
/// where it is no list of strings. Parameters do not matter.
pub(crate) fn strings(headers: &HeaderMap, name: &str) -> Vec<String> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Vec::new();
    };
    let list = joined(headers, &name).and_then(|text| Parser::new(&text).parse::<List>().ok());
    let string = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => item.bare_item.as_string().map(|s| s.as_str().to_owned()),
        ListEntry::InnerList(_) => None,
    };
    let strings = list.map(|list| list.iter().map(string).collect::<Option<Vec<_>>>());
    strings.flatten().unwrap_or_default()
}

/// Whether a Boolean field is true, such as `Incremental` (RFC 10036); other
/// types are ignored.
pub(crate) fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| {
        let item = Parser::new(value.as_bytes()).parse::<sfv::Item>();
        item.is_ok_and(|item| item.bare_item.as_boolean() == Some(true))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn cdn(lines: &[&'static str]) -> Option<Directives> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN, HeaderValue::from_static(line));
        }
        of(&headers, &[CDN])
    }

    #[test]
    fn a_dictionary_is_read() {
        let read = cdn(&["max-age=60, no-transform;x=1", "stale-if-error=5"]).unwrap();
        assert_eq!((read.max_age, read.stale_if_error), (Some(60), Some(5)));
        assert!(read.no_transform && !read.no_store);
    }

    #[test]
    fn what_does_not_parse_or_is_empty_is_absent() {
        for line in [
            "",
            "max-age=60,",
            "max-age=\"60",
            "Max-Age=60",
            "max-age=60, &",
            "max-age='60'",
        ] {
            assert_eq!(cdn(&[line]), None, "{line}");
        }
    }

    #[test]
    fn wrong_types_and_unknown_keys_are_ignored() {
        let read = cdn(&["max-age=\"60\", no-store=1, x=y, s-maxage=-1, private=?0"]).unwrap();
        assert_eq!(read, Directives::default());
        assert!(cdn(&["no-store"]).unwrap().no_store);
        assert_eq!(cdn(&["max-age=60.0"]).unwrap().max_age, None);
    }

    #[test]
    fn the_first_valid_target_counts() {
        let own = HeaderName::from_static("larder-cache-control");
        let mut headers = HeaderMap::new();
        headers.insert(CDN, HeaderValue::from_static("max-age=1"));
        headers.insert(&own, HeaderValue::from_static("max-age=oops,"));
        assert_eq!(of(&headers, &[own.clone(), CDN]).unwrap().max_age, Some(1));
        headers.insert(&own, HeaderValue::from_static("max-age=2"));
        assert_eq!(of(&headers, &[own, CDN]).unwrap().max_age, Some(2));
    }

    #[test]
    fn groups_are_strings() {
        let mut headers = HeaderMap::new();
        headers.append(
            "cache-groups",
            HeaderValue::from_static("\"a\";x=1, \"b c\""),
        );
        headers.append("cache-groups", HeaderValue::from_static("\"d\""));
        assert_eq!(strings(&headers, "cache-groups"), ["a", "b c", "d"]);
        headers.append("cache-groups", HeaderValue::from_static("token"));
        assert!(strings(&headers, "cache-groups").is_empty());
    }

    #[test]
    fn only_a_boolean_is_true() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("incremental", HeaderValue::from_static(value));
            is_true(&headers, "incremental")
        };
        assert!(with("?1") && with("?1;x"));
        assert!(!with("?0") && !with("1") && !with("true") && !with(""));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(CDN, value);
                let _ = (of(&headers, &[CDN]), strings(&headers, "cdn-cache-control"), is_true(&headers, "cdn-cache-control"));
            }
        }
    }
}
