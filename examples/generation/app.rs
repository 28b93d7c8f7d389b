//! The routes of the game's backend.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use larder::values::{CachedValue, KeyError, Sharing, Values};
use larder::{Cache, ConfigError, WarmList, Warming, days};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::standin::{StandIn, Unavailable};
use super::wanted::{Strategy, Wanted};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub id: String,
    pub output: String,
}

#[derive(Clone)]
pub struct Game {
    pub cache: Cache,
    once: Values<Generation>,
    per_playthrough: Values<Generation>,
    per_player: Values<Generation>,
    always: Values<Generation>,
    pub generator: StandIn,
}

impl Game {
    pub fn new(cache: &Cache, generator: StandIn) -> Result<Self, ConfigError> {
        let shared = |sharing| cache.values("generation").sharing(sharing);
        Ok(Self {
            once: shared(Sharing::Shared).ttl(days(365)).build()?,
            per_playthrough: shared(Sharing::PerSeed).ttl(days(90)).build()?,
            per_player: shared(Sharing::PerSeed).ttl(days(180)).build()?,
            always: shared(Sharing::Never).build()?,
            cache: cache.clone(),
            generator,
        })
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v1/generations", post(generate))
            .route("/api/v1/generations/cache/check", post(check))
            .route("/api/v1/generations/cache/stats", get(stats))
            .route("/api/v1/generations/cache/warmup", post(warmup))
            .route("/api/v1/generations/cache/{key}", delete(remove))
            .route("/api/health/redis", get(health))
            .route("/api/advice", get(advice))
            .with_state(self.clone())
    }

    fn values(&self, strategy: Strategy) -> &Values<Generation> {
        match strategy {
            Strategy::Once => &self.once,
            Strategy::PerPlaythrough => &self.per_playthrough,
            Strategy::PerPlayer => &self.per_player,
            Strategy::Always => &self.always,
        }
    }

    /// Generates, or finds what was generated. However many ask, in all instances, it
    /// is generated once, and all of them wait for up to a minute.
    pub async fn generate(&self, wanted: Wanted) -> Result<CachedValue<Generation>, Failure> {
        let (key, values) = (wanted.key()?, self.values(wanted.strategy));
        let generator = self.generator.clone();
        let load = async move || make(&generator, &wanted).await;
        Ok(values.get_or_try_insert_with(key, load).await?)
    }

    /// The transitions between these scenes, for one playthrough.
    pub fn warm(&self, warmup: &Warmup) -> Warming {
        let pairs = warmup.scene_ids.windows(2).map(|pair| Wanted {
            operation_type: "transition".to_owned(),
            purpose: "scene_change".to_owned(),
            from_scene: Some(pair[0].clone()),
            to_scene: Some(pair[1].clone()),
            canonical_params: Value::Null,
            strategy: Strategy::PerPlaythrough,
            playthrough_id: Some(warmup.playthrough_id.clone()),
            player_id: None,
            version: 1,
        });
        let name = |wanted: &Wanted| {
            wanted
                .key()
                .map_or_else(|e| e.to_string(), |k| k.as_str().into())
        };
        let list = WarmList::named(pairs.collect::<Vec<_>>(), name);
        let generator = self.generator.clone();
        let load = move |wanted: Wanted| {
            let generator = generator.clone();
            async move { make(&generator, &wanted).await }
        };
        // one that cannot be a key fails: nothing is cached under it
        let key = |wanted: &Wanted| {
            wanted
                .key()
                .unwrap_or_else(|_| larder::values::ValueKey::never())
        };
        let run = self.cache.warm().concurrency(4);
        run.values_by(&self.per_playthrough, list, key, load)
    }
}

async fn make(generator: &StandIn, wanted: &Wanted) -> Result<Generation, Unavailable> {
    let make = |call| Generation {
        id: format!("gen_{call:04}"),
        output: format!("{} for {}", wanted.operation_type, wanted.purpose),
    };
    generator.call(make).await
}

async fn generate(
    State(game): State<Game>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Failure> {
    let made = game.generate(wanted).await?;
    Ok(Json(json!({
        "generation_id": made.id,
        "output": made.output,
        "cached": made.is_cached(),
    })))
}

/// A look that makes nothing, and counts as no hit.
async fn check(
    State(game): State<Game>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, Failure> {
    let (key, values) = (wanted.key()?, game.values(wanted.strategy));
    let always = wanted.strategy == Strategy::Always;
    let name = (!always).then(|| values.key(&key).to_string());
    let found = values.peek(key).await;
    let ttl = found.as_ref().and_then(CachedValue::ttl);
    Ok(Json(json!({
        "cached": found.is_some(),
        "generation_id": found.as_ref().map(|found| &found.id),
        "cache_key": name,
        "ttl_seconds": ttl.map(|ttl| ttl.as_secs()),
    })))
}

/// Removes one by its whole name, percent-encoded.
async fn remove(State(game): State<Game>, Path(name): Path<String>) -> Response {
    if !name.starts_with("generation:") {
        return StatusCode::NOT_FOUND.into_response();
    }
    match game.cache.invalidate(larder::key(&name)).await {
        Ok(done) if done.removed() == 0 => StatusCode::NOT_FOUND.into_response(),
        Ok(done) => Json(json!({"deleted": done.removed()})).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// What all instances have counted in the last 24 hours.
async fn stats(State(game): State<Game>) -> Json<Value> {
    let recent = game.cache.recent().await;
    let day = &recent.day;
    let hits = day.requests() - day.bypasses - day.misses;
    let rate = match hits + day.misses {
        0 => 0.0,
        all => (hits as f64 / all as f64 * 10_000.0).round() / 10_000.0,
    };
    Json(json!({
        "total_cached_generations": recent.entries,
        "cache_hits_24h": hits,
        "cache_misses_24h": day.misses,
        "hit_rate_24h": rate,
        "redis_connected": connected(&game.cache).await.is_some(),
    }))
}

#[derive(Deserialize)]
pub struct Warmup {
    pub playthrough_id: String,
    pub scene_ids: Vec<String>,
}

/// Tells each step as it is done: a line of JSON each, and at the end the report.
async fn warmup(State(game): State<Game>, Json(warmup): Json<Warmup>) -> Response {
    let run = game.warm(&warmup);
    let lines = run.map(|step| {
        let line = json!({
            "done": step.done,
            "total": step.total,
            "key": step.name,
            "warmed": step.warmed.to_string(),
        });
        Ok::<_, std::convert::Infallible>(format!("{line}\n"))
    });
    let plain = [("content-type", "application/x-ndjson")];
    (plain, Body::from_stream(lines)).into_response()
}

async fn health(State(game): State<Game>) -> Json<Value> {
    let latency = connected(&game.cache).await;
    Json(json!({
        "connected": latency.is_some(),
        "latency_ms": latency.map(|latency| latency.as_secs_f64() * 1_000.0),
    }))
}

/// A measured round trip, where there is a Redis that answers.
async fn connected(cache: &Cache) -> Option<std::time::Duration> {
    cache.health().await.store?.round_trip
}

/// What should be set otherwise, and why the hit rate is low.
async fn advice(State(game): State<Game>) -> Response {
    Json(game.cache.advice().await).into_response()
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// A part of the key is empty or too long.
    Key(KeyError),
    Generator(Unavailable),
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::Generator(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Key(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            Self::Generator(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
        }
        .into_response()
    }
}
