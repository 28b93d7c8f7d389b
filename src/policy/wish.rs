//! What a request says about the answer it takes: `Cache-Control` of a request
//! (RFC 9111, 5.2.1). Heeded under [`Policy::http`](crate::Policy::http) alone:
//! elsewhere no client can punch through the cache.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::cache_control::{items, lower, number};

/// The request directives. Numbers are seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) max_age: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    /// `u64::MAX` where the request takes any staleness.
    pub(crate) max_stale: Option<u64>,
    pub(crate) stale_if_error: Option<u64>,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
}

impl Wish {
    /// Nothing that was asked for before is an answer: whatever comes of that is refused.
    pub(crate) fn reloads(&self) -> bool {
        self.no_cache || self.max_age == Some(0)
    }

    /// Reads all lines. `Pragma: no-cache` counts where there is no
    /// `Cache-Control` (RFC 9111, 5.4).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::default();
        let mut lines = headers.get_all(CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            let lines = headers.get_all(PRAGMA).iter();
            let mut items = lines.flat_map(|line| items(line.as_bytes()).flatten());
            wish.no_cache = items.any(|(name, _)| name.eq_ignore_ascii_case(b"no-cache"));
        }
        for line in lines {
            for (name, value) in items(line.as_bytes()).flatten() {
                wish.directive(name, value);
            }
        }
        wish
    }

    /// Whether it bounds the age or the staleness of what it takes. Nothing stale
    /// is taken then but by `max-stale` (RFC 9111, 5.2.1.1 to 5.2.1.3).
    pub(crate) fn is_bounded(&self) -> bool {
        let bounds = [self.max_age, self.min_fresh, self.max_stale];
        bounds.iter().any(Option::is_some)
    }

    /// A number that cannot be read asks for the freshest answer.
    fn directive(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let seconds = value.and_then(number);
        if is("max-age") {
            lower(&mut self.max_age, seconds.unwrap_or(0));
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.max(Some(seconds.unwrap_or(u64::MAX)));
        } else if is("max-stale") {
            let most = if value.is_none() {
                u64::MAX
            } else {
                seconds.unwrap_or(0)
            };
            lower(&mut self.max_stale, most);
        } else if is("stale-if-error") {
            lower(&mut self.stale_if_error, seconds.unwrap_or(0));
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wish(fields: &[(&'static str, &'static str)]) -> Wish {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Wish::of(&headers)
    }

    #[test]
    fn directives_are_read_in_any_case_and_over_lines() {
        let read = wish(&[
            ("cache-control", "Max-Age=5, NO-STORE"),
            ("cache-control", "only-if-cached, max-stale, min-fresh=7"),
        ]);
        assert_eq!(read.max_age, Some(5));
        assert_eq!(read.max_stale, Some(u64::MAX));
        assert_eq!(read.min_fresh, Some(7));
        assert!(read.no_store && read.only_if_cached && !read.no_cache);
    }

    #[test]
    fn a_bad_number_asks_for_the_freshest() {
        let read = wish(&[("cache-control", "max-age=x, min-fresh=-1, max-stale=y")]);
        assert_eq!((read.max_age, read.max_stale), (Some(0), Some(0)));
        assert_eq!(read.min_fresh, Some(u64::MAX));
    }

    #[test]
    fn pragma_counts_where_nothing_else_speaks() {
        assert!(wish(&[("pragma", "no-cache")]).no_cache);
        assert!(!wish(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]).no_cache);
        assert_eq!(wish(&[]), Wish::default());
    }
}
