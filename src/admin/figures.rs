//! What the page shows, as one message. Counters are sums since the start: whoever
//! looks on makes rates of two of them.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::views::{HealthView, ServerView, seconds};
use crate::cache::Cache;
use crate::stats::{EndpointStats, Latencies, Stats};

/// Servers are asked for what they say of themselves so often.
const SERVERS: Duration = Duration::from_secs(5);

/// What is remembered from one message to the next.
#[derive(Default)]
pub(super) struct Figures {
    servers: Vec<ServerView>,
    asked: Option<Instant>,
    /// When Redis answered last, and since when it has not.
    down_since: Option<u64>,
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
    servers_age: Option<f64>,
    total: &'a Stats,
    /// Names of the numbers in `endpoints`.
    columns: &'static [&'static str],
    endpoints: Vec<Row>,
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
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= SERVERS);
        if answers
            && due
            && let Ok(servers) = cache.servers().await
        {
            self.servers = servers.into_iter().map(ServerView::of).collect();
            self.asked = Some(Instant::now());
        }
        let message = Message {
            version: env!("CARGO_PKG_VERSION"),
            prefix: cache.prefix(),
            at,
            health: HealthView::of(&health),
            down_since: self.down_since,
            servers: &self.servers,
            servers_age: self.asked.map(|asked| seconds(asked.elapsed())),
            total: &cache.stats(),
            columns: &COLUMNS,
            endpoints: cache.endpoint_stats().into_iter().map(Row::of).collect(),
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
