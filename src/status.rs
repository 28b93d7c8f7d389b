//! `Cache-Status` (RFC 9211) and `Age` (RFC 9111, 5.1), written for a response.

use std::fmt::Write as _;

use http::header::{CACHE_STATUS, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};

use smallvec::SmallVec;

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
        let value = match outcome {
            Outcome::Hit { tier, ttl, .. } => hit(name, ttl.as_secs(), *tier, *detail),
            _ => {
                let mut text = name.clone();
                parameters(&mut text, outcome, *detail);
                HeaderValue::from_str(&text)
            }
        };
        let Ok(value) = value else {
            return; // cannot be: name and parameters are ASCII
        };
        overwrite(headers, &CACHE_STATUS, value);
    }
}

/// The member of a hit, made on the stack.
#[inline]
fn hit(name: &str, ttl: u64, tier: Tier, detail: bool) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text: SmallVec<[u8; 96]> = SmallVec::from_slice(name.as_bytes());
    text.extend_from_slice(b"; hit; ttl=");
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), ttl);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
    if detail {
        text.extend_from_slice(match tier {
            Tier::Memory => b"; detail=memory",
            Tier::Redis => b"; detail=redis",
        });
    }
    HeaderValue::from_bytes(&text)
}

fn parameters(text: &mut String, outcome: &Outcome, detail: bool) {
    // writing to a string cannot fail
    let _ = match outcome {
        Outcome::Hit { .. } => None,
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

/// Puts a value into a field that is there already, in the place where a stored
/// entry has it; adds it otherwise.
#[inline]
pub(crate) fn overwrite(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let mut first = headers.iter_mut().take(2);
    match first.find(|(known, place)| *known == name && place.is_empty()) {
        Some((_, place)) => *place = value,
        None => {
            headers.append(name, value);
        }
    }
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
