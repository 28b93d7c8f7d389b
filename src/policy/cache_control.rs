//! `Cache-Control` of a response (RFC 9111, 5.2.2; RFC 5861; RFC 8246), read
//! conservatively: what is in doubt makes the response less cacheable, never
//! more.

use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::ConfigError;

/// How far `no-cache` or `private` goes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Extent {
    #[default]
    Nothing,
    /// These fields alone (RFC 9111, 5.2.2.4 and 5.2.2.7).
    Fields(Vec<HeaderName>),
    /// The whole response.
    Whole,
}

impl Extent {
    pub(crate) fn is_any(&self) -> bool {
        *self != Self::Nothing
    }

    fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) | (Self::Whole, _) => {}
            (Self::Fields(all), Self::Fields(more)) => all.extend(more),
            (_, other) => *self = other,
        }
    }

    /// `None` is a directive without a value. A list that cannot be read stands for the
    /// whole response; so does one of a field without which the rest is something else.
    pub(crate) fn of(value: Option<&[u8]>) -> Self {
        let Some(list) = value else {
            return Self::Whole;
        };
        let names = list.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        let names = names.filter(|name| !name.is_empty());
        let names: Result<Vec<_>, _> = names.map(HeaderName::from_bytes).collect();
        match names {
            Ok(names) if !names.is_empty() && !names.iter().any(is_essential) => {
                Self::Fields(names)
            }
            _ => Self::Whole,
        }
    }
}

/// Whether a field says how a body is read, or for whom it is.
fn is_essential(name: &HeaderName) -> bool {
    *name == VARY || name.as_str().starts_with("content-")
}

/// The response directives that a shared cache acts on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    pub(crate) no_cache: Extent,
    pub(crate) private: Extent,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) no_transform: bool,
    pub(crate) immutable: bool,
    /// Seconds, the smallest of those given; so are all numbers here.
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    /// A quoted string without its end, or bytes that no directive can have.
    pub(crate) malformed: bool,
}

impl Directives {
    /// Reads all lines of the field.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            all.read(line.as_bytes());
        }
        all
    }

    fn read(&mut self, line: &[u8]) {
        for item in items(line) {
            match item {
                Some((name, value)) => self.directive(name, value),
                None => self.malformed = true,
            }
        }
    }

    fn directive(&mut self, name: &[u8], value: Option<&[u8]>) {
        if !name.iter().all(|b| is_token(*b)) {
            self.malformed = true; // `no-store; private`: whatever was meant
            return;
        }
        let mut lower_case = [0; 24];
        let Some(known) = lower_case.get_mut(..name.len()) else {
            return; // longer than any that means something
        };
        known.copy_from_slice(name);
        known.make_ascii_lowercase();
        match &*known {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.widen(Extent::of(value)),
            b"private" => self.private.widen(Extent::of(value)),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"immutable" => self.immutable = true,
            b"max-age" => lower(&mut self.max_age, seconds(value)),
            b"s-maxage" => lower(&mut self.s_maxage, seconds(value)),
            b"stale-while-revalidate" => {
                lower(&mut self.stale_while_revalidate, seconds(value));
            }
            b"stale-if-error" => lower(&mut self.stale_if_error, seconds(value)),
            _ => {}
        }
    }

    /// How long a shared cache may take the response as fresh, in seconds
    /// (RFC 9111, 4.2.1), if the directives say so.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        self.s_maxage.or(self.max_age)
    }

    /// Whether it may never be served stale (RFC 9111, 4.2.4 and 5.2.2.10).
    pub(crate) fn never_stale(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache == Extent::Whole
    }

    /// Whether an answer to a request with `Authorization` may be shared (RFC
    /// 9111, 3.5).
    pub(crate) fn shares_authorized(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }
}

/// What a policy tells clients, as a field's value.
pub(crate) fn told(text: &str) -> Result<HeaderValue, ConfigError> {
    match HeaderValue::from_str(text) {
        Ok(value) if is_read(text) => Ok(value),
        _ => Err(ConfigError::new(
            "client_cache",
            format!("{text:?} is no Cache-Control, such as \"public, max-age=60\""),
        )),
    }
}

/// Whether a line is made of directives, with ages that can be read (RFC 9111, 5.2.2).
fn is_read(line: &str) -> bool {
    const AGES: [&[u8]; 4] = [
        b"max-age",
        b"s-maxage",
        b"stale-while-revalidate",
        b"stale-if-error",
    ];
    items(line.as_bytes()).all(|item| {
        item.is_some_and(|(name, value)| {
            let is_age = AGES.iter().any(|age| name.eq_ignore_ascii_case(age));
            let token = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
            token && (!is_age || value.is_some_and(|age| number(age).is_some()))
        })
    })
}

/// The directives of one line: name, and value without its quotes. `None` is
/// one that cannot be read.
pub(crate) fn items(line: &[u8]) -> impl Iterator<Item = Option<(&[u8], Option<&[u8]>)>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (item, after) = split_item(rest?);
        rest = after;
        Some(item.and_then(|item| split_value(item.trim_ascii())))
    })
}

fn split_value(item: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let Some(at) = item.iter().position(|b| *b == b'=') else {
        return Some((item, None));
    };
    let value = item[at + 1..].trim_ascii();
    let value = match value.contains(&b'"') {
        true => quoted(value)?,
        false => value,
    };
    Some((item[..at].trim_ascii(), Some(value)))
}

/// Cuts a list at the next comma outside quotes. The item is `None` where a
/// quoted string does not end.
pub(crate) fn split_item(list: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (Some(&list[..at]), Some(&list[at + 1..])),
            _ => {}
        }
    }
    ((!quoted).then_some(list), None)
}

/// The entity tags of a list. A backslash is a letter of a tag like any other (RFC 9110,
/// 8.8.3): no quoted string is.
pub(crate) fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let tags = list.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    tags.map(<[u8]>::trim_ascii)
}

/// What is in a quoted string, if a value is one as a whole (RFC 9110, 5.6.4).
fn quoted(value: &[u8]) -> Option<&[u8]> {
    let inside = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut escaped = false;
    let ends = inside.iter().any(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    (!ends).then_some(inside)
}

/// More seconds than this are "for ever" (RFC 9111, 1.2.2).
const FOR_EVER: u64 = 1 << 31;

/// A delta-seconds (RFC 9111, 1.2.2): too large means "for ever", anything
/// but digits means stale at once (4.2.1).
pub(crate) fn seconds(value: Option<&[u8]>) -> u64 {
    number(value.unwrap_or_default()).unwrap_or(0)
}

/// A number of digits alone, at most [`FOR_EVER`].
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| {
        digits.iter().fold(0_u64, |sum, digit| {
            (sum * 10 + u64::from(digit - b'0')).min(FOR_EVER)
        })
    })
}

pub(crate) fn lower(known: &mut Option<u64>, value: u64) {
    *known = Some(known.map_or(value, |k| k.min(value)));
}

/// A token's bytes (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(lines: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        Directives::of(&headers)
    }

    #[test]
    fn case_order_lines_and_blanks_do_not_matter() {
        let one = read(&["No-Store ,PRIVATE, Max-Age = 10"]);
        assert!(one.no_store && one.private == Extent::Whole && one.max_age == Some(10));
        let two = read(&["no-store", "private", "max-age=10"]);
        assert_eq!(one, two);
    }

    #[test]
    fn s_maxage_comes_before_max_age() {
        assert_eq!(read(&["max-age=10, s-maxage=20"]).lifetime(), Some(20));
        assert_eq!(read(&["max-age=10"]).lifetime(), Some(10));
        assert_eq!(read(&["public"]).lifetime(), None);
    }

    #[test]
    fn quoted_forms_are_read_and_their_commas_kept() {
        let read = read(&[r#"private="set-cookie, x", max-age="60""#]);
        let fields = ["set-cookie", "x"].map(HeaderName::from_static).to_vec();
        assert_eq!(read.private, Extent::Fields(fields));
        assert!(read.max_age == Some(60) && !read.malformed);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_everything() {
        for line in [
            "private",
            "private=",
            r#"private="""#,
            r#"private="a b""#,
            r#"private="a", private"#,
            r#"private="a, Vary""#,
            r#"private="content-encoding""#,
        ] {
            assert_eq!(read(&[line]).private, Extent::Whole, "{line}");
        }
    }

    #[test]
    fn a_directive_inside_quotes_is_none() {
        let read = read(&[r#"ext="no-store, private", max-age=5"#]);
        assert!(!read.no_store && !read.private.is_any());
    }

    #[test]
    fn what_is_no_number_is_stale_at_once() {
        for value in ["-1", "1.5", "'60'", "", "abc", "1 2", "\"", "+1"] {
            assert_eq!(
                read(&[&format!("max-age={value}")]).lifetime().unwrap_or(0),
                0,
                "{value}"
            );
        }
        assert_eq!(read(&["max-age"]).max_age, Some(0));
        assert_eq!(
            read(&["max-age=99999999999999999999"]).max_age,
            Some(1 << 31)
        );
    }

    #[test]
    fn of_two_values_the_smaller_counts() {
        assert_eq!(read(&["max-age=60, max-age=5"]).max_age, Some(5));
    }

    /// What stands between two quotes that begin no value may be a directive.
    #[test]
    fn a_quote_inside_a_value_is_malformed() {
        for line in [
            r#"max-age=60, x=a"b, no-store, y=c"d"#,
            r#"max-age=60, ext=5", private, ""#,
            r#"max-age=60, x="a"b", no-store, ""#,
            r#"max-age=60, x="a" "b""#,
            r#"x"y, no-store, "=1"#,
        ] {
            assert!(read(&[line]).malformed, "{line}");
        }
        for line in [r#"x="a\"b\\", y="""#, r#"x="a" , y = "b""#] {
            assert!(!read(&[line]).malformed, "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_malformed() {
        assert!(read(&[r#"ext="no end, max-age=5"#]).malformed);
        assert!(read(&["max age=5"]).malformed);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut all = Directives::default();
            all.read(&line);
        }

        #[test]
        fn one_more_directive_never_lengthens_a_life(
            line in "[a-z=0-9\", -]{0,40}",
            more in prop_oneof![Just("no-store"), Just("private"), Just("no-cache"), Just("max-age=0")],
        ) {
            let storable = |d: &Directives| !(d.no_store || d.private.is_any() || d.no_cache.is_any() || d.malformed);
            let before = read(&[&line]);
            let after = read(&[&line, more]);
            prop_assert!(storable(&before) || !storable(&after));
            if let (Some(before), Some(after)) = (before.max_age, after.max_age) {
                prop_assert!(after <= before);
            }
        }
    }
}
