//! What a cache tells of itself: its health, the server behind it, and what it
//! holds. Nothing here can be read back into a request: keys and tags are hashes,
//! bodies and fields stay where they are.
//!
//! ```
//! # async fn look(cache: larder::Cache) -> Result<(), larder::inspect::InspectError> {
//! let health = cache.health().await;
//! println!("{}: {:?}", health.status(), health.store.and_then(|store| store.round_trip));
//! for entry in cache.entries("api:characters:*", None).await?.entries {
//!     println!("{} {:?}", entry.key, entry.ttl);
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::{StoreError, StoreErrorKind};
use crate::key::Key;
use crate::outcome::Tier;

/// How a cache is: [`Cache::health`](crate::Cache::health).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// Whether it is on, see [`Cache::set_enabled_everywhere`](crate::Cache::set_enabled_everywhere).
    pub enabled: bool,
    /// The shared store, where there is one.
    pub store: Option<StoreHealth>,
    /// The processes that share the clock of invalidations and have had requests within
    /// their lease, this one first. Without Redis, or while it cannot be asked, this
    /// one alone.
    pub instances: Vec<Instance>,
    /// Invalidations of this process that Redis could not be told of yet.
    pub untold: usize,
}

impl Health {
    /// Whether something is not as it should be: the store does not answer, or Redis does
    /// and its clock of invalidations cannot be used, another process is behind, or an
    /// invalidation is still to be told. Requests are served all the same.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        let store = self.store.as_ref();
        store.is_some_and(|store| store.round_trip.is_none() || store.error.is_some())
            || self.untold > 0
            || self.instances.iter().any(|instance| !instance.in_step)
    }

    /// `ok` or `degraded`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.is_degraded() {
            true => "degraded",
            false => "ok",
        }
    }
}

/// How a shared store is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreHealth {
    /// What kind of store it is.
    pub topology: Topology,
    /// How long a question and its answer took just now: the slowest primary's `PING`,
    /// or a look for a key that is never there in a store of your own. None where no
    /// answer came.
    pub round_trip: Option<Duration>,
    /// Why no answer came; or, beside a round trip, why the last beat of this process
    /// has failed though Redis answers: an ACL, a last replica that is gone. Neither tier
    /// is used then, see [`Outage`](crate::Outage).
    pub error: Option<StoreErrorKind>,
    /// The same in words, which the server's own may be among. No password is.
    pub reason: Option<String>,
    /// Redis is left alone until it answers to a probe behind the scenes: so long since
    /// the breaker has opened, of a cluster the first of those that are. None while
    /// all are closed.
    pub open_for: Option<Duration>,
    /// Whether invalidations of other processes are pushed to this one. One without
    /// requests does not listen.
    pub listening: bool,
    /// Whether this process has a lease, under which it serves from its memory.
    pub leased: bool,
}

/// Kinds of shared stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// One Redis server.
    Server,
    /// Redis Cluster.
    Cluster,
    /// Redis behind Sentinel.
    Sentinel,
    /// A [`Store`](crate::Store) of the application's own.
    Own,
}

impl Topology {
    /// The kind as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
            Self::Own => "own",
        }
    }
}

/// A process among those that share a clock of invalidations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// 32 hexadecimal digits, by chance.
    pub id: String,
    /// It is the one that was asked.
    pub this: bool,
    /// Whether it has heard of every invalidation.
    pub in_step: bool,
    /// How many it has not heard of yet; none where that is not known.
    pub behind: Option<u64>,
    /// Counts its beats. One that stands still belongs to a process that is gone or
    /// hangs.
    pub beats: u64,
}

/// What a primary of the shared store says of itself:
/// [`Cache::servers`](crate::Cache::servers). What it did not say is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// `redis_version`, or the version of a server that is compatible.
    pub version: Option<String>,
    /// Bytes in use.
    pub used_memory: Option<u64>,
    /// The bound in bytes; 0 is none.
    pub max_memory: Option<u64>,
    /// What goes when it is full: `allkeys-lru`, `noeviction` ..
    pub eviction_policy: Option<String>,
    /// Keys that went because it was full, since it was started.
    pub evicted_keys: Option<u64>,
    /// Keys whose time had come, since it was started.
    pub expired_keys: Option<u64>,
    /// Look-ups of keys that were there, since it was started; of all its clients.
    pub keyspace_hits: Option<u64>,
    /// Look-ups of keys that were not.
    pub keyspace_misses: Option<u64>,
    /// Whether its last snapshot could be written.
    pub last_save_ok: Option<bool>,
    /// Whether it writes an append-only file.
    pub append_only: Option<bool>,
    /// `appendfsync`, where it may be asked.
    pub append_fsync: Option<String>,
    /// `stop-writes-on-bgsave-error`, where it may be asked.
    pub stops_writes: Option<bool>,
    /// Whether it takes snapshots (`save`), where it may be asked.
    pub saves: Option<bool>,
    /// Replicas that follow it.
    pub replicas: Option<u64>,
}

/// What is told of a stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// Its key.
    pub key: Key,
    /// Where it was found.
    pub tier: Tier,
    /// The status it is answered with.
    pub status: u16,
    /// How old it is.
    pub age: Duration,
    /// How much longer it is fresh; zero for one that is stale.
    pub ttl: Duration,
    /// How much longer it is kept, to be served stale or to be validated.
    pub kept: Duration,
    /// How long its fill took.
    pub fill: Duration,
    /// Bytes of its body; 0 for a value that memory holds as it is.
    pub size: u64,
    /// Bytes that it takes where it was found. None in a listing of the shared store.
    pub takes: Option<u64>,
    /// Whether no invalidation has reached it, as far as this process knows. None where
    /// a listing has read too little of it.
    pub valid: Option<bool>,
    /// Hashes of what it can be invalidated by: its key, endpoint, URI, tags and
    /// groups, 32 hexadecimal digits each.
    pub scopes: Vec<String>,
    pub(crate) namespace: Option<Box<str>>,
}

impl EntryInfo {
    /// The endpoint in its key; the namespace of a value.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        if let Some(namespace) = &self.namespace {
            return namespace;
        }
        let mut parts = self.key.as_str().rsplitn(2, ':');
        let family = parts.nth(1).unwrap_or_default();
        let family = family.split_once(':').map_or("", |(_, family)| family);
        family.split('@').next().unwrap_or_default()
    }
}

/// An invalidation that has been: [`Cache::invalidations`](crate::Cache::invalidations).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalidation {
    /// When it was; of several, the last.
    pub at: SystemTime,
    /// What it reached.
    pub scope: Scope,
    /// It made stale instead of gone.
    pub soft: bool,
    /// How many entries went; none where that was not counted, as where a route
    /// declares it.
    pub removed: Option<u64>,
    /// How often the same came in a row.
    pub times: u64,
}

/// What an invalidation reaches. Tags, groups and URIs stand as hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the kinds of a selector")]
pub enum Scope {
    Pattern(String),
    Endpoint(String),
    Key(String),
    Tag(String),
    Uri(String),
    Everything,
}

impl Scope {
    /// The kind as one word, and what it names.
    #[must_use]
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Pattern(name) => ("pattern", name),
            Self::Endpoint(name) => ("endpoint", name),
            Self::Key(name) => ("key", name),
            Self::Tag(name) => ("tag", name),
            Self::Uri(name) => ("uri", name),
            Self::Everything => ("everything", ""),
        }
    }
}

/// A part of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EntryPage {
    /// Entries in no order. An entry that is there all the time is on one page at
    /// least, and may be on two.
    pub entries: Vec<EntryInfo>,
    /// Where to go on; none at the end. A page may be empty and not be the last.
    pub next: Option<String>,
}

/// Why something could not be told.
pub struct InspectError {
    kind: InspectErrorKind,
    message: String,
    source: Option<StoreError>,
}

/// The kinds of [`InspectError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InspectErrorKind {
    /// The pattern, key or cursor makes no sense.
    BadRequest,
    /// The shared store did not answer.
    Store,
}

impl InspectError {
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self {
            kind: InspectErrorKind::BadRequest,
            message: message.into(),
            source: None,
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> InspectErrorKind {
        self.kind
    }
}

impl From<StoreError> for InspectError {
    fn from(source: StoreError) -> Self {
        Self {
            kind: InspectErrorKind::Store,
            message: source.to_string(),
            source: Some(source),
        }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As it displays.
impl fmt::Debug for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}
