//! Looks at a text eight bytes at a time, as short texts are: a host, a field's value.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Whether there is an upper-case letter of ASCII in a text.
#[inline]
pub(crate) fn has_uppercase(text: &[u8]) -> bool {
    let one = |word: u64| {
        let low = word & !HIGH;
        let (from_a, beyond_z) = (low + ONES * (0x80 - 0x41), low + ONES * (0x80 - 0x5b));
        from_a & !beyond_z & !word & HIGH != 0
    };
    any(text, one, u8::is_ascii_uppercase)
}

/// Whether a byte is in a text.
#[inline]
pub(crate) fn has(text: &[u8], byte: u8) -> bool {
    let one = |word: u64| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero & HIGH != 0
    };
    any(text, one, |other| *other == byte)
}

/// By words; the last one overlaps, and of less than a word each byte is looked at.
#[inline]
fn any(text: &[u8], in_word: impl Fn(u64) -> bool, is: impl FnMut(&u8) -> bool) -> bool {
    match text.last_chunk() {
        Some(last) => {
            let (words, _) = text.as_chunks();
            let in_word = |word: &[u8; 8]| in_word(u64::from_ne_bytes(*word));
            words.iter().any(in_word) || in_word(last)
        }
        None => text.iter().any(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_told() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    for around in [b'a', b'@', b'[', 0, 0x80, 0xff] {
                        let mut text = vec![around; len];
                        text[at] = byte;
                        let upper = text.iter().any(u8::is_ascii_uppercase);
                        assert_eq!(has_uppercase(&text), upper, "{text:?}");
                        for sought in [b'-', byte, byte ^ 1] {
                            assert_eq!(has(&text, sought), text.contains(&sought), "{text:?}");
                        }
                    }
                }
            }
        }
    }
}
