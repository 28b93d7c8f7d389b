//! Keys of named parts, in an exact text.

use std::fmt::{self, Display};

use super::key::{ValueKey, escape};

/// Longer parts are refused.
const LONGEST: usize = 256;

/// A key of named parts, joined by a separator.
///
/// ```
/// use larder::values::KeyParts;
///
/// let key = KeyParts::new('|')
///     .part("type", "npc_response")
///     .part("purpose", "dialogue")
///     .part("from", "scene_010")
///     .part_or("to", None::<&str>, "none")
///     .part("strategy", "per_playthrough")
///     .seed(Some("pt:abc123"))
///     .version(1)
///     .build()?;
/// assert_eq!(key.as_str(), "npc_response|dialogue|scene_010|none|per_playthrough|pt:abc123|v1");
/// # Ok::<(), larder::values::KeyError>(())
/// ```
///
/// In a part the separator, `%`, braces and control characters stand as `%XX`: no part
/// can be two. A part that is empty, or longer than 256 bytes, is refused.
#[derive(Debug, Clone)]
#[must_use]
pub struct KeyParts {
    separator: char,
    text: String,
    seeds: Vec<String>,
    bad: Option<KeyError>,
}

impl KeyParts {
    /// A key without parts. The separator is an ASCII punctuation mark, but for `%`
    /// and braces.
    pub fn new(separator: char) -> Self {
        let fits = separator.is_ascii_punctuation() && !matches!(separator, '%' | '{' | '}');
        let bad = || KeyError::new("separator", format!("{separator:?} cannot separate parts"));
        Self {
            separator,
            text: String::new(),
            seeds: Vec::new(),
            bad: (!fits).then(bad),
        }
    }

    /// Adds a part.
    pub fn part(mut self, name: &str, value: impl Display) -> Self {
        self.push(name, &value.to_string());
        self
    }

    /// Adds a part, or what stands for it where it is absent.
    pub fn part_or(self, name: &str, value: Option<impl Display>, absent: &str) -> Self {
        match value {
            Some(value) => self.part(name, value),
            None => self.part(name, absent),
        }
    }

    /// Adds whose the value is, such as `pt:<id>` or `player:<id>`; nothing, and no
    /// separator, where it is everybody's. See [`ValueKey::seed`].
    pub fn seed(mut self, seed: Option<impl Into<String>>) -> Self {
        if let Some(seed) = seed {
            let seed = seed.into();
            self.push("seed", &seed);
            self.seeds.push(seed);
        }
        self
    }

    /// Adds a version: `v<version>`.
    pub fn version(mut self, version: impl Display) -> Self {
        self.push("version", &format!("v{version}"));
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        let why = match value.len() {
            0 => "is empty".to_owned(),
            len if len > LONGEST => format!("has {len} bytes, more than {LONGEST}"),
            _ => {
                if !self.text.is_empty() {
                    self.text.push(self.separator);
                }
                escape(&mut self.text, value, self.separator);
                return;
            }
        };
        self.bad.get_or_insert_with(|| KeyError::new(name, why));
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// If a part was refused; the error names the first.
    pub fn build(self) -> Result<ValueKey<'static>, KeyError> {
        if let Some(bad) = self.bad {
            return Err(bad);
        }
        if self.text.is_empty() {
            return Err(KeyError::new("parts", "there are none".to_owned()));
        }
        let mut key = ValueKey::new(self.text);
        key.seeds = self.seeds.into_iter().map(Into::into).collect();
        Ok(key)
    }
}

/// A key that cannot be made.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyError {
    part: String,
    why: String,
}

impl KeyError {
    pub(super) fn new(part: impl Into<String>, why: String) -> Self {
        let part = part.into();
        Self { part, why }
    }

    /// The name of the part that was refused.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.why)
    }
}

/// As it displays.
impl fmt::Debug for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The three texts of a system that others read too.
    #[test]
    fn keys_are_the_exact_texts() {
        let parts = |kind, purpose, from, to: Option<&str>, strategy| {
            KeyParts::new('|')
                .part("type", kind)
                .part("purpose", purpose)
                .part("from", from)
                .part_or("to", to, "none")
                .part("strategy", strategy)
        };
        let text = |parts: KeyParts| parts.version(1).build().unwrap().as_str().to_owned();
        let once = parts(
            "text_to_video",
            "gap_fill",
            "scene_001",
            Some("scene_002"),
            "once",
        );
        assert_eq!(
            text(once.seed(None::<String>)),
            "text_to_video|gap_fill|scene_001|scene_002|once|v1"
        );
        let playthrough = parts(
            "npc_response",
            "dialogue",
            "scene_010",
            None,
            "per_playthrough",
        );
        assert_eq!(
            text(playthrough.seed(Some("pt:abc123"))),
            "npc_response|dialogue|scene_010|none|per_playthrough|pt:abc123|v1"
        );
        let player = parts(
            "transition",
            "mood_shift",
            "scene_005",
            Some("scene_006"),
            "per_player",
        );
        assert_eq!(
            text(player.seed(Some("player:42"))),
            "transition|mood_shift|scene_005|scene_006|per_player|player:42|v1"
        );
    }

    #[test]
    fn a_part_that_cannot_be_one_is_named() {
        let named = |parts: KeyParts| parts.build().unwrap_err().part().to_owned();
        assert_eq!(named(KeyParts::new('|').part("purpose", "")), "purpose");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(named(KeyParts::new('|').part("scene", long)), "scene");
        assert_eq!(named(KeyParts::new('|').seed(Some(""))), "seed");
        assert_eq!(named(KeyParts::new('a').part("x", "y")), "separator");
        assert_eq!(named(KeyParts::new('|')), "parts");
        let key = KeyParts::new(':').part("a", "x:y%\n{z}").build().unwrap();
        assert_eq!(key.as_str(), "x%3Ay%25%0A%7Bz%7D");
    }

    proptest! {
        #[test]
        fn different_parts_are_different_keys(
            a in proptest::collection::vec("[a|%{é\\n]{1,6}", 1..4),
            b in proptest::collection::vec("[a|%{é\\n]{1,6}", 1..4),
        ) {
            let key = |parts: &[String]| {
                let parts = parts.iter().fold(KeyParts::new('|'), |key, part| key.part("x", part));
                parts.build().unwrap().as_str().to_owned()
            };
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }
}
