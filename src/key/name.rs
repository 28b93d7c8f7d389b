//! Names in the store: prefix, endpoint, hash.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

/// The name of an entry in the store, `<prefix>:<endpoint>:<hash>`. Only the
/// endpoint can be read from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of a canonical request.
    pub(crate) fn of(prefix: &str, endpoint: &str, canonical: &[u8]) -> Self {
        let digest = Sha256::digest(canonical);
        let mut name = SmallVec::<[u8; 128]>::new(); // on the stack as a rule
        for part in [prefix, ":", endpoint, ":"] {
            name.extend_from_slice(part.as_bytes());
        }
        let (half, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
        name.extend_from_slice(&digits(half));
        Self(str::from_utf8(&name).unwrap_or_default().into())
    }

    /// A key by its name, as events and listings show it.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Appends bytes in hexadecimal.
pub(crate) fn hex(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(16) {
        let mut whole = [0; 16];
        whole[..chunk.len()].copy_from_slice(chunk);
        let text = digits(&whole);
        out.push_str(str::from_utf8(&text[..chunk.len() * 2]).unwrap_or_default());
    }
}

/// Without a table or a branch, so that a compiler does many at once.
fn digits(bytes: &[u8; 16]) -> [u8; 32] {
    let digit = |n: u8| n + b'0' + u8::from(n > 9) * (b'a' - b'9' - 1);
    let mut text = [0; 32];
    for (two, byte) in text.chunks_exact_mut(2).zip(bytes) {
        two[0] = digit(byte >> 4);
        two[1] = digit(byte & 15);
    }
    text
}

/// An endpoint's text in a key: every byte outside `[A-Za-z0-9._-]` as `%XX`,
/// so that none can be a separator, a glob character or a cluster brace.
pub(crate) fn escape_endpoint(endpoint: &str) -> String {
    let mut out = String::with_capacity(endpoint.len());
    for byte in endpoint.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether a text is one as it stands in keys, and not as it was before that.
pub(crate) fn is_escaped_endpoint(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let mut parts = text.split('%');
    let plain = parts.next().unwrap_or_default().bytes().all(known);
    let mut escapes = parts.map(|part| {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        let ours = format!("{byte:02X}") == digits && !known(byte);
        (ours && rest.bytes().all(known)).then_some(())
    });
    plain && text.contains('%') && escapes.all(|escape| escape.is_some())
}

/// The endpoint of a matched route: its static segments joined by `.`, so that
/// `/users` and `/users/{id}` are both `users`; `root` where there is none.
pub(crate) fn endpoint_of_route(pattern: &str) -> String {
    let segments: Vec<String> = pattern
        .split('/')
        .filter(|s| !s.is_empty())
        .filter(|s| !(s.starts_with('{') && s.ends_with('}')))
        .map(escape_endpoint)
        .collect();
    match segments.is_empty() {
        true => "root".to_owned(),
        false => segments.join("."),
    }
}

/// Whether a text can be a key prefix: `[A-Za-z0-9._-]+`.
pub(crate) fn valid_prefix(prefix: &str) -> bool {
    !prefix.is_empty() && escape_endpoint(prefix) == prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_key_has_three_parts_and_128_bits() {
        let key = Key::of("api", "characters", b"canonical");
        let parts: Vec<&str> = key.as_str().split(':').collect();
        assert_eq!(parts[..2], ["api", "characters"]);
        assert_eq!(parts[2].len(), 32);
        assert!(parts[2].bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_route_and_its_members_share_an_endpoint() {
        assert_eq!(endpoint_of_route("/users"), "users");
        assert_eq!(endpoint_of_route("/users/{id}"), "users");
        assert_eq!(
            endpoint_of_route("/api/v1/users/{id}/posts"),
            "api.v1.users.posts"
        );
        assert_eq!(endpoint_of_route("/files/{*rest}"), "files");
        assert_eq!(endpoint_of_route("/"), "root");
        assert_eq!(endpoint_of_route("/{id}"), "root");
    }

    proptest! {
        #[test]
        fn no_endpoint_can_inject_a_separator_or_a_glob(text in ".*") {
            let escaped = escape_endpoint(&text);
            let special = escaped.contains([':', '*', '?', '[', ']', '{', '}', '\\', '!', '@']);
            prop_assert!(!special);
            prop_assert_eq!(is_escaped_endpoint(&escaped), escaped.contains('%'));
        }

        #[test]
        fn what_is_no_escaped_endpoint_is_not_taken_for_one(text in "[a%40é:]*") {
            let before = percent_encoding::percent_decode_str(&text).decode_utf8();
            let escaped = before.is_ok_and(|before| before != text && escape_endpoint(&before) == text);
            prop_assert!(!escaped || is_escaped_endpoint(&text));
            prop_assert!(!is_escaped_endpoint(&text) || text.contains('%'));
        }

        #[test]
        fn different_endpoints_stay_different(a in ".*", b in ".*") {
            prop_assert_eq!(a == b, escape_endpoint(&a) == escape_endpoint(&b));
        }
    }
}
