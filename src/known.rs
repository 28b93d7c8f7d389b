//! Field values that are known beforehand: making or cloning one touches no
//! memory of its own.

use http::HeaderValue;

use crate::status::DEFAULT_NAME;

const NUMBERS: usize = 4096;
const HITS: usize = 1024;
const BEFORE: &[u8] = b"larder; hit; ttl=";
const BEHIND: &[u8] = b"; detail=memory";
const LONGEST: usize = BEFORE.len() + 4 + BEHIND.len();

const _: () = assert!(BEFORE.len() == DEFAULT_NAME.len() + "; hit; ttl=".len());

static NUMBER: [[u8; 4]; NUMBERS] = numbers();
static HIT: [[u8; LONGEST]; HITS] = hits();

/// How many digits a number below 10,000 has.
const fn digits(n: usize) -> usize {
    match n {
        0..10 => 1,
        10..100 => 2,
        100..1_000 => 3,
        _ => 4,
    }
}

/// Every number, with zeros before it.
const fn numbers() -> [[u8; 4]; NUMBERS] {
    let mut table = [[b'0'; 4]; NUMBERS];
    let mut n = 0;
    while n < NUMBERS {
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

/// Every member of a hit in memory, with blanks behind it.
const fn hits() -> [[u8; LONGEST]; HITS] {
    let mut table = [[b' '; LONGEST]; HITS];
    let mut n = 0;
    while n < HITS {
        let number = NUMBER[n];
        let len = digits(n);
        let mut at = 0;
        while at < BEFORE.len() + len + BEHIND.len() {
            table[n][at] = if at < BEFORE.len() {
                BEFORE[at]
            } else if at < BEFORE.len() + len {
                number[4 - len + at - BEFORE.len()]
            } else {
                BEHIND[at - BEFORE.len() - len]
            };
            at += 1;
        }
        n += 1;
    }
    table
}

fn known(text: &'static [u8]) -> Option<HeaderValue> {
    std::str::from_utf8(text).ok().map(HeaderValue::from_static)
}

/// A number as a field's value.
#[inline]
pub(crate) fn number_value(number: u64) -> HeaderValue {
    usize::try_from(number)
        .ok()
        .and_then(|n| known(&NUMBER.get(n)?[4 - digits(n)..]))
        .unwrap_or_else(|| HeaderValue::from(number))
}

/// `larder; hit; ttl=..; detail=memory`, for lives of up to a quarter of an hour.
#[inline]
pub(crate) fn memory_hit(ttl: u64) -> Option<HeaderValue> {
    let n = usize::try_from(ttl).ok()?;
    let text = HIT.get(n)?;
    known(&text[..BEFORE.len() + digits(n) + BEHIND.len()])
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
    fn hits_are_what_would_be_written() {
        for ttl in 0..1_024 {
            let written = format!("{DEFAULT_NAME}; hit; ttl={ttl}; detail=memory");
            assert_eq!(memory_hit(ttl).unwrap(), written.as_str());
        }
        assert_eq!(memory_hit(1_024), None);
    }
}
