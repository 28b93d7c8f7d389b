//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// `"5m"`, `"1h 30m"`, or a number of seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration such as \"5m\" or 300: {error}"))
}

/// `"256MiB"`, or a number of bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let size: Option<bytesize::ByteSize> = text.trim().parse().ok();
    // what is more than can be counted comes out as the most
    let bytes = size.map(|size| size.as_u64()).filter(|n| *n < u64::MAX);
    bytes.ok_or_else(|| format!("{text:?} is no size such as \"256MiB\", or bytes"))
}

struct Unit<T> {
    expected: &'static str,
    of_text: fn(&str) -> Result<T, String>,
    of_number: fn(u64) -> T,
}

impl<T> Visitor<'_> for Unit<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        (self.of_text)(text).map(Some).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        Ok(Some((self.of_number)(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        let number = u64::try_from(number).map_err(|_| E::custom("a negative number"))?;
        self.visit_u64(number)
    }

    /// As JSON and YAML have it.
    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    from.deserialize_any(Unit {
        expected: "a duration such as \"5m\", or seconds",
        of_text: parse_duration,
        of_number: Duration::from_secs,
    })
}

pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    from.deserialize_any(Unit {
        expected: "a size such as \"256MiB\", or bytes",
        of_text: parse_size,
        of_number: |bytes| bytes,
    })
}

/// A duration that must be there.
pub(super) fn length<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(from)?.ok_or_else(|| D::Error::custom("a duration is missing"))
}

/// Nothing counts as the default, as YAML has it where a list is empty.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
