//! [`Classes`]: what each of a request's fields means under a policy, told in one pass.

use std::hash::{Hash, Hasher};

use http::header;
use http::{HeaderMap, HeaderName};

use super::fields::{is_credential_like, may_be_credential_like};

/// What a request's field means under one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Says who asks, and the policy does not tell what that means.
    Credential,
    /// Part of the key.
    Keyed,
    /// Part of the key by its hash: a credential that the policy keys.
    KeyedSecret,
    /// Removed before the handler sees the request.
    Hidden,
    /// The policy's scope speaks for it.
    Scoped,
    /// Asks for another method.
    MethodOverride,
    /// Says which answers it takes, where the policy heeds that.
    Wish,
    /// `Authorization` under RFC 9111's own rule (3.5).
    Authorization,
    /// Makes the request conditional or partial.
    Condition,
    /// A condition for the handler alone (RFC 9110, 13.1.1 and 13.1.4).
    Precondition,
}

/// Field names and their classes. Most fields of a request have none, and a
/// filter says so at the cost of a bit's look.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    filter: [u64; ROWS],
    by_len: Vec<Vec<(HeaderName, Class)>>,
    /// Whether `Accept` has a class.
    accept: bool,
    /// The class of names that are like a credential's and have none of their own.
    like_credentials: Option<Class>,
}

/// What admission reads whatever the policy says.
const ALWAYS_READ: [HeaderName; 5] = [
    header::HOST,
    header::CONNECTION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::UPGRADE,
];

/// A name's place in the filter. That of a name which `http` knows is its number
/// there, others are told apart by length, first and last byte.
#[derive(Default)]
struct Place {
    bit: usize,
    /// The name may be like a credential's.
    like: bool,
}

/// Places of names that are known by their numbers.
const KNOWN: usize = 128;
/// Words of the filter: the known, then a word for each of so many lengths.
const ROWS: usize = KNOWN / 64 + 64;

impl Place {
    #[inline]
    fn of(name: &HeaderName) -> Self {
        let mut place = Self::default();
        name.hash(&mut place);
        place
    }

    #[inline]
    fn row(&self) -> (usize, u64) {
        (self.bit / 64 % ROWS, 1 << (self.bit % 64))
    }
}

impl Hasher for Place {
    /// A name's bytes.
    #[inline]
    fn write(&mut self, name: &[u8]) {
        let (first, last) = (name.first().copied(), name.last().copied());
        let mixed = first.unwrap_or(0).wrapping_mul(5) ^ last.unwrap_or(0);
        self.bit = KNOWN + name.len() % 64 * 64 + usize::from(mixed % 64);
        self.like = may_be_credential_like(name);
    }

    /// Which of the kinds of names, then which of the known.
    #[inline]
    fn write_isize(&mut self, number: isize) {
        self.bit = number.unsigned_abs() % KNOWN;
    }

    fn finish(&self) -> u64 {
        self.bit as u64
    }
}

impl Classes {
    /// With notice of those that every policy reads.
    pub(crate) fn new() -> Self {
        let mut classes = Self {
            filter: [0; ROWS],
            by_len: Vec::new(),
            accept: false,
            like_credentials: None,
        };
        for name in ALWAYS_READ {
            classes.note(&name);
        }
        classes
    }

    /// Sets the class of `name`; the last word wins.
    pub(crate) fn set(&mut self, name: HeaderName, class: Class) {
        self.note(&name);
        self.accept |= name == header::ACCEPT;
        let len = name.as_str().len();
        if self.by_len.len() <= len {
            self.by_len.resize(len + 1, Vec::new());
        }
        match self.by_len[len].iter_mut().find(|(n, _)| *n == name) {
            Some(known) => known.1 = class,
            None => self.by_len[len].push((name, class)),
        }
    }

    /// Sets the class of names that are like a credential's and have none of their own.
    pub(crate) fn set_like_credentials(&mut self, class: Class) {
        self.like_credentials = Some(class);
    }

    fn note(&mut self, name: &HeaderName) {
        let (row, bit) = Place::of(name).row();
        self.filter[row] |= bit;
    }

    /// Whether a field may mean something; `false` is certain.
    #[inline]
    pub(crate) fn notable(&self, name: &HeaderName) -> bool {
        let place = Place::of(name);
        let (row, bit) = place.row();
        self.filter[row] & bit != 0 || place.like
    }

    /// Whether `Accept` means more than that an event stream is asked for.
    #[inline]
    pub(crate) fn has_accept(&self) -> bool {
        self.accept
    }

    pub(crate) fn get(&self, name: &HeaderName) -> Option<Class> {
        let named = self.by_len.get(name.as_str().len());
        let known = named.and_then(|named| named.iter().find(|(n, _)| n == name));
        known.map(|(_, class)| *class).or_else(|| self.like(name))
    }

    fn like(&self, name: &HeaderName) -> Option<Class> {
        let class = self.like_credentials?;
        is_credential_like(name.as_str()).then_some(class)
    }

    /// Removes fields that are hidden for their names are like a credential's.
    pub(crate) fn hide_like_credentials(&self, fields: &mut HeaderMap) {
        if self.like_credentials != Some(Class::Hidden) {
            return;
        }
        let hidden = |name: &&HeaderName| self.get(name) == Some(Class::Hidden);
        let like: Vec<_> = fields.keys().filter(hidden).cloned().collect();
        for name in like {
            fields.remove(name);
        }
    }

    /// The fields that are part of the key.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = &HeaderName> {
        self.of(Class::Keyed).chain(self.of(Class::KeyedSecret))
    }

    /// All names of one class.
    pub(crate) fn of(&self, class: Class) -> impl Iterator<Item = &HeaderName> {
        self.by_len
            .iter()
            .flatten()
            .filter_map(move |(n, c)| (*c == class).then_some(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_class_of_a_name_wins() {
        let mut classes = Classes::new();
        classes.set(header::COOKIE, Class::Credential);
        classes.set(header::COOKIE, Class::Hidden);
        assert_eq!(classes.get(&header::COOKIE), Some(Class::Hidden));
        assert_eq!(classes.get(&header::ACCEPT_LANGUAGE), None);
        assert!(classes.notable(&header::COOKIE) && classes.notable(&header::HOST));
        assert_eq!(classes.of(Class::Credential).count(), 0);
    }

    #[test]
    fn the_filter_knows_what_was_set_and_little_else() {
        let mut classes = Classes::new();
        let custom = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        classes.set(custom("x-api-key"), Class::Credential);
        assert!(classes.notable(&custom("X-Api-Key")) && classes.notable(&header::ACCEPT));
        for other in [header::ACCEPT_LANGUAGE, header::USER_AGENT, header::COOKIE] {
            assert!(!classes.notable(&other), "{other}");
        }
        for other in ["sec-fetch-mode", "x-api-kez", "x", "dnt", "traceparent"] {
            assert!(!classes.notable(&custom(other)), "{other}");
        }
    }
}
