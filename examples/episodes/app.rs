//! The routes of the script generator.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use larder::{Cache, ConfigError, Latencies, WarmList, WarmReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::{AiClient, Ask};
use super::keys;
use super::kinds::{Kinds, Outline, Strategy, Voice};
use super::material;
use super::standin::{StandIn, Unavailable};

/// So many scenes are written at a time.
const TOGETHER: usize = 3;

#[derive(Clone)]
pub struct Writers {
    pub cache: Cache,
    pub kinds: Kinds,
    pub client: AiClient,
}

/// A whole script, and how it came about.
#[derive(Debug, Serialize)]
pub struct Episode {
    pub title: String,
    pub script: Vec<String>,
    /// Of the scenes: how many the model wrote, and how many were known.
    pub written: usize,
    pub known: usize,
    pub seconds: f64,
}

impl Writers {
    pub fn new(
        cache: &Cache,
        (strategy, ttl): (Strategy, Option<Duration>),
        model: StandIn,
    ) -> Result<Self, ConfigError> {
        let kinds = Kinds::new(cache, strategy, ttl)?;
        let client = AiClient::new(model).caching(kinds.ai_responses.clone());
        Ok(Self {
            cache: cache.clone(),
            kinds,
            client,
        })
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/complete", post(complete))
            .route("/episodes", post(episode))
            .route("/usage", get(usage))
            .route("/performance", get(performance))
            .route("/cache/health", get(health))
            .route("/cache/stats", get(stats))
            .route("/cache/ai_response", get(exists).delete(clear))
            .route("/voices/{name}", get(voice).put(speak).delete(silence))
            .with_state(self.clone())
    }

    /// Writes an episode: its outline, then its scenes, three at a time. `told` hears
    /// of each.
    pub async fn write(
        &self,
        title: &str,
        scenes: usize,
        told: impl Fn(String),
    ) -> Result<Episode, Unavailable> {
        let began = Instant::now();
        let outline = self.outline(title, scenes).await?;
        let report = self.warm(&outline, told).await;
        let mut script = Vec::new();
        for scene in &outline.scenes {
            // what was written is there; what failed is tried once more
            let ask = material::ask(&self.kinds, scene).await;
            let text = self.client.complete(&ask).await?.text;
            if material::is_valid(&self.kinds, &text).await {
                script.push(text);
            }
        }
        Ok(Episode {
            title: title.to_owned(),
            script,
            written: report.filled,
            known: report.fresh,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    async fn outline(&self, title: &str, scenes: usize) -> Result<Outline, Unavailable> {
        let (client, prompt) = (self.client.clone(), format!("outline of {title}"));
        let named = title.to_owned();
        let load = async move || {
            client.generate(&Ask::new(prompt)).await?;
            let scenes = (1..=scenes).map(|n| format!("{named}, scene {n}"));
            Ok(Outline {
                scenes: scenes.collect(),
            })
        };
        let key = format!("{title}|{scenes}");
        let outlines = &self.kinds.episode_outlines;
        Ok((*outlines.get_or_try_insert_with(key, load).await?).clone())
    }

    async fn warm(&self, outline: &Outline, told: impl Fn(String)) -> WarmReport {
        let client = self.client.clone();
        let load = move |ask: Ask| {
            let client = client.clone();
            async move { client.generate(&ask).await }
        };
        let mut asks = Vec::new();
        for scene in &outline.scenes {
            asks.push(material::ask(&self.kinds, scene).await);
        }
        let scene = |ask: &Ask| ask.prompt.split(" (").next().unwrap_or_default().to_owned();
        let asks = WarmList::named(asks, scene);
        let warmup = self.cache.warm().concurrency(TOGETHER);
        let mut run = warmup.values_by(&self.kinds.ai_responses, asks, keys::of, load);
        while let Some(step) = run.next().await {
            told(step.to_string());
        }
        run.report().await
    }
}

async fn voice(State(writers): State<Writers>, Path(name): Path<String>) -> Response {
    match writers.kinds.voice_profiles.get(&name).await {
        Some(voice) => Json(&*voice).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn speak(
    State(writers): State<Writers>,
    Path(name): Path<String>,
    Json(voice): Json<Voice>,
) -> StatusCode {
    writers.kinds.voice_profiles.insert(&name, voice).await;
    StatusCode::NO_CONTENT
}

async fn silence(State(writers): State<Writers>, Path(name): Path<String>) -> Response {
    match writers.kinds.voice_profiles.remove(&name).await {
        Ok(done) => Json(json!({"deleted": done.removed()})).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn complete(
    State(writers): State<Writers>,
    Json(ask): Json<Ask>,
) -> Result<Response, Unanswered> {
    Ok(Json(writers.client.complete(&ask).await?).into_response())
}

#[derive(Deserialize)]
struct Wanted {
    title: String,
    scenes: usize,
}

async fn episode(
    State(writers): State<Writers>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Episode>, Unanswered> {
    let told = |step| tracing::info!("{step}");
    let scenes = wanted.scenes.min(100);
    Ok(Json(writers.write(&wanted.title, scenes, told).await?))
}

async fn usage(State(writers): State<Writers>) -> Response {
    Json(writers.client.usage()).into_response()
}

/// How long each phase takes, and which is the bottleneck.
async fn performance(State(writers): State<Writers>) -> Json<Value> {
    let endpoints = writers.cache.endpoint_stats();
    let phases = endpoints.iter().map(|one| {
        let shown = phases(&one.stats.latency)
            .map(|(name, took)| (name.to_owned(), json!(took.as_secs_f64() * 1_000.0)));
        (one.endpoint.clone(), shown.into_iter().collect::<Value>())
    });
    Json(json!({
        "milliseconds": phases.collect::<serde_json::Map<_, _>>(),
        "bottleneck": writers.cache.stats().latency.slowest().map(|(name, _)| name),
    }))
}

fn phases(latency: &Latencies) -> [(&'static str, Duration); 4] {
    [
        ("hit", latency.hit.mean()),
        ("miss", latency.miss.mean()),
        ("fill", latency.fill.mean()),
        ("redis", latency.redis.mean()),
    ]
}

async fn health(State(writers): State<Writers>) -> Json<Value> {
    let health = writers.cache.health().await;
    let redis = health.store.as_ref().map(|store| store.error.is_none());
    Json(json!({"status": health.status(), "redis": redis}))
}

async fn stats(State(writers): State<Writers>) -> Json<Value> {
    let stats = writers.cache.stats();
    Json(json!({
        "hits": stats.requests() - stats.bypasses - stats.misses,
        "misses": stats.misses,
        "sets": stats.stores,
        "deletes": stats.removed,
        "errors": stats.store_errors,
        "total": stats.requests(),
        "hit_rate": stats.hit_rate(),
    }))
}

/// Whether an answer is known, and for how much longer.
async fn exists(State(writers): State<Writers>, Json(ask): Json<Ask>) -> Json<Value> {
    let ttl = writers.kinds.ai_responses.ttl(keys::of(&ask)).await;
    Json(json!({"exists": ttl.is_some(), "ttl": ttl.map(|ttl| ttl.as_secs())}))
}

/// Forgets all answers.
async fn clear(State(writers): State<Writers>) -> Response {
    match writers.cache.invalidate("ai_response:*").await {
        Ok(done) => Json(json!({"deleted": done.removed()})).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// The model did not answer.
struct Unanswered(Unavailable);

impl From<Unavailable> for Unanswered {
    fn from(error: Unavailable) -> Self {
        Self(error)
    }
}

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        (StatusCode::BAD_GATEWAY, self.0.to_string()).into_response()
    }
}
