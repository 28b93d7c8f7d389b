//! Field values that hits say again and again: each is made once for the
//! process, and cloning one neither allocates nor counts.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::status::DEFAULT_NAME;

/// More than an hour, in seconds.
const MOST: usize = 4096;

/// Values by a number. Each is leaked once, so they are bounded and few.
type Values = [OnceLock<HeaderValue>; MOST];

static NUMBERS: Values = [const { OnceLock::new() }; MOST];
static HITS: Values = [const { OnceLock::new() }; MOST];

#[inline]
fn known(values: &Values, number: u64, text: impl Fn() -> String) -> Option<HeaderValue> {
    let place = values.get(usize::try_from(number).ok()?)?;
    match place.get() {
        Some(value) => Some(value.clone()),
        None => Some(made(place, text)),
    }
}

#[cold]
fn made(place: &OnceLock<HeaderValue>, text: impl Fn() -> String) -> HeaderValue {
    place
        .get_or_init(|| HeaderValue::from_static(text().leak()))
        .clone()
}

#[cold]
fn unknown(number: u64) -> HeaderValue {
    HeaderValue::from(number)
}

/// A number as a field's value.
#[inline]
pub(crate) fn number_value(number: u64) -> HeaderValue {
    known(&NUMBERS, number, || number.to_string()).unwrap_or_else(|| unknown(number))
}

/// `larder; hit; ttl=..; detail=memory`, for lives of up to an hour.
#[inline]
pub(crate) fn memory_hit(ttl: u64) -> Option<HeaderValue> {
    known(&HITS, ttl, || {
        format!("{DEFAULT_NAME}; hit; ttl={ttl}; detail=memory")
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
        let value = memory_hit(3_600).unwrap();
        assert_eq!(value, "larder; hit; ttl=3600; detail=memory");
        assert_eq!(memory_hit(3_600), Some(value));
        assert_eq!(memory_hit(4_096), None);
    }
}
