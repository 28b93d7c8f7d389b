//! The routes. What is cached, and for how long, stands in `cache.toml`.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use larder::config::Config;
use larder::{Cache, ConfigError, tag};
use serde::Deserialize;
use serde_json::json;

use super::database::{Changes, Database};

pub const CACHE_TOML: &str = include_str!("cache.toml");

#[derive(Clone)]
struct App {
    database: Database,
    cache: Cache,
}

/// All routes, with one layer around them that holds the table.
pub fn router(cache: &Cache, config: &Config, database: Database) -> Result<Router, ConfigError> {
    let table = cache.try_routes(config.routes().unwrap_or_default())?;
    let app = App {
        database,
        cache: cache.clone(),
    };
    Ok(Router::new()
        .route("/characters", get(list))
        .route("/characters/{id}", get(show).put(rename))
        .route("/content/{id}/metadata", get(metadata))
        .route("/content/{id}/approve", post(approve))
        .route("/analytics/affinity", get(affinity))
        .route(
            "/platform/status",
            get(|| named_list("platforms", &["web", "ios", "android"])),
        )
        .route(
            "/system/status",
            get(|| async { Json(json!({"status": "ok"})) }),
        )
        .route(
            "/checkpoints",
            get(|| named_list("checkpoints", &["base-1.5", "xl-1.0"])),
        )
        .route(
            "/samplers",
            get(|| named_list("samplers", &["euler", "ddim"])),
        )
        .route(
            "/schedulers",
            get(|| named_list("schedulers", &["karras", "simple"])),
        )
        .route("/cache/stats", get(stats))
        .route("/cache/invalidate", post(invalidate))
        .layer(table)
        .with_state(app))
}

#[derive(Deserialize)]
struct Page {
    style: Option<String>,
    #[serde(default)]
    page: u32,
}

async fn list(State(app): State<App>, Query(page): Query<Page>) -> Result<Response, Failure> {
    Ok(Json(app.database.list(page.style, page.page).await?).into_response())
}

async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failure> {
    Ok(match app.database.show(id).await? {
        Some(character) => Json(character).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// The table says what a successful PUT here invalidates.
async fn rename(
    State(app): State<App>,
    Path(id): Path<i64>,
    Json(changes): Json<Changes>,
) -> Result<StatusCode, Failure> {
    Ok(match app.database.rename(id, changes.name).await? {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    })
}

async fn metadata(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failure> {
    Ok(match app.database.approved(id).await? {
        Some(approved) => Json(json!({"id": id, "approved": approved})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// Invalidates by hand. The write is done, whatever comes of the call.
async fn approve(State(app): State<App>, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    if !app.database.approve(id).await? {
        return Ok(StatusCode::NOT_FOUND);
    }
    if let Err(error) = app.cache.invalidate(tag(format!("content:{id}"))).await {
        tracing::warn!(%error, "the old metadata may be served until its TTL ends");
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn affinity(State(app): State<App>) -> Result<Response, Failure> {
    Ok(Json(app.database.affinity().await?).into_response())
}

async fn named_list(name: &str, list: &[&str]) -> Json<serde_json::Value> {
    Json(json!({ name: list }))
}

async fn stats(State(app): State<App>) -> Json<serde_json::Value> {
    let stats = app.cache.stats();
    Json(json!({
        "hits": stats.hits_memory + stats.hits_redis,
        "misses": stats.misses,
        "hit_rate": stats.hit_rate(),
        "memory_entries": stats.memory_entries,
        "memory_bytes": stats.memory_bytes,
    }))
}

#[derive(Deserialize)]
struct Pattern {
    pattern: String,
}

async fn invalidate(State(app): State<App>, Query(query): Query<Pattern>) -> Response {
    match app.cache.invalidate(&query.pattern).await {
        Ok(done) => Json(json!({"removed": done.removed()})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// The database failed.
struct Failure;

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        tracing::error!(%error, "the database failed");
        Self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// What to try.
pub fn usage(address: &str, redis: bool) -> String {
    let tiers = match redis {
        true => "memory and Redis",
        false => "memory; set REDIS_URL to share it",
    };
    format!(
        "Characters on {address} (cache: {tiers}). Try:

  curl -i {address}/analytics/affinity      # twice: slow, then a hit with Age
  curl -i {address}/characters/7            # twice
  curl -i -X PUT {address}/characters/7 -H 'content-type: application/json' -d '{{\"name\":\"Ada\"}}'
  curl -i {address}/characters/7            # fresh, for the PUT invalidated it
  curl -i -X POST '{address}/cache/invalidate?pattern=api:character:*'
  curl {address}/cache/stats"
    )
}
