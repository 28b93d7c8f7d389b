//! [`ValueKey`]: what a value lies under in its namespace.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::key::hex;

/// What a value lies under in its namespace: a text, as `&str` and `String` are;
/// [`KeyParts`](super::KeyParts) and [`JsonKey`](super::JsonKey) make others.
///
/// In Redis it lies under `<namespace>:<key>`. There control characters and braces
/// stand as `%XX`, and a text of more than 512 bytes stands as `#` and its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueKey<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) seeds: SmallVec<[Cow<'a, str>; 1]>,
    pub(super) content: Option<Content>,
    pub(super) never: bool,
}

/// What a value is made of, by its SHA-256: see [`ValueKey::content`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content(pub(super) [u8; 32]);

impl Content {
    /// That of some bytes.
    #[must_use]
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut text = String::with_capacity(64);
        hex(&mut text, &self.0);
        text
    }
}

/// Longer texts stand as their hash.
const LONGEST: usize = 512;

impl<'a> ValueKey<'a> {
    /// A key by its text.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            seeds: SmallVec::new(),
            content: None,
            never: false,
        }
    }

    /// A key under which nothing is cached: its loader always runs.
    #[must_use]
    pub fn never() -> Self {
        Self {
            never: true,
            ..Self::new("")
        }
    }

    /// The same text for one seed alone, such as a user or a player
    /// (`player:42`): `<text>|<seed>`. What is stored under it bears the seed as a
    /// tag, so that all of a user's values can be [erased](crate::Cache::erase)
    /// together. A second one narrows it further, and is a tag too.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Cow<'a, str>>) -> Self {
        let seed = seed.into();
        let mut text = self.text.into_owned();
        text.push('|');
        escape(&mut text, &seed, '|');
        self.text = text.into();
        self.seeds.push(seed);
        self
    }

    /// A key whose value is made of this, and of nothing else: all keys with one
    /// content share one load and one stored value, which lies under the key that
    /// came first. In Redis `<namespace>:hash:<hash>` leads to it.
    #[must_use]
    pub fn content(self, content: Content) -> Self {
        let content = Some(content);
        Self { content, ..self }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As it stands in Redis behind the namespace.
    pub(super) fn name(&self) -> Cow<'_, str> {
        let special = |b: u8| b < 0x20 || matches!(b, b'{' | b'}' | 0x7f);
        if self.text.len() > LONGEST {
            let mut name = String::from("#");
            hex(&mut name, &Sha256::digest(self.text.as_bytes()));
            return name.into();
        }
        if !self.text.bytes().any(special) {
            return Cow::Borrowed(&self.text);
        }
        let mut name = String::with_capacity(self.text.len() + 8);
        for c in self.text.chars() {
            match u8::try_from(c).is_ok_and(special) {
                true => drop(write!(name, "%{:02X}", u32::from(c))),
                false => name.push(c),
            }
        }
        name.into()
    }
}

impl<'a> From<&'a str> for ValueKey<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self::new(text)
    }
}

impl<'a> From<&'a String> for ValueKey<'a> {
    fn from(text: &'a String) -> Self {
        Self::new(text.as_str())
    }
}

impl From<String> for ValueKey<'_> {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<'a> From<&'a ValueKey<'_>> for ValueKey<'a> {
    fn from(key: &'a ValueKey<'_>) -> Self {
        ValueKey {
            text: Cow::Borrowed(&key.text),
            seeds: key
                .seeds
                .iter()
                .map(|seed| Cow::Borrowed(&**seed))
                .collect(),
            content: key.content,
            never: key.never,
        }
    }
}

/// Writes a part so that it holds no separator.
pub(super) fn escape(out: &mut String, part: &str, separator: char) {
    for c in part.chars() {
        if c == separator || c.is_ascii_control() || matches!(c, '%' | '{' | '}') {
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_text_but_for_what_would_break_it() {
        let name = |text: &str| ValueKey::new(text.to_owned()).name().into_owned();
        assert_eq!(name("char_123"), "char_123");
        assert_eq!(name("a|b:c"), "a|b:c");
        assert_eq!(name("a\r\nb{c}"), "a%0D%0Ab%7Bc%7D");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(name(&long).len(), 65);
        assert_ne!(name(&long), name(&"y".repeat(LONGEST + 1)));
    }
}
