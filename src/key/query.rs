//! The query's part of the canonical request: parameters sorted by name, the
//! order of one name's values kept, byte for byte otherwise.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use smallvec::SmallVec;

use super::Writer;

/// Which query parameters are part of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Params {
    #[default]
    All,
    Only(Vec<String>),
    Ignore(Vec<String>),
}

/// Writes the query as one field; an absent one differs from an empty one.
#[inline]
pub(crate) fn write_query(writer: &mut Writer, query: Option<&str>, params: &Params) {
    let Some(query) = query else {
        writer.absent();
        return;
    };
    if !query.contains('&') && matches!(params, Params::All) {
        writer.field(query.as_bytes());
        return;
    }
    let mut kept: SmallVec<[&str; 16]> = query
        .split('&')
        .filter(|pair| keeps(params, pair))
        .collect();
    if kept.is_empty() && !matches!(params, Params::All) {
        // all parameters are ignored: the same answer as without a query
        writer.absent();
        return;
    }
    if !kept.is_sorted_by(|a, b| decoded_name(a) <= decoded_name(b)) {
        sort(&mut kept);
    }
    let start = writer.open();
    for (at, pair) in kept.iter().enumerate() {
        if at > 0 {
            writer.push(b"&");
        }
        writer.push(pair.as_bytes());
    }
    writer.close(start);
}

/// A query as a handler reads it: percent-decoded, `+` as a blank, parameters sorted by
/// name. Not for keys: two requests may become one.
pub(crate) fn decoded_query(query: &str) -> Vec<u8> {
    let query = query.replace('+', " ");
    let mut pairs: Vec<&str> = query.split('&').collect();
    sort(&mut pairs);
    percent_decode(pairs.join("&").as_bytes()).collect()
}

/// More than a client that means well sends.
const MANY: usize = 32;

/// Sorts parameters by name. Of many, a client decides how long that takes: each name is
/// decoded once.
fn sort(pairs: &mut [&str]) {
    match pairs.len() > MANY {
        true => pairs.sort_by_cached_key(|pair| decoded_name(pair)),
        false => pairs.sort_by(|a, b| decoded_name(a).cmp(&decoded_name(b))),
    }
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// A parameter's name as a handler reads it: names that are one to it keep the
/// order of their values, however they are written.
fn decoded_name(pair: &str) -> Cow<'_, [u8]> {
    let name = name_of(pair);
    match name.contains('+') {
        true => percent_decode(name.replace('+', " ").as_bytes()).collect(),
        false => percent_decode(name.as_bytes()).into(),
    }
}

/// Whether a parameter is part of the key. Names are compared decoded, as the
/// handler will read them. A pair with a `;` is kept: to some parsers it is
/// two.
fn keeps(params: &Params, pair: &str) -> bool {
    let listed = |list: &[String]| {
        let name = name_of(pair).replace('+', " ");
        let name = percent_decode(name.as_bytes()).decode_utf8_lossy();
        list.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *known,
        })
    };
    match params {
        Params::All => true,
        Params::Only(list) => pair.contains(';') || listed(list),
        Params::Ignore(list) => pair.contains(';') || !listed(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(query: Option<&str>, params: &Params) -> Vec<u8> {
        let mut writer = Writer::empty();
        write_query(&mut writer, query, params);
        writer.as_bytes().to_vec()
    }

    fn same(a: &str, b: &str) -> bool {
        written(Some(a), &Params::All) == written(Some(b), &Params::All)
    }

    #[test]
    fn order_of_names_does_not_matter_order_of_values_does() {
        assert!(same("a=1&b=2", "b=2&a=1"));
        assert!(same("a=1&b=2&a=3", "b=2&a=1&a=3"));
        assert!(!same("a=1&a=2", "a=2&a=1"));
        assert!(!same("a=1&b=2", "a=1%26b=2"));
        assert!(!same("a=1", "a=2"));
        assert!(!same("a=1&%61=2", "%61=2&a=1"));
        assert!(!same("a", "a="));
        assert!(!same("a=1;b=2", "a=1&b=2"));
    }

    #[test]
    fn no_query_is_not_an_empty_query() {
        assert_ne!(written(None, &Params::All), written(Some(""), &Params::All));
    }

    #[test]
    fn an_allow_list_reads_names_as_the_handler_does() {
        let only = Params::Only(vec!["page".into()]);
        let with = |query| written(Some(query), &only);
        assert_eq!(with("page=1&x=2"), with("x=3&page=1"));
        assert_ne!(with("page=1"), with("p%61ge=2"));
        assert_ne!(with("x=1;page=2"), with("x=1"));
        assert_eq!(with("x=1"), written(None, &only));
    }

    #[test]
    fn an_ignore_list_may_name_a_beginning() {
        let ignore = Params::Ignore(vec!["utm_*".into(), "fbclid".into()]);
        let with = |query| written(Some(query), &ignore);
        assert_eq!(with("a=1&utm_source=x&fbclid=y"), with("a=1"));
        assert_ne!(with("a=1&utm=x"), with("a=1"));
    }

    #[test]
    fn many_parameters_are_sorted_too() {
        let forward: Vec<String> = (0..40).map(|n| format!("p{n}={n}")).collect();
        let mut backward = forward.clone();
        backward.reverse();
        assert!(same(&forward.join("&"), &backward.join("&")));
    }
}
