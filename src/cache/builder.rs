//! [`CacheBuilder`]: the settings of a cache, checked together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::advise::{Advisor, Expected};
use super::engine::{Dice, Engine, Faults, TenantFn};
use super::handle::Cache;
use super::pulse::Pulse;
use super::sharing::{Failover, Sharing};
use super::switch::Switch;
use super::timed::Timed;
use super::trail::Trail;
use crate::clock::{Clock, SystemClock};
use crate::entry::{Budget, Wire};
use crate::error::ConfigError;
use crate::explain::Layers;
use crate::flight::Flights;
use crate::generation::Generations;
use crate::invalidate::Namespaces;
use crate::key::valid_prefix;
use crate::policy::{CREDENTIALS, Context, PER_REQUEST, RequestHead, is_token, parse_names};
use crate::stats::Counters;
use crate::status::{DEFAULT_NAME, StatusField};
use crate::store::Store;
use crate::store::fence::Fence;
use crate::store::memory::Memory;
use crate::tasks::Tasks;
use tokio::sync::Semaphore;

/// Bytes in flight where there is no memory tier; half of it where there is one.
const IN_FLIGHT: u64 = 64 << 20;
/// Fills under way at a time; beyond that a miss runs its handler alone.
const MOST_FLIGHTS: usize = 65_536;
/// Requests that share one fill; beyond that one runs its handler alone.
const MOST_FOLLOWERS: usize = 65_536;
/// Coding a body takes a core; requests need the others.
const CODERS: usize = 2;
/// Entries that wait to be coded; more stay as they are.
const TO_CODE: usize = 4_096;
const MAX_BODY: usize = 1 << 20; // 1 MiB
/// A memory tier holds at least one ordinary entry.
const LEAST_MEMORY: u64 = 64 << 10;

/// What a store is opened with.
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "redis needs all of it")
)]
pub(super) struct StoreSettings<'a> {
    pub(super) prefix: &'a str,
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) merges: bool,
}

type OpenStore = Box<dyn FnOnce(StoreSettings<'_>) -> Result<Opened, ConfigError> + Send>;

/// A store, and the clock of invalidations that it shares, where it has one.
pub(super) struct Opened {
    pub(super) store: Box<dyn Store>,
    pub(super) fence: Option<Arc<dyn Fence>>,
}

/// The settings of a [`Cache`]. Made by [`Cache::builder`].
#[must_use]
pub struct CacheBuilder {
    memory: Option<u64>,
    pub(super) store: Option<OpenStore>,
    pub(super) wire: Wire,
    /// A setting that was refused when it was made.
    pub(super) refused: Option<ConfigError>,
    prefix: String,
    pub(crate) metrics_name: Option<String>,
    release: String,
    max_body: usize,
    max_variants: usize,
    max_renewals: usize,
    operation_timeout: Duration,
    pub(super) sharing: Sharing,
    credentials: Vec<String>,
    per_request: Vec<String>,
    tenant: Option<TenantFn>,
    status: Option<String>,
    detail: bool,
    status_key: bool,
    enabled: bool,
    pub(super) expected: Expected,
    clock: Arc<dyn Clock>,
}

impl CacheBuilder {
    pub(super) fn new() -> Self {
        Self {
            memory: None,
            store: None,
            wire: Wire::default(),
            refused: None,
            prefix: "api".to_owned(),
            metrics_name: None,
            release: String::new(),
            max_body: MAX_BODY,
            max_variants: 128,
            max_renewals: 64,
            operation_timeout: Duration::from_millis(250),
            sharing: Sharing::default(),
            credentials: Vec::new(),
            per_request: Vec::new(),
            tenant: None,
            status: Some(DEFAULT_NAME.to_owned()),
            detail: true,
            status_key: false,
            enabled: true,
            expected: Expected::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Keeps entries in the process, at most `bytes` of them with all that they cost (at least 64 KiB). Default: none.
    ///
    /// Bodies that are being recorded count in that, and take at most half of it: one that is larger
    /// is served and not stored, in no tier. Give at least twice [`max_body`](Self::max_body) where those are to be stored.
    /// From 32 MiB on the tier has parts, of 16 MiB or more: it keeps no entry that is larger than one of them (`no-room`).
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Keeps entries in a store of your own. The last of `store` and `redis`
    /// counts. Default: none.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(|settings| {
            let timeout = settings.timeout;
            Ok(Opened {
                store: Box::new(Timed { store, timeout }),
                fence: None,
            })
        }));
        self
    }

    /// The first part of every key, `[A-Za-z0-9._-]+`: tells applications on one Redis apart. Default: `api`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The release of the application. Entries of another release are not
    /// found; invalidations reach all of them. Default: none.
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = release.into();
        self
    }

    /// The largest body that is stored where a policy does not say, in bytes. Default: 1 MiB.
    pub fn max_body(mut self, bytes: impl crate::Size) -> Self {
        self.max_body = bytes.bytes();
        self
    }

    /// How many variants of one resource (RFC 9111, 4.1) are kept, at least one;
    /// beyond that the oldest goes. Each process counts those that it has made.
    /// Default: 128.
    pub fn max_variants(mut self, most: usize) -> Self {
        self.max_variants = most;
        self
    }

    /// How many entries are renewed in the background at a time; beyond that a
    /// stale one is served and left for the next request. Default: 64.
    pub fn max_renewals(mut self, most: usize) -> Self {
        self.max_renewals = most;
        self
    }

    /// How long one operation of the shared store may take, and how long a request waits for it in
    /// all: from 1 ms to 60 s. A connection may take as long to make, and 250 ms at least. For how long a request
    /// waits for another's fill, its policy says ([`Policy::wait`](crate::Policy::wait)). Default: 250 ms.
    pub fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// More request fields that say who asks, besides [`CREDENTIALS`](crate::CREDENTIALS) and what is named like them, such as your own session field:
    /// requests with one of them bypass the cache unless their policy tells
    /// what it means.
    pub fn credentials<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.credentials.extend(names.into_iter().map(Into::into));
        self
    }

    /// More response fields that belong to one request and are not stored,
    /// besides `X-Request-Id`, `traceparent`, `Server-Timing`, rate limits and
    /// the like.
    pub fn per_request<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.per_request.extend(names.into_iter().map(Into::into));
        self
    }

    /// Separates tenants: the text becomes part of every key, tag and
    /// invalidation. A request for which it is `None`, or for which the
    /// function panics, bypasses the cache. Default: no tenants.
    pub fn tenant(
        mut self,
        tenant: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.tenant = Some(Arc::new(tenant));
        self
    }

    /// This cache's name in `Cache-Status` (RFC 9211), a token. Default:
    /// `larder`.
    pub fn cache_status(mut self, name: impl Into<String>) -> Self {
        self.status = Some(name.into());
        self
    }

    /// Sends no `Cache-Status`.
    pub fn no_cache_status(mut self) -> Self {
        self.status = None;
        self
    }

    /// Whether `Cache-Status` has a `detail` with the reason. Default: yes.
    pub fn cache_status_detail(mut self, detail: bool) -> Self {
        self.detail = detail;
        self
    }

    /// Whether `Cache-Status` has the `key` of the entry that answers or is being
    /// stored (RFC 9211, 2.7): prefix, endpoint and a hash, from which nothing else
    /// of a request can be read. Default: no.
    pub fn cache_status_key(mut self, key: bool) -> Self {
        self.status_key = key;
        self
    }

    /// Whether the cache is on at first; see [`Cache::set_enabled`]. Default:
    /// yes.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Another clock, for tests. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and makes the cache. No connection is made yet: a
    /// store that is down does not delay the start.
    ///
    /// # Errors
    ///
    /// If a setting cannot work; the error names it.
    pub fn build(self) -> Result<Cache, ConfigError> {
        if self.enabled && self.memory.is_none() && self.store.is_none() {
            return Err(ConfigError::new(
                "memory",
                "a cache needs a tier: call memory(bytes), redis(url) or store(..), or use Cache::disabled()",
            ));
        }
        self.assemble()
    }

    /// A cache without any tier, switched off.
    pub(super) fn disabled(mut self) -> Cache {
        self.enabled = false;
        match self.assemble() {
            Ok(cache) => cache,
            Err(error) => unreachable!("the defaults are valid: {error}"),
        }
    }

    fn assemble(mut self) -> Result<Cache, ConfigError> {
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        self.check()?;
        let known = CREDENTIALS.iter().copied();
        let own = self.credentials.iter().map(String::as_str);
        let credentials = parse_names("credentials", known.chain(own))?;
        let own = self.per_request.iter().map(String::as_str);
        let per_request = parse_names("per_request", PER_REQUEST.iter().copied().chain(own))?;
        let open = |open: OpenStore| {
            open(StoreSettings {
                prefix: &self.prefix,
                timeout: self.operation_timeout,
                clock: Arc::clone(&self.clock),
                merges: self.sharing.failover == Failover::Merge,
            })
        };
        let opened = self.store.map(open).transpose()?;
        let (store, fence) = opened.map_or((None, None), |o| (Some(o.store), o.fence));
        let counters = Counters::default();
        let room = self.memory.map_or(IN_FLIGHT, |bytes| bytes / 2);
        let engine = Engine {
            memory: Memory::new(
                self.memory.unwrap_or(0),
                Arc::clone(&self.clock),
                Arc::clone(&counters.traces),
            ),
            store,
            wire: self.wire,
            generations: Generations::default(),
            pulse: fence.map(|fence| Pulse::new(fence, self.sharing)),
            places: Arc::default(),
            clearing: Default::default(),
            in_flight: Budget::new(room),
            unwritten: Budget::new(room),
            flights: Arc::new(Flights::new(MOST_FLIGHTS, MOST_FOLLOWERS)),
            dice: Dice::default(),
            renewals: Semaphore::new(self.max_renewals),
            coders: Semaphore::new(CODERS),
            to_code: Semaphore::new(TO_CODE),
            clock: self.clock,
            tasks: Tasks::new(),
            timers: Default::default(),
            counters,
            layers: Layers::default(),
            faults: Faults::default(),
            switch: Switch::new(self.enabled),
            advisor: Advisor::new(self.expected),
            trail: Trail::default(),
            metrics_name: self.metrics_name,
            context: Context {
                prefix: self.prefix,
                release: self.release,
                max_body: self.max_body,
                credentials,
                namespaces: Namespaces::default(),
                tenants: self.tenant.is_some(),
            },
            tenant: self.tenant,
            per_request,
            status: match self.status {
                None => StatusField::Off,
                Some(name) => StatusField::on(name, self.detail, self.status_key),
            },
            max_variants: self.max_variants,
            budget: self.operation_timeout,
        };
        Ok(Cache::of(Arc::new(engine)))
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.expected.check()?;
        let bad = |setting: &str, why: String| Err(ConfigError::new(setting, why));
        if let Some(bytes) = self.memory.filter(|bytes| *bytes < LEAST_MEMORY) {
            let why = format!("{bytes} bytes hold nothing, at least {LEAST_MEMORY} are needed");
            return bad("memory", why);
        }
        if !valid_prefix(&self.prefix) {
            let why = format!("{:?} is not of the form [A-Za-z0-9._-]+", self.prefix);
            return bad("prefix", why);
        }
        if self.max_body == 0 {
            return bad("max_body", "must be at least one byte".into());
        }
        if self.max_variants == 0 {
            return bad("max_variants", "must be at least one".into());
        }
        if self.max_renewals > Semaphore::MAX_PERMITS {
            return bad("max_renewals", "more than can be counted".into());
        }
        let timeout = self.operation_timeout;
        if timeout < Duration::from_millis(1) || timeout > Duration::from_secs(60) {
            let why = format!("{timeout:?} is not between 1 ms and 60 s");
            return bad("operation_timeout", why);
        }
        let lease = self.sharing.lease;
        if lease < Duration::from_millis(30) || lease > Duration::from_secs(60) {
            let why = format!("{lease:?} is not between 30 ms and 60 s");
            return bad("lease", why);
        }
        let token = |name: &str| {
            name.bytes().all(is_token) && name.starts_with(|c: char| c.is_ascii_alphabetic())
        };
        match &self.status {
            Some(name) if !token(name) => bad(
                "cache_status",
                format!("{name:?} is not a token (RFC 9651, 3.3.4)"),
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("memory", &self.memory)
            .field("shared", &self.store.is_some())
            .field("prefix", &self.prefix)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}
