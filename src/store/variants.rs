//! What memory knows of answers that vary: on which fields, and where each
//! lies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use http::HeaderName;

use crate::key::{Canonical, Key};

/// The variants of one resource.
#[derive(Debug)]
pub(crate) struct Variants {
    /// The canonical request that all answer.
    pub(crate) of: Canonical,
    /// What they vary on.
    pub(crate) names: Arc<[HeaderName]>,
    /// The oldest first.
    known: Mutex<VecDeque<Variant>>,
    /// When the latest of those that were filled here began.
    latest: AtomicI64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) canonical: Canonical,
    pub(crate) key: Key,
    /// Its only `Content-Language`, in lower case.
    pub(crate) language: Option<Box<[u8]>>,
}

/// What a marker weighed when it was put into memory; what it holds may grow since.
/// Half a word: a hit reads what stands in memory's table where it is in no near cache.
#[derive(Clone, Copy)]
pub(crate) struct Weighed(pub(super) u32);

impl Weighed {
    pub(super) fn of(variants: &Variants) -> Self {
        Self(u32::try_from(variants.weight()).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(self) -> u64 {
        u64::from(self.0)
    }
}

impl Variants {
    pub(crate) fn new(of: Canonical, names: Arc<[HeaderName]>) -> Self {
        Self {
            of,
            names,
            known: Mutex::default(),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Variant>> {
        self.known
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// When the latest of those that were filled here began.
    pub(crate) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Acquire)
    }

    /// Adds a variant. The oldest goes where there are more than `most`.
    pub(crate) fn add(&self, variant: Variant, began: i64, most: usize) -> Option<Variant> {
        self.latest.fetch_max(began, Ordering::AcqRel);
        let mut known = self.known();
        match known.iter_mut().find(|v| v.canonical == variant.canonical) {
            Some(same) => *same = variant,
            None => known.push_back(variant),
        }
        (known.len() > most).then(|| known.pop_front()).flatten()
    }

    /// Takes all of them out.
    pub(crate) fn take(&self) -> Vec<Variant> {
        self.known().drain(..).collect()
    }

    /// Forgets the others, and returns how many are left.
    pub(crate) fn keep_only(&self, wanted: impl Fn(&Canonical) -> bool) -> usize {
        let mut known = self.known();
        known.retain(|variant| wanted(&variant.canonical));
        known.len()
    }

    /// The latest variant in a language.
    pub(crate) fn speaking(&self, language: &[u8]) -> Option<Canonical> {
        let known = self.known();
        let mut latest = known.iter().rev();
        latest
            .find(|variant| variant.language.as_deref() == Some(language))
            .map(|variant| Arc::clone(&variant.canonical))
    }

    /// An estimate of the bytes it holds. Canonical requests count although an
    /// entry in memory shares them: it may be gone, or lie in the store alone.
    pub(crate) fn weight(&self) -> usize {
        let known = self.known();
        let own = |v: &Variant| 96 + v.canonical.len() + v.key.as_str().len();
        self.of.len() + self.names.len() * 48 + known.iter().map(own).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(n: u8, language: Option<&str>) -> Variant {
        Variant {
            canonical: [n][..].into(),
            key: Key::new(format!("api:x:{n}")),
            language: language.map(|l| l.as_bytes().into()),
        }
    }

    #[test]
    fn the_oldest_goes_first_and_one_place_is_one_variant() {
        let variants = Variants::new([][..].into(), [][..].into());
        assert_eq!(variants.add(variant(1, Some("de")), 0, 2), None);
        assert_eq!(variants.add(variant(2, Some("de")), 0, 2), None);
        assert_eq!(variants.add(variant(2, Some("en")), 0, 2), None);
        assert_eq!(variants.speaking(b"de").as_deref(), Some(&[1][..]));
        assert_eq!(
            variants.add(variant(3, None), 0, 2),
            Some(variant(1, Some("de")))
        );
        assert_eq!(variants.speaking(b"de"), None);
        assert_eq!(variants.speaking(b"en").as_deref(), Some(&[2][..]));
    }

    #[test]
    fn a_long_request_weighs_what_it_is() {
        let variants = Variants::new([][..].into(), [][..].into());
        let long = Variant {
            canonical: vec![0; 60_000].into(),
            ..variant(1, None)
        };
        variants.add(long, 0, 2);
        assert!(variants.weight() > 60_000);
        variants.take();
        assert_eq!(variants.weight(), 0);
    }
}
