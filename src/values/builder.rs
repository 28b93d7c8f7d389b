//! [`ValuesBuilder`]: the settings of a namespace, checked together.

use std::any::{TypeId, type_name};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::codec::Codec;
use super::handle::Values;
use super::space::{Rulings, Sharing, Space};
use crate::cache::Engine;
use crate::clock::millis;
use crate::error::ConfigError;
use crate::invalidate::tenant_suffix;
use crate::key::{ScopeId, Writer, escape_endpoint};
use crate::policy::{Compiled, FINGERPRINT, Policy};

/// How long values are fresh where nobody says: an hour.
const TTL: Duration = Duration::from_secs(3_600);
/// How long a caller waits for another's load: loaders are slower than handlers.
const WAIT: Duration = Duration::from_secs(60);
/// 1 MiB.
const MAX_SIZE: usize = 1 << 20;

/// Where the values of a namespace are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Tiers {
    /// In every tier that the cache has.
    #[default]
    All,
    /// In the process' memory alone.
    Memory,
    /// In the shared store alone.
    Redis,
}

/// The settings of a namespace of typed values. Made by
/// [`Cache::values`](crate::Cache::values).
#[must_use]
pub struct ValuesBuilder<T> {
    engine: Arc<Engine>,
    name: String,
    policy: Policy,
    codec: Arc<dyn Codec<T>>,
    tiers: Tiers,
    memory_ttl: Option<Duration>,
    sharing: Sharing,
    version: Option<String>,
    hashed: bool,
    tenant: Option<String>,
    tags: Vec<String>,
    max_size: usize,
    rulings: Rulings<T>,
}

impl<T> fmt::Debug for ValuesBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValuesBuilder")
            .field("name", &self.name)
            .field("ttl", &self.policy.ttl)
            .field("tiers", &self.tiers)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> ValuesBuilder<T> {
    pub(crate) fn new(engine: Arc<Engine>, name: String, codec: Arc<dyn Codec<T>>) -> Self {
        Self {
            engine,
            name,
            policy: Policy::ttl(TTL).wait(WAIT),
            codec,
            tiers: Tiers::All,
            memory_ttl: None,
            sharing: Sharing::Shared,
            version: None,
            hashed: false,
            tenant: None,
            tags: Vec::new(),
            max_size: MAX_SIZE,
            rulings: Rulings::default(),
        }
    }

    /// How long a value is fresh, from a millisecond to 100 years. Default: an
    /// hour.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Some(ttl);
        self
    }

    /// How long the process' memory answers without a look at Redis, counted from
    /// when it got the value. Default: as long as the value lives.
    pub fn memory_ttl(mut self, ttl: Duration) -> Self {
        self.memory_ttl = Some(ttl);
        self
    }

    /// Where values are kept. Default: in every tier that the cache has.
    pub fn tiers(mut self, tiers: Tiers) -> Self {
        self.tiers = tiers;
        self
    }

    /// How values are written for Redis. Default: [`Json`](super::Json).
    pub fn codec(mut self, codec: impl Codec<T>) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// Who shares values. Default: all who ask for one key.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The version of what is made, such as an engine's (`narrative@1.0.0`). It
    /// stands behind the keys in Redis (`<namespace>:<key>:v<version>`): what was
    /// stored under another one is not found any more. The application's own
    /// [`release`](crate::CacheBuilder::release) stands behind it (`:r<release>`). Default: none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Hides keys in Redis: a hash stands for each, in names and in what is stored.
    /// Only the namespace can be read. A look-up hashes its key once. Default: no.
    pub fn hashed_keys(mut self) -> Self {
        self.hashed = true;
        self
    }

    /// Whose the values are, in a cache with [tenants](crate::CacheBuilder::tenant): it
    /// becomes part of keys and tags, and [`invalidate_for`](crate::Cache::invalidate_for)
    /// reaches them by tag alone. [`clear`](Values::clear) and patterns reach all tenants'.
    /// Default: nobody's; a tag in any tenant's name reaches these too.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Adds a tag to every value.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds the tags that a function tells from the key and the value. The last
    /// function counts. One that panics keeps the value from being stored.
    pub fn tags_of(
        mut self,
        tags: impl Fn(&str, &T) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        self.rulings.tags_of = Some(Arc::new(tags));
        self
    }

    /// For so long after its freshness a value is served while one load renews it
    /// in the background. Default: not at all.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.policy.stale_while_revalidate = Some(window);
        self
    }

    /// For so long after its freshness a value stands in where the loader fails.
    /// Default: not at all.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.policy.stale_if_error = Some(window);
        self
    }

    /// Whether a fresh value is renewed before it ends, the likelier, the less is
    /// left of it and the longer its load took (as
    /// [`Policy::early`](crate::Policy::early)). Default: yes.
    pub fn early(mut self, on: bool) -> Self {
        self.policy = self.policy.early(on);
        self
    }

    /// Shortens each TTL by a random share of up to `share` of it. Default: 0.
    pub fn jitter(mut self, share: f64) -> Self {
        self.policy = self.policy.jitter(share);
        self
    }

    /// Lets the TTL adapt between these bounds, which the [`ttl`](Self::ttl) lies between, as
    /// [`Policy::adaptive`](crate::Policy::adaptive). Default: it does not.
    pub fn adaptive(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.policy = self.policy.adaptive(bounds);
        self
    }

    /// How long a caller waits for another's load, in this process or another; then
    /// what is stale stands in, else the [`fallback`](Self::fallback), else its own
    /// loader runs. Default: 60 s.
    pub fn wait(mut self, longest: Duration) -> Self {
        self.policy = self.policy.wait(longest);
        self
    }

    /// What stands in where the loader fails and nothing stale may. It is not
    /// stored. The last function counts; `None` returns the loader's error.
    pub fn fallback(
        mut self,
        fallback: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        self.rulings.fallback = Some(Arc::new(fallback));
        self
    }

    /// Whether a value that was found may be used; one that may not is a miss, and
    /// is replaced by what is loaded. A panic is a no.
    pub fn valid_if(mut self, check: impl Fn(&str, &T) -> bool + Send + Sync + 'static) -> Self {
        self.rulings.valid_if = Some(Arc::new(check));
        self
    }

    /// Whether a value that was loaded is stored; one that is not goes to those who
    /// have waited for it, and to nobody else. A panic is a no.
    pub fn store_if(mut self, check: impl Fn(&str, &T) -> bool + Send + Sync + 'static) -> Self {
        self.rulings.store_if = Some(Arc::new(check));
        self
    }

    /// The bytes that a value takes in memory, for the memory tier's bound.
    /// Default: an estimate from its size and twice its length as it is written. A value that is
    /// heavier than the tier's bound is not kept there.
    pub fn weigh(mut self, weigh: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.rulings.weigh = Some(Arc::new(weigh));
        self
    }

    /// The largest value that is stored, in bytes as it is written, at least one.
    /// Default: 1 MiB.
    pub fn max_size(mut self, bytes: impl crate::Size) -> Self {
        self.max_size = bytes.bytes();
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If a setting cannot work; the error names it. A namespace is of one type in
    /// one cache.
    pub fn build(mut self) -> Result<Values<T>, ConfigError> {
        self.check()?;
        self.policy = self.policy.max_body(self.max_size);
        self.policy.memory_only = self.tiers == Tiers::Memory;
        if self.policy.ttl.is_some_and(|ttl| millis(ttl) == 0) {
            return Err(ConfigError::new("ttl", "must be at least a millisecond"));
        }
        let policy = Compiled::new(&self.policy, &self.engine.context)?;
        let (id, of) = (TypeId::of::<T>(), type_name::<T>());
        let namespaces = &self.engine.context.namespaces;
        namespaces
            .register(&self.name, &self.engine.context.prefix, (id, of))
            .map_err(|why| ConfigError::new("values", why))?;
        let mut preamble = Writer::empty();
        let (mut kind, release) = (b"!value".to_vec(), &*self.engine.context.release);
        let release = match release {
            "" => String::new(),
            release => {
                let hash = Sha256::digest(release);
                kind.extend_from_slice(&hash[..FINGERPRINT - kind.len()]); // see `beside_release`
                format!(":r{}", escape_endpoint(release))
            }
        };
        preamble.field(&kind);
        preamble.field(self.name.as_bytes());
        preamble.field(self.codec.name().as_bytes());
        preamble.option(self.version.as_deref().map(str::as_bytes));
        let tenant = self.tenant.as_deref();
        preamble.option(tenant.map(str::as_bytes));
        let tags = self.tags.iter().map(|tag| ScopeId::tag(tenant, tag));
        Ok(Values::of(Space {
            counts: self.engine.counters.endpoint(&self.name),
            preamble: preamble.as_bytes().to_vec(),
            of_namespace: ScopeId::namespace(&self.name),
            tags: tags.collect(),
            release,
            suffix: tenant.map(tenant_suffix).unwrap_or_default(),
            tenant: self.tenant,
            name: self.name.into(),
            policy: Arc::new(policy),
            codec: self.codec,
            in_memory: self.tiers != Tiers::Redis,
            memory_ttl: match self.engine.store {
                Some(_) => self.memory_ttl.map_or(u64::MAX, millis),
                None => u64::MAX, // there is nothing else to look at
            },
            sharing: self.sharing,
            version: self.version,
            hashed: self.hashed,
            rulings: self.rulings,
            engine: self.engine,
        }))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bad = |setting: &str, why: &str| Err(ConfigError::new(setting, why));
        let (memory, store) = (self.engine.memory.keeps_entries(), &self.engine.store);
        let off = !memory && store.is_none(); // `Cache::disabled()`
        match self.tiers {
            Tiers::Memory if !memory && !off => {
                return bad("tiers", "this cache has no memory: call memory(bytes)");
            }
            Tiers::Redis if store.is_none() && !off => {
                return bad(
                    "tiers",
                    "this cache has no store: call redis(url) or store(..)",
                );
            }
            _ => {}
        }
        if self.memory_ttl.is_some_and(|ttl| millis(ttl) == 0) {
            return bad("memory_ttl", "must be at least a millisecond");
        }
        if self.max_size == 0 {
            return bad("max_size", "must be at least one byte");
        }
        if self.tags.iter().any(String::is_empty) {
            return bad("tag", "an empty tag");
        }
        match &self.version {
            Some(version) if version.is_empty() || version.len() > 128 => {
                bad("version", "must have 1 to 128 bytes")
            }
            Some(version)
                if !version
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"{}".contains(&b)) =>
            {
                bad("version", "must be visible ASCII without braces")
            }
            _ => Ok(()),
        }
    }
}
