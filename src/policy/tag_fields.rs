//! Tags that answers name themselves: `Cache-Tag`, `Surrogate-Key` and the like.

use http::{HeaderMap, HeaderName};

use crate::outcome::Refusal;

/// No entry has more tags.
pub(crate) const MOST_TAGS: usize = 1_000;
/// No tag of a field is longer.
const LONGEST: usize = 1_024;

/// Takes the tags out of an answer's fields, which are for caches alone. They are
/// told apart by commas and blanks. One that cannot be read makes the answer one
/// that is not stored: nobody could invalidate it by that.
pub(crate) fn take(fields: &[HeaderName], headers: &mut HeaderMap) -> Result<Vec<String>, Refusal> {
    let mut tags = Ok(Vec::new());
    for name in fields {
        for value in headers.get_all(name) {
            match (read(value.as_bytes()), &mut tags) {
                (Some(named), Ok(tags)) => tags.extend(named),
                (None, _) => tags = Err(Refusal::Tags),
                (Some(_), Err(_)) => {}
            }
        }
        headers.remove(name);
    }
    tags
}

fn read(value: &[u8]) -> Option<Vec<String>> {
    let tags = value.split(|byte| matches!(byte, b',' | b' ' | b'\t'));
    let tags = tags.filter(|tag| !tag.is_empty());
    let tag = |tag: &[u8]| {
        let plain = tag.iter().all(u8::is_ascii_graphic) && tag.len() <= LONGEST;
        let text = std::str::from_utf8(tag).ok().filter(|_| plain)?;
        Some(text.to_owned())
    };
    tags.map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NAME: HeaderName = HeaderName::from_static("cache-tag");

    fn taken(values: &[&[u8]]) -> Result<Vec<String>, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        let tags = take(&[NAME], &mut headers);
        assert!(headers.is_empty(), "nobody else sees them");
        tags
    }

    #[test]
    fn tags_are_told_apart_by_commas_and_blanks() {
        let tags = taken(&[b"a, b,,c d\te", b"f"]).unwrap();
        assert_eq!(tags, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(taken(&[]), Ok(Vec::new()));
        assert_eq!(taken(&[b" , "]), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for bad in [&b"a, \xff"[..], long.as_bytes()] {
            assert_eq!(taken(&[b"a", bad, b"b"]), Err(Refusal::Tags));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(NAME, value);
                let _ = take(&[NAME], &mut headers);
            }
        }
    }
}
