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
                "pattern {pattern:?} does not begin with this cache's prefix, as in \"{prefix}:characters:*\", nor with a namespace of values that it has by now"
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

    /// Whether keys of responses could match it: `<prefix>:<endpoint>:<hash>`, the endpoint
    /// escaped. If not, the reason; a pattern of another prefix is not looked at. It may be a
    /// bare endpoint where the hash is added.
    pub(crate) fn could_match(pattern: &str, prefix: &str, bare: bool) -> Result<(), String> {
        let rest = pattern.strip_prefix(prefix);
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(':')) else {
            return Ok(());
        };
        let cannot = |why: String| Err(format!("pattern {pattern:?} can match no key: {why}"));
        let literals = literals(rest);
        match literals.iter().find(|c| !is_of_keys(**c)) {
            Some('/') => {
                return cannot(format!(
                    "what stands there is an endpoint and no path, as in \"{prefix}:characters:*\""
                ));
            }
            Some(c) => {
                return cannot(format!(
                    "{c:?} is escaped there; endpoint(..) takes a name as it is"
                ));
            }
            None => {}
        }
        if literals.iter().filter(|c| **c == ':').count() > 1 {
            return cannot(
                "behind an endpoint there is a hash alone; some of its entries are reached by a tag"
                    .into(),
            );
        }
        match bare || rest.contains([':', '*', '?', '[', '\\']) {
            true => Ok(()),
            false => cannot(format!("keys end in a hash, as \"{pattern}:*\" says")),
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

/// Puts a tenant into a pattern: behind its endpoint part.
pub(super) fn for_tenant(pattern: &Pattern, prefix: &str, suffix: &str) -> Pattern {
    let rest = &pattern.as_str()[prefix.len() + 1..];
    Pattern::trusted(match rest.split_once(':') {
        Some((endpoint, hash)) => format!("{prefix}:{endpoint}{suffix}:{hash}"),
        None => format!("{prefix}:{rest}{suffix}:*"),
    })
}

/// A pattern for all tenants of a cache that has them. One that names tenants itself, or
/// matches all that follows an endpoint's beginning, stays as it is.
pub(super) fn of_all_tenants(text: &str, prefix: &str) -> Result<Pattern, String> {
    let pattern = Pattern::of_user(text, prefix)?;
    match text[prefix.len() + 1..].split_once(':') {
        Some((endpoint, _)) if endpoint.contains('[') => {
            Err("in a cache with tenants a pattern of endpoints has no classes".into())
        }
        Some((endpoint, _)) if !endpoint.contains('@') => Ok(for_tenant(&pattern, prefix, "@*")),
        None if !text.contains(['*', '?', '[', '\\']) => Ok(for_tenant(&pattern, prefix, "@*")),
        _ => Ok(pattern),
    }
}

/// Puts a backslash before each character that a pattern would take as more
/// than itself. For input that becomes part of a pattern: a `:`, a slash or another
/// character that stands in no endpoint stays as it is, and such a pattern is refused.
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

/// What must stand in all that a pattern matches, but for what [`escape_pattern`] has escaped
/// in somebody's input, which may be anything.
fn literals(pattern: &str) -> Vec<char> {
    let (mut class, mut found) = (false, Vec::new());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', true) => drop(chars.next()),
            ('\\', false) => match chars.next() {
                Some('*' | '?' | '[' | ']' | '\\') => {}
                other => found.push(other.unwrap_or(c)),
            },
            (_, true) => {
                class = c != ']';
                let mut range = chars.clone();
                if class && range.next() == Some('-') && range.next().is_some() {
                    chars = range; // its end may be a bracket
                }
            }
            ('[', false) => {
                class = true;
                if chars.as_str().starts_with('^') {
                    chars.next();
                }
            }
            ('*' | '?', false) => {}
            (_, false) => found.push(c),
        }
    }
    found
}

/// Whether a character stands in keys of responses, a tenant's too.
fn is_of_keys(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '%' | '@' | ':')
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

    /// Endpoints are escaped, and one hash stands behind them.
    #[test]
    fn what_stands_in_no_key_could_match_none() {
        for bad in [
            "api:/characters/*",
            "api:characters/*",
            "api:*/7",
            r"api:a\/b*",
            "api:@{user}:*",
            "api:a b*",
            "api:a]*",
            "api:é*",
            r"api:a*\",
            "api:characters:7:*",
            "api:*:list:*",
            r"api:a\:b\:*",
        ] {
            assert!(Pattern::could_match(bad, "api", false).is_err(), "{bad}");
        }
        for good in [
            "api:characters*",
            "api:a[/.]b:*",
            "api:users[:@]*:*",
            r"api:[\]:]*:0?",
            r"api:us\*:*",
            "api:items[:-]]*",
            "api:items[^]:*",
            "api:%40%7Buser%7D@*:*",
            "character:a/b",
            "other:a/*",
        ] {
            assert!(Pattern::could_match(good, "api", false).is_ok(), "{good}");
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
