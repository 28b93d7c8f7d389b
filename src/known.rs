//! Field values that hits say again and again: each is made once for the
//! process, and cloning one neither allocates nor counts.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::outcome::Tier;

/// The name that a cache has in `Cache-Status` unless it is given another.
pub(crate) const DEFAULT_NAME: &str = "larder";

/// More than an hour, in seconds.
const MOST: usize = 4096;

/// Values by a number. Each is leaked once, so they are bounded and few.
type Values = [OnceLock<HeaderValue>; MOST];

static NUMBERS: Values = [const { OnceLock::new() }; MOST];
static MEMORY_HITS: Values = [const { OnceLock::new() }; MOST];
static REDIS_HITS: Values = [const { OnceLock::new() }; MOST];

#[inline]
fn known(
    values: &'static Values,
    number: u64,
    text: impl Fn() -> String,
) -> Option<&'static HeaderValue> {
    let place = values.get(usize::try_from(number).ok()?)?;
    match place.get() {
        Some(value) => Some(value),
        None => Some(made(place, text)),
    }
}

#[cold]
fn made(place: &'static OnceLock<HeaderValue>, text: impl Fn() -> String) -> &'static HeaderValue {
    place.get_or_init(|| HeaderValue::from_static(text().leak()))
}

#[cold]
fn unknown(number: u64) -> HeaderValue {
    HeaderValue::from(number)
}

/// A number as a field's value, if it is a small one.
#[inline]
pub(crate) fn small(number: u64) -> Option<&'static HeaderValue> {
    known(&NUMBERS, number, || number.to_string())
}

/// A number as a field's value.
#[inline]
pub(crate) fn number_value(number: u64) -> HeaderValue {
    small(number).map_or_else(|| unknown(number), Clone::clone)
}

/// `larder; hit; ttl=..; detail=memory`, or the same of Redis, for lives of up to an
/// hour.
#[inline]
pub(crate) fn hit(tier: Tier, ttl: u64) -> Option<&'static HeaderValue> {
    let (values, detail) = match tier {
        Tier::Memory => (&MEMORY_HITS, "memory"),
        Tier::Redis => (&REDIS_HITS, "redis"),
    };
    known(values, ttl, || {
        format!("{DEFAULT_NAME}; hit; ttl={ttl}; detail={detail}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain() {
        for n in [0, 9, 10, 99, 100, 999, 1_000, 4_095, 4_096, 123_456] {
            assert_eq!(number_value(n), n.to_string().as_str());
        }
    }

    #[test]
    fn hits_are_known_for_an_hour() {
        let value = hit(Tier::Memory, 3_600).unwrap();
        assert_eq!(value, "larder; hit; ttl=3600; detail=memory");
        let redis = hit(Tier::Redis, 7).unwrap();
        assert_eq!(redis, "larder; hit; ttl=7; detail=redis");
        assert_eq!(hit(Tier::Memory, 3_600), Some(value), "made once");
        assert_eq!(hit(Tier::Redis, 4_096), None);
    }
}
