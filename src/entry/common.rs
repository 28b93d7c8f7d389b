//! Field values that the answers of a route share, as a rule.

use http::HeaderValue;

use crate::known::number_value;

/// Whether it is a value that the answers of a route share, as a rule.
pub(super) fn is_common(value: &HeaderValue) -> bool {
    common_text(value.as_bytes()).is_some()
}

/// A value that needs no bytes of its own.
pub(super) fn common(value: &[u8]) -> Option<HeaderValue> {
    if value.len() > 4 {
        return common_text(value).cloned();
    }
    let digit = |n: u64, b: &u8| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'));
    let known = number_value(value.iter().try_fold(0, digit)?);
    (known == *value).then_some(known)
}

fn common_text(value: &[u8]) -> Option<&'static HeaderValue> {
    let may_be = 1_u64.checked_shl(u32::try_from(value.len()).ok()?)? & LENGTHS != 0;
    let mut known = COMMON.iter().filter(|_| may_be);
    known.find(|known| *known == value)
}

macro_rules! common {
    ($($text:literal,)+) => {
        /// Values so common that they need no bytes of their own: cloning one is free.
        static COMMON: [HeaderValue; [$($text),+].len()] = [$(HeaderValue::from_static($text)),+];
        /// A bit for each length that one of them has: most values are ruled out by theirs.
        const LENGTHS: u64 = 0 $(| 1 << $text.len())+;
    };
}

common! {
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "text/html; charset=utf-8",
    "text/css",
    "text/javascript",
    "application/xml",
    "application/octet-stream",
    "image/svg+xml",
    "accept-encoding",
}
