//! A namespace: what its handles share, and where its values lie.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::cached::CachedValue;
use super::codec::Codec;
use super::key::ValueKey;
use crate::cache::Engine;
use crate::cache::guard::{self, Callback};
use crate::entry::{Held, Value};
use crate::generation::Scoped;
use crate::invalidate::{Find, Target, What};
use crate::key::{Key, ScopeId, Writer, hex};
use crate::outcome::{Bypass, Outcome, Tier};
use crate::policy::Compiled;
use crate::policy::request::Asks;
use crate::question::Question;
use crate::stats::Counts;

/// Who shares the values of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// All who ask for one key.
    #[default]
    Shared,
    /// Those of one [seed](super::ValueKey::seed), such as a user, a player or a
    /// playthrough. Under a key without a seed nothing is cached.
    PerSeed,
    /// Nobody: the loader always runs, and nothing is stored.
    Never,
}

type TagsFn<T> = Arc<dyn Fn(&str, &T) -> Vec<String> + Send + Sync>;
type FallbackFn<T> = Arc<dyn Fn(&str) -> Option<T> + Send + Sync>;
type WeighFn<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;
type Check<T> = Arc<dyn Fn(&str, &T) -> bool + Send + Sync>;

/// What a user's functions decide.
pub(super) struct Rulings<T> {
    pub(super) tags_of: Option<TagsFn<T>>,
    pub(super) valid_if: Option<Check<T>>,
    pub(super) store_if: Option<Check<T>>,
    pub(super) fallback: Option<FallbackFn<T>>,
    pub(super) weigh: Option<WeighFn<T>>,
}

impl<T> Default for Rulings<T> {
    fn default() -> Self {
        Self {
            tags_of: None,
            valid_if: None,
            store_if: None,
            fallback: None,
            weigh: None,
        }
    }
}

/// A namespace.
pub(super) struct Space<T> {
    pub(super) engine: Arc<Engine>,
    pub(super) name: Arc<str>,
    pub(super) policy: Arc<Compiled>,
    /// How the canonical form of each key begins.
    pub(super) preamble: Vec<u8>,
    pub(super) codec: Arc<dyn Codec<T>>,
    pub(super) in_memory: bool,
    /// How long memory answers without a look at the store, in milliseconds.
    pub(super) memory_ttl: u64,
    pub(super) sharing: Sharing,
    pub(super) version: Option<String>,
    pub(super) tenant: Option<String>,
    /// How it stands behind names.
    pub(super) suffix: String,
    /// The application's release, as it stands behind names before that.
    pub(super) release: String,
    /// Nothing of a key can be read in the store.
    pub(super) hashed: bool,
    pub(super) of_namespace: ScopeId,
    pub(super) tags: Vec<ScopeId>,
    pub(super) rulings: Rulings<T>,
    pub(super) counts: Arc<Counts>,
}

/// What a value that is not known yet will belong to.
pub(super) struct Belongs {
    pub(super) name: Key,
    pub(super) scopes: Vec<ScopeId>,
}

impl Scoped for Belongs {
    fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl<T: Send + Sync + 'static> Space<T> {
    /// Why nothing is cached under a key now.
    #[inline]
    pub(super) fn bypass(&self, key: &ValueKey<'_>) -> Option<Bypass> {
        match self.engine.enabled() {
            true => self.never(key),
            false => Some(Bypass::Disabled),
        }
    }

    /// Why nothing ever is.
    #[inline]
    pub(super) fn never(&self, key: &ValueKey<'_>) -> Option<Bypass> {
        match self.sharing {
            Sharing::Never => Some(Bypass::NotCached),
            Sharing::PerSeed if key.seeds.is_empty() => Some(Bypass::NoScope),
            _ if key.never => Some(Bypass::NotCached),
            _ => None,
        }
    }

    /// The canonical form of a key: where its value lies in memory.
    #[inline]
    pub(super) fn place(&self, key: &ValueKey<'_>) -> Writer {
        let mut place = Writer::resume(&self.preamble);
        match (&key.content, self.hashed) {
            // whatever its text: those of one content have one place
            (Some(content), _) => {
                place.absent();
                place.field(&content.0);
            }
            (None, false) => place.field(key.text.as_bytes()),
            (None, true) => place.secret(key.text.as_bytes()),
        }
        for seed in &key.seeds {
            place.secret(seed.as_bytes());
        }
        place
    }

    /// Where a value lies in the store.
    pub(super) fn key(&self, key: &ValueKey<'_>) -> Key {
        let text = match self.hashed {
            false => key.name(),
            true => hashed(key.text.as_bytes()).into(),
        };
        self.name(&text)
    }

    /// What leads to the value of a content.
    pub(super) fn alias(&self, key: &ValueKey<'_>) -> Option<Key> {
        let content = key.content?.to_hex();
        // a seed's values are its own, whatever they are made of
        let seeds = key.seeds.iter();
        let whose: String = seeds
            .map(|seed| format!("|{}", hashed(seed.as_bytes())))
            .collect();
        Some(self.name(&format!("hash:{content}{whose}")))
    }

    fn name(&self, text: &str) -> Key {
        let mut name = format!("{}:{text}", self.name);
        if let Some(version) = &self.version {
            name.push_str(":v");
            name.push_str(version);
        }
        name.push_str(&self.release);
        name.push_str(&self.suffix);
        Key::new(name)
    }

    /// By what a name is invalidated: by itself, and where there are releases by what all
    /// of them call it.
    pub(super) fn scopes_of(&self, name: &Key) -> impl Iterator<Item = ScopeId> {
        let ends = format!("{}{}", self.release, self.suffix);
        let bare = name.as_str().strip_suffix(&*ends);
        let bare = bare.filter(|_| !self.release.is_empty());
        let all = bare.map(|bare| ScopeId::key(&format!("{bare}{}", self.suffix)));
        [ScopeId::key(name.as_str())].into_iter().chain(all)
    }

    /// One value, by its name.
    pub(super) fn target(&self, name: Key) -> Target {
        Target::hard(What::Scope {
            ids: self.scopes_of(&name).collect(),
            how: Find::Key(name),
        })
    }

    /// The question that a look-up asks of the engine.
    pub(super) fn question(&self, key: &ValueKey<'_>) -> Question {
        Question {
            policy: Arc::clone(&self.policy),
            tenant: None,
            head: false,
            asks: Asks::default(),
            canonical: self.place(key).finish(),
            variant: None,
            name: Some(self.alias(key).unwrap_or_else(|| self.key(key))),
            began: None,
            observed: None,
        }
    }

    /// What is known beforehand of what a value belongs to.
    pub(super) fn belongs(&self, name: &Key, alias: Option<&Key>, seeds: &[ScopeId]) -> Belongs {
        let keys = [Some(name), alias].into_iter().flatten();
        let keys = keys.flat_map(|key| self.scopes_of(key));
        Belongs {
            name: name.clone(),
            scopes: keys
                .chain([self.of_namespace])
                .chain(self.known_tags(seeds))
                .collect(),
        }
    }

    /// The tags that are known beforehand.
    pub(super) fn known_tags<'a>(
        &'a self,
        seeds: &'a [ScopeId],
    ) -> impl Iterator<Item = ScopeId> + 'a {
        self.tags.iter().chain(seeds).copied()
    }

    /// Those that a key names.
    pub(super) fn seeds_of(&self, key: &ValueKey<'_>) -> SmallVec<[ScopeId; 1]> {
        let tenant = self.tenant.as_deref();
        let seeds = key.seeds.iter();
        seeds.map(|seed| ScopeId::tag(tenant, seed)).collect()
    }

    /// The value that an entry in memory holds.
    #[inline]
    pub(super) fn held(&self, held: &Held) -> Option<Arc<T>> {
        let value = held.value.as_ref()?;
        Arc::clone(&value.it).downcast().ok()
    }

    /// The value of an entry, wherever it was found.
    pub(super) fn value_of(&self, held: &Held) -> Option<Arc<T>> {
        let decode = || self.decode(&held.entry.body).map(Arc::new);
        self.held(held).or_else(decode)
    }

    /// Reads a value. What cannot be read, or panics, is none.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<T> {
        let decoded = guard::call(&self.engine, Callback::Codec, || self.codec.decode(bytes))?;
        match decoded {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::debug!(target: "larder", namespace = %self.name, %error, "a value cannot be read");
                None
            }
        }
    }

    /// A value as memory holds it. One that has come of age elsewhere lives on for
    /// the memory's own time from now.
    pub(super) fn to_hold(&self, value: &Arc<T>, written: usize, age: u64) -> Value {
        let weigh = self.rulings.weigh.as_ref();
        let own =
            weigh.and_then(|weigh| guard::call(&self.engine, Callback::Weigh, || weigh(value)));
        let estimate = || size_of::<T>().saturating_add(written.saturating_mul(2));
        Value {
            it: Arc::clone(value) as _,
            weight: own.unwrap_or_else(estimate) as u64,
            until: age.saturating_add(self.memory_ttl),
            kept: self.in_memory,
            given: false,
        }
    }

    /// Whether a value that was found may be used.
    #[inline]
    pub(super) fn is_valid(&self, key: &str, value: &T) -> bool {
        match &self.rulings.valid_if {
            None => true,
            Some(check) => {
                guard::call(&self.engine, Callback::ValidIf, || check(key, value)) == Some(true)
            }
        }
    }
}

/// A value that was found fresh.
#[inline]
pub(super) fn hit<T>(value: Arc<T>, tier: Tier, (age, ttl): (u64, u64)) -> CachedValue<T> {
    let millis = std::time::Duration::from_millis;
    let (age, ttl) = (millis(age), millis(ttl));
    CachedValue::new(value, Outcome::Hit { tier, age, ttl })
}

/// 32 hexadecimal digits from which nothing can be read.
fn hashed(text: &[u8]) -> String {
    let mut name = String::with_capacity(32);
    hex(&mut name, &Sha256::digest(text)[..16]);
    name
}
