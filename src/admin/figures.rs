//! What the page shows, as one message. Counters are sums since the start: whoever
//! looks on makes rates of two of them.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::views::{HealthView, InvalidationView, ServerView, SpanView, seconds};
use crate::advisor::Advice;
use crate::cache::Cache;
use crate::stats::{EndpointStats, Frequented, Latencies, Stats};

/// What costs more is looked at so often.
const SELDOM: Duration = Duration::from_secs(5);
/// The keys that are asked for most.
const TOP: usize = 12;

/// What is remembered from one message to the next.
#[derive(Default)]
pub(super) struct Figures {
    servers: Option<Dated<Vec<ServerView>>>,
    lately: Option<Dated<Lately>>,
    /// Since when Redis does not answer.
    down_since: Option<u64>,
}

/// Something, and when it was looked at.
struct Dated<T>(T, Instant);

impl<T> Dated<T> {
    fn is_due(this: Option<&Self>) -> bool {
        this.is_none_or(|Self(_, at)| at.elapsed() >= SELDOM)
    }
}

/// Windows, keys and advice.
#[derive(Serialize)]
struct Lately {
    /// Of all instances, not of this process alone.
    shared: bool,
    by_minute: Vec<SpanView>,
    by_hour: Vec<SpanView>,
    top: Vec<Frequented>,
    advice: Vec<Advice>,
}

impl Lately {
    async fn of(cache: &Cache) -> Self {
        let (recent, mut analytics) = (cache.recent().await, cache.analytics().await);
        analytics.top.truncate(TOP);
        Self {
            shared: recent.shared,
            by_minute: recent.by_minute.iter().map(SpanView::of).collect(),
            by_hour: recent.by_hour.iter().map(SpanView::of).collect(),
            top: analytics.top,
            advice: cache.advice().await,
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    version: &'static str,
    prefix: &'a str,
    /// Milliseconds since 1970.
    at: u64,
    health: HealthView,
    down_since: Option<u64>,
    servers: &'a [ServerView],
    lately: Option<&'a Lately>,
    invalidations: Vec<InvalidationView>,
    total: &'a Stats,
    /// Names of the numbers in `endpoints`.
    columns: &'static [&'static str],
    endpoints: Vec<Row>,
    /// Those of them that are namespaces of values.
    namespaces: Vec<String>,
}

/// An endpoint and its numbers.
#[derive(Serialize)]
struct Row(String, [f64; COLUMNS.len()]);

const COLUMNS: [&str; 14] = [
    "memory",
    "redis",
    "stale",
    "revalidated",
    "coalesced",
    "misses",
    "bypasses",
    "hit_p50",
    "hit_p99",
    "miss_p50",
    "miss_p99",
    "time_saved",
    "calls_saved",
    "stores",
];

impl Row {
    #[allow(clippy::cast_precision_loss, reason = "to be looked at")]
    fn of(endpoint: EndpointStats) -> Self {
        let stats = &endpoint.stats;
        let Latencies { hit, miss, .. } = &stats.latency;
        let count = |n: u64| n as f64;
        let numbers = [
            count(stats.hits_memory),
            count(stats.hits_redis),
            count(stats.stale),
            count(stats.revalidated),
            count(stats.coalesced),
            count(stats.misses),
            count(stats.bypasses),
            seconds(hit.p50),
            seconds(hit.p99),
            seconds(miss.p50),
            seconds(miss.p99),
            seconds(stats.time_saved),
            count(stats.calls_saved),
            count(stats.stores),
        ];
        Self(endpoint.endpoint, numbers)
    }
}

#[cfg(test)]
impl Figures {
    /// Whether it remembers what is looked at seldom.
    pub(super) fn has_looked(&self) -> bool {
        self.lately.is_some()
    }
}

impl Figures {
    /// The next message, as it is sent.
    pub(super) async fn message(&mut self, cache: &Cache) -> Bytes {
        let health = cache.health().await;
        let at = cache.wall();
        let answers = health.store.as_ref().is_none_or(|s| s.round_trip.is_some());
        self.down_since = match (answers, self.down_since, &health.store) {
            (true, ..) => None,
            (false, Some(since), _) => Some(since),
            (false, None, store) => {
                let open = store.as_ref().and_then(|store| store.open_for);
                Some(at.saturating_sub(open.map_or(0, crate::clock::millis)))
            }
        };
        if answers
            && Dated::is_due(self.servers.as_ref())
            && let Ok(servers) = cache.servers().await
        {
            let servers = servers.into_iter().map(ServerView::of).collect();
            self.servers = Some(Dated(servers, Instant::now()));
        }
        if Dated::is_due(self.lately.as_ref()) {
            self.lately = Some(Dated(Lately::of(cache).await, Instant::now()));
        }
        let endpoints = cache.endpoint_stats();
        let spaces = endpoints.iter().filter(|one| one.namespace);
        let message = Message {
            version: env!("CARGO_PKG_VERSION"),
            prefix: cache.prefix(),
            at,
            health: HealthView::of(&health),
            down_since: self.down_since,
            servers: self
                .servers
                .as_ref()
                .map_or(&[], |Dated(servers, _)| servers),
            lately: self.lately.as_ref().map(|Dated(lately, _)| lately),
            invalidations: cache
                .invalidations()
                .iter()
                .map(InvalidationView::of)
                .collect(),
            total: &cache.stats(),
            columns: &COLUMNS,
            namespaces: spaces.map(|one| one.endpoint.clone()).collect(),
            endpoints: endpoints.into_iter().map(Row::of).collect(),
        };
        event(&message)
    }
}

/// A message as an event: JSON has no line ends of its own.
fn event(message: &impl Serialize) -> Bytes {
    let mut event = b"data: ".to_vec();
    if serde_json::to_writer(&mut event, message).is_err() {
        event.extend_from_slice(b"null");
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}
