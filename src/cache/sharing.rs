//! How a process shares a Redis with others.

use std::time::Duration;

use super::builder::CacheBuilder;

/// What a process does with its memory while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Outage {
    /// It is not served once the lease has ended: what other processes invalidate
    /// cannot be heard of.
    #[default]
    Strict,
    /// It is served and filled for so long, counted from the first time that Redis did
    /// not answer. Until Redis answers again, what other processes invalidate is served
    /// on; `Cache-Status` says `detail=outage`.
    Serve(Duration),
}

/// What becomes of what is stored when Redis is another server than before: a replica
/// that was promoted, or one that was restarted from what it had saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Failover {
    /// All of it counts as invalid: cold, but never a lie.
    #[default]
    Forget,
    /// It is served on, and each process brings back the invalidations that it knows
    /// and Redis has lost. Until all have, which takes a beat of each, a process that did not hear of
    /// one may serve what it reached; one that no living process knows is lost. All
    /// processes that share a prefix must be set alike.
    Merge,
}

/// The settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sharing {
    pub(super) lease: Duration,
    pub(super) outage: Outage,
    pub(super) failover: Failover,
    pub(super) tracks: bool,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            lease: Duration::from_millis(1_500),
            outage: Outage::Strict,
            failover: Failover::Forget,
            tracks: false,
        }
    }
}

impl CacheBuilder {
    /// How long this process trusts what it holds without a word from Redis: from
    /// 30 ms to 60 s. While requests come it asks Redis three times in that time. An [invalidation](crate::Cache::invalidate) waits
    /// as long as the longest lease of all that share the prefix, or have shared it since its
    /// clock of invalidations began, and a tenth more, for one that does not answer. Each process hears of a longer lease than its own with its
    /// next beat, and waits for as long until it ends. Where Redis loses the clock of
    /// invalidations, or becomes another server, one that has not heard of it yet waits no
    /// longer than for its own: set all alike. Default: 1.5 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.sharing.lease = lease;
        self
    }

    /// What this process does with its memory while Redis is away. Default:
    /// [`Outage::Strict`].
    ///
    /// ```
    /// # use larder::{Cache, MIB, Outage, minutes};
    /// let cache = Cache::builder().memory(64 * MIB).on_outage(Outage::Serve(minutes(10)));
    /// # let _ = cache;
    /// ```
    pub fn on_outage(mut self, outage: Outage) -> Self {
        self.sharing.outage = outage;
        self
    }

    /// What becomes of what is stored when Redis is another server than before. Default:
    /// [`Failover::Forget`].
    ///
    /// ```
    /// # use larder::{Cache, Failover, MIB};
    /// let cache = Cache::builder().memory(64 * MIB).on_failover(Failover::Merge);
    /// # let _ = cache;
    /// ```
    pub fn on_failover(mut self, failover: Failover) -> Self {
        self.sharing.failover = failover;
        self
    }

    /// Whether memory follows every change of an entry in Redis, by whoever makes it: a
    /// `DEL` or `SET` by another application or by hand is heard at once (`CLIENT TRACKING`).
    /// Redis then tells every process of every write under the prefix, and what a process
    /// has filled itself is read back from Redis once. A write then costs Redis a quarter
    /// more for each process that listens, a read nothing (`cargo bench --bench tracking`).
    /// While it does not tell, memory is not used, and a warning says why. Default: no; what larder itself invalidates, and FLUSHALL, are heard all the same.
    pub fn track_entries(mut self, track: bool) -> Self {
        self.sharing.tracks = track;
        self
    }
}
