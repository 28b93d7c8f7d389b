//! `Cache-Status` (RFC 9211) and `Age` (RFC 9111, 5.1), written for a response.

use std::fmt::Write as _;

use http::header::CACHE_STATUS;
use http::{HeaderMap, HeaderValue};

use crate::outcome::{Bypass, Cause, Outcome, Tier};

/// How `Cache-Status` is written.
#[derive(Debug, Clone)]
pub(crate) enum StatusField {
    Off,
    On {
        /// A token (RFC 9651, 3.3.4).
        name: String,
        detail: bool,
    },
}

impl StatusField {
    /// Adds this cache's member behind those of caches further in.
    #[inline]
    pub(crate) fn write(&self, headers: &mut HeaderMap, outcome: &Outcome) {
        let Self::On { name, detail } = self else {
            if headers.get(CACHE_STATUS).is_some_and(HeaderValue::is_empty) {
                headers.remove(CACHE_STATUS);
            }
            return;
        };
        let mut text = String::with_capacity(64);
        text.push_str(name);
        parameters(&mut text, outcome, *detail);
        let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) else {
            return; // cannot be: name and parameters are ASCII
        };
        match headers.get_mut(CACHE_STATUS) {
            Some(place) if place.is_empty() => *place = value,
            Some(_) => {
                headers.append(CACHE_STATUS, value);
            }
            None => {
                headers.insert(CACHE_STATUS, value);
            }
        }
    }
}

fn parameters(text: &mut String, outcome: &Outcome, detail: bool) {
    // writing to a string cannot fail
    let _ = match outcome {
        Outcome::Hit { tier, ttl, .. } => {
            let _ = write!(text, "; hit; ttl={}", ttl.as_secs());
            let tier = match tier {
                Tier::Memory => "memory",
                Tier::Redis => "redis",
            };
            detail.then(|| write!(text, "; detail={tier}"))
        }
        Outcome::Miss {
            cause,
            stored,
            status,
        } => {
            let fwd = match cause {
                Cause::Expired | Cause::Invalidated => "stale",
                Cause::Variant => "vary-miss",
                Cause::StoreError => "miss",
                Cause::New | Cause::Corrupt => "uri-miss",
            };
            let _ = write!(text, "; fwd={fwd}; fwd-status={}", status.as_u16());
            match stored {
                Ok(()) => {
                    text.push_str("; stored");
                    detail.then(|| write!(text, "; detail={cause}"))
                }
                Err(refusal) => detail.then(|| write!(text, "; detail={refusal}")),
            }
        }
        Outcome::Bypass { reason, status } => {
            let fwd = match reason {
                Bypass::Method => "method",
                Bypass::Disabled | Bypass::NoPolicy | Bypass::NotCached | Bypass::Unmatched => {
                    "bypass"
                }
                _ => "request",
            };
            let _ = write!(text, "; fwd={fwd}; fwd-status={}", status.as_u16());
            detail.then(|| write!(text, "; detail={reason}"))
        }
    };
}

/// Ages up to this need no allocation.
const KNOWN_AGES: usize = 4096;

static AGES: [[u8; 4]; KNOWN_AGES] = ages();

const fn ages() -> [[u8; 4]; KNOWN_AGES] {
    let mut table = [[b'0'; 4]; KNOWN_AGES];
    let mut n = 0;
    while n < KNOWN_AGES {
        let (mut rest, mut at) = (n, 4);
        while rest > 0 {
            at -= 1;
            table[n][at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        n += 1;
    }
    table
}

/// An `Age` field's value.
#[inline]
pub(crate) fn age_value(seconds: u64) -> HeaderValue {
    let known = usize::try_from(seconds).ok().and_then(|n| AGES.get(n));
    let digits = match seconds {
        0..10 => 1,
        10..100 => 2,
        100..1_000 => 3,
        _ => 4,
    };
    match known.map(|text| std::str::from_utf8(&text[4 - digits..])) {
        Some(Ok(text)) => HeaderValue::from_static(text),
        _ => HeaderValue::from(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_plain_numbers() {
        for age in [0, 9, 10, 99, 100, 999, 1_000, 4_095, 4_096, 123_456] {
            assert_eq!(age_value(age), age.to_string().as_str());
        }
    }
}
