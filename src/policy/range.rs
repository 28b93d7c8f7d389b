//! Parts of a stored whole (RFC 9110, 14).

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

/// What a request's `Range` means for a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// No range, one that cannot be read, or several: the whole (RFC 9110,
    /// 14.2: a server may ignore the field).
    Whole,
    /// One part, within the body.
    Single(Range<usize>),
    /// One range that begins behind the body's end.
    Unsatisfiable,
}

/// Reads `Range` for a body of `len` bytes.
pub(crate) fn part(request: &HeaderMap, len: usize) -> Part {
    let mut lines = request.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Part::Whole;
    };
    of(line.as_bytes(), len).unwrap_or(Part::Whole)
}

/// Makes a whole's fields those of a part of its `len` bytes. The digests of the whole's
/// content are not the part's (RFC 9530, 2).
pub(crate) fn describe(fields: &mut HeaderMap, part: &Range<usize>, len: usize) {
    let content = format!("bytes {}-{}/{len}", part.start, part.end - 1);
    fields.insert(CONTENT_LENGTH, HeaderValue::from(part.len()));
    if let Ok(content) = HeaderValue::from_str(&content) {
        fields.insert(CONTENT_RANGE, content);
    }
    for digest in ["content-digest", "content-md5"] {
        fields.remove(digest);
    }
}

fn of(value: &[u8], len: usize) -> Option<Part> {
    let at = value.iter().position(|b| *b == b'=')?;
    let (unit, set) = (&value[..at], value[at + 1..].trim_ascii());
    if !unit.eq_ignore_ascii_case(b"bytes") || set.contains(&b',') {
        return None;
    }
    let dash = set.iter().position(|b| *b == b'-')?;
    let (first, last) = (&set[..dash], &set[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(match suffix.min(len) {
            0 => Part::Unsatisfiable,
            suffix => Part::Single(len - suffix..len),
        });
    }
    let first = number(first)?;
    let end = match last.is_empty() {
        true => len,
        false => number(last)?.saturating_add(1),
    };
    if end <= first && !last.is_empty() {
        return None; // the last byte stands before the first (14.1.1)
    }
    Some(match first < len {
        true => Part::Single(first..end.min(len)),
        false => Part::Unsatisfiable,
    })
}

/// Digits alone; a number too large for any body is the largest.
fn number(digits: &[u8]) -> Option<usize> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| {
        digits.iter().fold(0_usize, |sum, digit| {
            sum.saturating_mul(10)
                .saturating_add(usize::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part_of(value: &str) -> Part {
        of(value.as_bytes(), 10).unwrap_or(Part::Whole)
    }

    #[test]
    fn one_range_is_a_part() {
        for (value, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("Bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=5-99999999999999999999999", 5..10),
        ] {
            assert_eq!(part_of(value), Part::Single(range), "{value}");
        }
    }

    #[test]
    fn behind_the_end_is_unsatisfiable() {
        for value in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(part_of(value), Part::Unsatisfiable, "{value}");
        }
        assert_eq!(of(b"bytes=-1", 0), Some(Part::Unsatisfiable));
    }

    #[test]
    fn anything_else_is_the_whole() {
        for value in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=--1",
        ] {
            assert_eq!(part_of(value), Part::Whole, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_body(value in proptest::collection::vec(any::<u8>(), 0..30), len in 0_usize..100) {
            if let Some(Part::Single(range)) = of(&value, len) {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }

        #[test]
        fn a_range_of_numbers_lies_within_the_body(a in 0_usize..200, b in 0_usize..200, len in 0_usize..100) {
            match of(format!("bytes={a}-{b}").as_bytes(), len) {
                Some(Part::Single(range)) => prop_assert!(range.start == a && range.end == len.min(b + 1)),
                Some(Part::Unsatisfiable) => prop_assert!(a >= len && b >= a),
                _ => prop_assert!(b < a),
            }
        }
    }
}
