//! Routes that read.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri, header, request};
use serde::{Deserialize, Serialize};

use super::asking::{Asked, Json, Params};
use super::live;
use super::problem::Problem;
use super::shared::Shared;
use super::views::{EntryView, HealthView, ServerView, seconds};
use crate::advisor::Advice;
use crate::cache::Cache;
use crate::explain::{Explanation, Would};
use crate::stats::{Analytics, EndpointStats, Recent, Stats};

/// 200 whatever it says: an orchestrator must not kill a process that serves.
pub(super) async fn health(State(shared): State<Shared>) -> Json<HealthView> {
    Json(HealthView::of(&shared.cache.health().await))
}

#[derive(Serialize)]
pub(super) struct StatsView {
    /// Whose they are: of all instances there is `/analytics`.
    of: &'static str,
    hit_rate: f64,
    requests: u64,
    total: Stats,
    endpoints: Vec<EndpointStats>,
}

pub(super) async fn stats(State(shared): State<Shared>) -> Json<StatsView> {
    let total = shared.cache.stats();
    Json(StatsView {
        of: "this process",
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

/// A request that might come.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Question {
    /// What would become of it as it arrives behind a proxy or by HTTP/1.1, which tell no
    /// scheme; where nothing is stored for that, as it arrives by HTTP/2 over TLS.
    async fn explained(&self, cache: &Cache) -> Result<Explanation, Problem> {
        let uri: Option<Uri> = self.url.parse().ok();
        let whole = |uri: &Uri| uri.scheme().is_some() || self.url.starts_with('/');
        let Some(uri) = uri.filter(whole) else {
            let why = format!(
                "{:?} is no URL such as http://host/path, nor a path",
                self.url
            );
            return Err(Problem::bad(why));
        };
        let mut target = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()));
        if let Some(host) = uri.authority() {
            target = target.header(header::HOST, host.as_str());
        }
        let told = cache.explain(&self.asking(target)?).await;
        if is_stored(&told) || uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(told);
        }
        let secure = cache.explain(&self.asking(Request::get(uri))?).await;
        Ok(if is_stored(&secure) { secure } else { told })
    }

    fn asking(&self, mut request: request::Builder) -> Result<Request<String>, Problem> {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(String::new())
            .map_err(|error| Problem::bad(error.to_string()))
    }
}

fn is_stored(told: &Explanation) -> bool {
    matches!(told.would, Would::Hit(_) | Would::Stale(_))
}

pub(super) async fn explain(
    State(shared): State<Shared>,
    Asked(question): Asked<Question>,
) -> Result<Json<Explanation>, Problem> {
    Ok(Json(question.explained(&shared.cache).await?))
}

#[derive(Serialize)]
pub(super) struct Checked {
    cached: bool,
    would: String,
    key: Option<String>,
    ttl: Option<f64>,
}

/// Whether it would be a hit, with nothing filled and nothing counted.
pub(super) async fn check(
    State(shared): State<Shared>,
    Asked(question): Asked<Question>,
) -> Result<Json<Checked>, Problem> {
    let told = question.explained(&shared.cache).await?;
    let cached = is_stored(&told);
    let entry = match &told.key {
        Some(key) if cached => shared.cache.entry(key.as_str()).await?,
        _ => None,
    };
    Ok(Json(Checked {
        cached,
        would: told.would.to_string(),
        key: told.key.map(|key| key.to_string()),
        ttl: entry.map(|entry| seconds(entry.ttl)),
    }))
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
        Some(TierName::Redis) if cache.engine().pulse.is_none() => {
            let why = "this cache has no Redis: tier=memory lists what it holds";
            return Err(Problem::bad(why));
        }
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

pub(super) async fn events(State(shared): State<Shared>) -> Response {
    live::events(&shared.live)
}
