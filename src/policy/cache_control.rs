//! `Cache-Control` of a response (RFC 9111, 5.2.2), read conservatively: what
//! is in doubt makes the response less cacheable, never more.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The response directives that a shared cache acts on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    /// Also where it names fields: the fields are not told apart.
    pub(crate) no_cache: bool,
    /// Also where it names fields.
    pub(crate) private: bool,
    /// Seconds, the smallest of those given.
    pub(crate) max_age: Option<u64>,
    /// Seconds, the smallest of those given.
    pub(crate) s_maxage: Option<u64>,
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
        let mut rest = line;
        loop {
            let (item, after) = split_item(rest);
            match item {
                Some(item) => self.directive(item.trim_ascii()),
                None => self.malformed = true,
            }
            match after {
                Some(after) => rest = after,
                None => return,
            }
        }
    }

    fn directive(&mut self, item: &[u8]) {
        let (name, value) = match item.iter().position(|b| *b == b'=') {
            Some(at) => (
                item[..at].trim_ascii(),
                Some(unquote(item[at + 1..].trim_ascii())),
            ),
            None => (item, None),
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("max-age") {
            lower(&mut self.max_age, seconds(value));
        } else if is("s-maxage") {
            lower(&mut self.s_maxage, seconds(value));
        } else if !name.iter().all(|b| is_token(*b)) {
            self.malformed = true;
        }
    }

    /// How long a shared cache may take the response as fresh, in seconds
    /// (RFC 9111, 4.2.1), if the directives say so.
    pub(crate) fn lifetime(&self) -> Option<u64> {
        self.s_maxage.or(self.max_age)
    }
}

/// Cuts a list at the next comma outside quotes. The item is `None` where a
/// quoted string does not end.
fn split_item(list: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
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

fn unquote(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// A delta-seconds (RFC 9111, 1.2.2): too large means "for ever", anything
/// but digits means stale at once (4.2.1).
fn seconds(value: Option<&[u8]>) -> u64 {
    const FOR_EVER: u64 = 1 << 31;
    let digits = value.unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    digits.iter().fold(0_u64, |sum, digit| {
        (sum * 10 + u64::from(digit - b'0')).min(FOR_EVER)
    })
}

fn lower(known: &mut Option<u64>, value: u64) {
    *known = Some(known.map_or(value, |k| k.min(value)));
}

/// A token's bytes (RFC 9110, 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
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
        assert!(one.no_store && one.private && one.max_age == Some(10));
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
        assert!(read.private && read.max_age == Some(60) && !read.malformed);
    }

    #[test]
    fn a_directive_inside_quotes_is_none() {
        let read = read(&[r#"ext="no-store, private", max-age=5"#]);
        assert!(!read.no_store && !read.private);
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
            let storable = |d: Directives| !(d.no_store || d.private || d.no_cache || d.malformed);
            let before = read(&[&line]);
            let after = read(&[&line, more]);
            prop_assert!(storable(before) || !storable(after));
            if let (Some(before), Some(after)) = (before.max_age, after.max_age) {
                prop_assert!(after <= before);
            }
        }
    }
}
