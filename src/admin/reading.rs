//! Routes that read.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::asking::{Json, Params};
use super::problem::Problem;
use super::router::Shared;
use super::views::{EntryView, HealthView, ServerView};
use crate::advisor::Advice;
use crate::stats::{Analytics, EndpointStats, Recent, Stats};

/// 200 whatever it says: an orchestrator must not kill a process that serves.
pub(super) async fn health(State(shared): State<Shared>) -> Json<HealthView> {
    Json(HealthView::of(&shared.cache.health().await))
}

#[derive(Serialize)]
pub(super) struct StatsView {
    hit_rate: f64,
    requests: u64,
    total: Stats,
    endpoints: Vec<EndpointStats>,
}

pub(super) async fn stats(State(shared): State<Shared>) -> Json<StatsView> {
    let total = shared.cache.stats();
    Json(StatsView {
        hit_rate: total.hit_rate(),
        requests: total.requests(),
        total,
        endpoints: shared.cache.endpoint_stats(),
    })
}

pub(super) async fn servers(
    State(shared): State<Shared>,
) -> Result<Json<Vec<ServerView>>, Problem> {
    let servers = shared.cache.servers().await?;
    Ok(Json(servers.into_iter().map(ServerView::of).collect()))
}

#[derive(Serialize)]
pub(super) struct AnalyticsView {
    recent: Recent,
    #[serde(flatten)]
    analytics: Analytics,
}

pub(super) async fn analytics(State(shared): State<Shared>) -> Json<AnalyticsView> {
    Json(AnalyticsView {
        recent: shared.cache.recent().await,
        analytics: shared.cache.analytics().await,
    })
}

pub(super) async fn advisor(State(shared): State<Shared>) -> Json<Vec<Advice>> {
    Json(shared.cache.advice().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    pattern: Option<String>,
    cursor: Option<String>,
    tier: Option<TierName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TierName {
    Memory,
    Redis,
}

#[derive(Serialize)]
pub(super) struct Page {
    entries: Vec<EntryView>,
    next: Option<String>,
}

pub(super) async fn entries(
    State(shared): State<Shared>,
    Params(asked): Params<Listing>,
) -> Result<Json<Page>, Problem> {
    let cache = &shared.cache;
    let pattern = asked
        .pattern
        .unwrap_or_else(|| format!("{}:*", cache.prefix()));
    let cursor = asked.cursor.as_deref();
    let page = match asked.tier {
        Some(TierName::Memory) => cache.memory_entries(&pattern, cursor)?,
        Some(TierName::Redis) | None => cache.entries(&pattern, cursor).await?,
    };
    Ok(Json(Page {
        entries: page.entries.iter().map(EntryView::of).collect(),
        next: page.next,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByKey {
    key: String,
}

pub(super) async fn entry(
    State(shared): State<Shared>,
    Params(asked): Params<ByKey>,
) -> Result<Json<EntryView>, Problem> {
    match shared.cache.entry(&asked.key).await? {
        Some(entry) => Ok(Json(EntryView::of(&entry))),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "nothing is stored under this key",
        )),
    }
}
