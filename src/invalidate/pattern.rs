//! Patterns over keys, with the meaning that Redis' `SCAN MATCH` gives them:
//! `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and `\` before a literal character.

/// The longest pattern that is taken.
const LONGEST: usize = 1024;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// A pattern that names the cache's prefix; anything else is refused, with
    /// the reason.
    pub(crate) fn of_user(pattern: &str, prefix: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err(
                "an empty pattern selects nothing; use everything() for all entries".into(),
            );
        }
        if pattern.len() > LONGEST {
            return Err(format!("a pattern has at most {LONGEST} bytes"));
        }
        let rest = pattern
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix(':'));
        match rest {
            None => Err(format!(
                "pattern {pattern:?} does not begin with this cache's prefix, as in \"{prefix}:characters:*\""
            )),
            Some("") => Err(format!(
                "pattern {pattern:?} names the prefix and nothing in it, as \"{prefix}:*\" would"
            )),
            Some(rest) if rest.starts_with('!') => Err(format!(
                "pattern {pattern:?} names what larder keeps for itself"
            )),
            Some(_) => Ok(Self(pattern.to_owned())),
        }
    }

    /// Whether keys of responses could match it: `<prefix>:<endpoint>:<hash>`. If not,
    /// the reason; a pattern of another prefix is not looked at.
    pub(crate) fn could_match(pattern: &str, prefix: &str) -> Result<(), String> {
        let rest = pattern.strip_prefix(prefix);
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(':')) else {
            return Ok(());
        };
        if has_slash(rest) {
            return Err(format!(
                "pattern {pattern:?} can match no key: what stands there is an endpoint and no path, as in \"{prefix}:characters:*\""
            ));
        }
        match rest.contains([':', '*', '?', '[', '\\']) {
            true => Ok(()),
            false => Err(format!(
                "pattern {pattern:?} can match no key: keys end in a hash, as \"{pattern}:*\" says"
            )),
        }
    }

    /// A pattern of our own making.
    pub(crate) fn trusted(pattern: String) -> Self {
        Self(pattern)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }
}

/// Puts a backslash before each character that a pattern would take as more
/// than itself. For input that becomes part of a pattern.
///
/// ```
/// assert_eq!(larder::escape_pattern("a*b"), r"a\*b");
/// ```
#[must_use]
pub fn escape_pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether a slash must be there, which no key of a response has: endpoints are escaped.
fn has_slash(pattern: &str) -> bool {
    let (mut class, mut bytes) = (false, pattern.bytes());
    while let Some(byte) = bytes.next() {
        let literal = match byte {
            b'\\' => bytes.next(),
            b'[' | b']' => {
                class = byte == b'[';
                None
            }
            other => Some(other),
        };
        if literal == Some(b'/') && !class {
            return true;
        }
    }
    false
}

/// One pass with a single way back, to the last `*`: time is bounded by the
/// product of both lengths, whatever the pattern.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if let Some(next) = step(pattern, p, text[t]) {
            p = next;
            t += 1;
            continue;
        }
        match star {
            Some((at, taken)) => {
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
            None => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Where the pattern goes on if its element at `p` takes `byte`.
fn step(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern.get(p)? {
        b'?' => Some(p + 1),
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        b'[' => {
            let (takes, next) = class(pattern, p + 1, byte);
            takes.then_some(next)
        }
        literal => (*literal == byte).then_some(p + 1),
    }
}

/// A class from behind its bracket: whether it takes `byte`, and where it
/// ends. A class that is not closed ends with the pattern, as in Redis.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut takes = false;
    while p < pattern.len() && pattern[p] != b']' {
        if pattern[p] == b'\\' && p + 1 < pattern.len() {
            takes |= pattern[p + 1] == byte;
            p += 2;
        } else if p + 2 < pattern.len() && pattern[p + 1] == b'-' {
            let (a, b) = (pattern[p], pattern[p + 2]);
            takes |= (a.min(b)..=a.max(b)).contains(&byte);
            p += 3;
        } else {
            takes |= pattern[p] == byte;
            p += 1;
        }
    }
    (takes != negated, (p + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_redis_means() {
        let yes = [
            ("api:*", "api:x:1"),
            ("a*b*c", "aXXbYYc"),
            ("h?llo", "hallo"),
            ("h[ae]llo", "hello"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            (r"a\*b", "a*b"),
            ("[", ""),
            ("**", "anything"),
            (r"[\]]", "]"),
        ];
        for (pattern, text) in &yes[..7] {
            assert!(
                glob(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        assert!(glob(b"**", b"anything") && glob(br"[\]]", b"]"));
        for (pattern, text) in [
            ("api:*", "apix:1"),
            ("h[^e]llo", "hello"),
            (r"a\*b", "aXb"),
            ("user:1", "user:10"),
            ("", "x"),
            ("[", "x"),
        ] {
            assert!(
                !glob(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "a*".repeat(500) + "b";
        assert!(!glob(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    }

    /// Endpoints are escaped and hashes are hexadecimal.
    #[test]
    fn a_pattern_with_a_slash_could_match_no_key() {
        for bad in [
            "api:/characters/*",
            "api:characters/*",
            "api:*/7",
            r"api:a\/b*",
        ] {
            assert!(Pattern::could_match(bad, "api").is_err(), "{bad}");
        }
        for good in [
            "api:characters*",
            "api:a[/.]b:*",
            "character:a/b",
            "other:a/*",
        ] {
            assert!(Pattern::could_match(good, "api").is_ok(), "{good}");
        }
    }

    #[test]
    fn what_does_not_name_the_prefix_is_refused() {
        for bad in [
            "", "*", "api", "api*", "api:", "apix:*", "other:*", "api:!x", "*api:*",
        ] {
            assert!(Pattern::of_user(bad, "api").is_err(), "{bad:?}");
        }
        assert!(Pattern::of_user(&format!("api:{}", "x".repeat(2000)), "api").is_err());
        assert!(Pattern::of_user("api:characters:*", "api").is_ok());
    }

    proptest! {
        #[test]
        fn an_escaped_text_matches_itself_alone(text in ".{0,20}", other in ".{0,20}") {
            let pattern = escape_pattern(&text);
            prop_assert!(glob(pattern.as_bytes(), text.as_bytes()));
            prop_assert_eq!(glob(pattern.as_bytes(), other.as_bytes()), text == other);
        }

        #[test]
        fn no_pattern_panics(pattern in proptest::collection::vec(any::<u8>(), 0..20), text in proptest::collection::vec(any::<u8>(), 0..20)) {
            glob(&pattern, &text);
        }
    }
}
