//! The routes. What is cached, and for how long, stands in `cache.toml`.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use larder::config::Config;
use larder::values::Values;
use larder::{Cache, ConfigError, minutes};
use serde::Deserialize;
use serde_json::json;

use super::database::{Changes, Character, Database};
use super::helpers;
use super::upstream::{Lists, Upstream};

pub const CACHE_TOML: &str = include_str!("cache.toml");

#[derive(Clone)]
struct App {
    database: Database,
    cache: Cache,
    /// Query results by `{type}:{id}`: `character:char_123`.
    characters: Values<Character>,
    lists: Lists,
    upstream: Upstream,
}

/// All routes, with one layer around them that holds the table. The same layer is
/// around the client that asks the other service.
pub fn router(
    cache: &Cache,
    config: &Config,
    database: Database,
    upstream: &Upstream,
) -> Result<Router, ConfigError> {
    let table = cache.try_routes(config.routes().unwrap_or_default())?;
    let characters = cache
        .values::<Character>("character")
        .ttl(config.ttl("character").unwrap_or(minutes(5)))
        .tags_of(|_, character| vec![format!("character:{}", character.id)])
        .build()?;
    let app = App {
        database,
        cache: cache.clone(),
        characters,
        lists: Lists::new(upstream, &table),
        upstream: upstream.clone(),
    };
    Ok(Router::new()
        .route("/characters", get(list))
        .route("/characters/{id}", get(show).put(rename))
        .route("/content/{id}/metadata", get(metadata))
        .route("/content/{id}/approve", post(approve))
        .route("/analytics/affinity", get(affinity))
        .route(
            "/platform/status",
            get(|| async { Json(json!({"platforms": ["web", "ios", "android"]})) }),
        )
        .route(
            "/system/status",
            get(|| async { Json(json!({"status": "ok"})) }),
        )
        // it has no row: the table's default
        .route(
            "/version",
            get(|| async { Json(json!({"version": env!("CARGO_PKG_VERSION")})) }),
        )
        .route("/checkpoints", get(|app| named_list(app, "checkpoints")))
        .route("/samplers", get(|app| named_list(app, "samplers")))
        .route("/schedulers", get(|app| named_list(app, "schedulers")))
        .route("/cache/stats", get(stats))
        .route("/cache/invalidate", post(invalidate))
        .layer(table)
        .with_state(app))
}

/// What is asked for most: warmed at the start, in the background.
pub fn favourites() -> Vec<String> {
    let lists = [
        "/characters",
        "/platform/status",
        "/checkpoints",
        "/samplers",
        "/schedulers",
    ];
    let first = (1..=20).map(|id| format!("/characters/{id}"));
    lists.map(str::to_owned).into_iter().chain(first).collect()
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

/// The query is cached too, for whoever else in the application needs the row.
async fn show(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failure> {
    let database = app.database.clone();
    let query = async move || match database.show(id).await {
        Ok(Some(character)) => Ok(character),
        Ok(None) => Err(None),
        Err(error) => Err(Some(error)),
    };
    let key = format!("char_{id}");
    Ok(
        match app.characters.get_or_try_insert_with(key, query).await {
            Ok(character) => Json(&*character).into_response(),
            Err(None) => StatusCode::NOT_FOUND.into_response(),
            Err(Some(error)) => return Err(error.into()),
        },
    )
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
    if let Err(error) = helpers::invalidate_content_cache(&app.cache, id).await {
        tracing::warn!(%error, "the old metadata may be served until its TTL ends");
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn affinity(State(app): State<App>) -> Result<Response, Failure> {
    Ok(Json(app.database.affinity().await?).into_response())
}

async fn named_list(State(app): State<App>, name: &str) -> Result<Response, Failure> {
    Ok(Json(json!({ name: app.lists.get(name).await? })).into_response())
}

/// Hits and misses of each endpoint, what the Redis servers say, and which TTLs would
/// fit better.
async fn stats(State(app): State<App>) -> Json<serde_json::Value> {
    let stats = app.cache.stats();
    let servers = app.cache.servers().await.unwrap_or_default();
    let servers = servers.iter().map(|server| {
        json!({
            "keyspace_hits": server.keyspace_hits,
            "keyspace_misses": server.keyspace_misses,
            "used_memory": server.used_memory,
        })
    });
    let endpoints = app.cache.endpoint_stats().into_iter();
    let endpoints = endpoints.filter(|one| !one.endpoint.is_empty()); // what no row is for
    let endpoints = endpoints.map(|one| {
        let (hits, rate) = (one.stats.calls_saved, one.stats.hit_rate());
        (
            one.endpoint,
            json!({"hits": hits, "misses": one.stats.misses, "hit_rate": rate}),
        )
    });
    let ttls = app.cache.ttl_proposals().into_iter().map(|one| {
        let seconds = |ttl: Duration| ttl.as_secs_f64();
        let proposal = json!({"ttl": seconds(one.ttl), "proposed": seconds(one.proposed)});
        (one.endpoint, proposal)
    });
    Json(json!({
        "hits": stats.hits_memory + stats.hits_redis,
        "misses": stats.misses,
        "hit_rate": stats.hit_rate(),
        "memory_entries": stats.memory_entries,
        "memory_bytes": stats.memory_bytes,
        "endpoints": endpoints.collect::<serde_json::Map<_, _>>(),
        "redis": servers.collect::<Vec<_>>(),
        "upstream": {"calls": app.upstream.calls(), "connections": app.upstream.connections()},
        "ttls": ttls.collect::<serde_json::Map<_, _>>(),
    }))
}

/// What the query of `/cache/invalidate` names: `?character=7`.
enum What {
    Pattern(String),
    Endpoint(String),
    Content(i64),
    Character(i64),
    AllCharacters,
}

async fn invalidate(State(app): State<App>, Query(what): Query<Vec<(String, String)>>) -> Response {
    let cache = &app.cache;
    let Some(what) = what.into_iter().next().and_then(What::read) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let done = match &what {
        What::Pattern(pattern) => helpers::invalidate_cache_by_pattern(cache, pattern).await,
        What::Endpoint(name) => helpers::invalidate_api_cache(cache, name).await,
        What::Content(id) => helpers::invalidate_content_cache(cache, *id).await,
        What::AllCharacters => helpers::invalidate_all_characters(cache).await,
        What::Character(id) => helpers::invalidate_character_cache(cache, *id).await,
    };
    match done {
        Ok(removed) => Json(json!({"removed": removed})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

impl What {
    fn read((name, value): (String, String)) -> Option<Self> {
        Some(match (&*name, &*value) {
            ("pattern", _) => Self::Pattern(value),
            ("endpoint", _) => Self::Endpoint(value),
            ("content", id) => Self::Content(id.parse().ok()?),
            ("character", "all") => Self::AllCharacters,
            ("character", id) => Self::Character(id.parse().ok()?),
            _ => return None,
        })
    }
}

/// The database failed, or the other service.
struct Failure;

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        tracing::error!(%error, "no answer");
        Self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// What to try.
/// `shared` is the database that processes on one Redis share.
pub fn usage(address: &str, shared: Option<&std::path::Path>) -> String {
    let tiers = match shared {
        Some(_) => "memory and Redis",
        None => "memory; set REDIS_URL to share it",
    };
    let other = shared.map_or_else(String::new, |file| {
        let file = file.display();
        format!(
            "\n\nA second process on the same REDIS_URL, at PORT=3001, shares what is stored, and the database ({file}; DATABASE=.. names another). The host is part of the key, so ask both by one name:\n
  curl -i -H 'host: api.example' {address}/characters/8          # then at the other's port: a hit with detail=redis
  curl -i -X PUT -H 'host: api.example' {address}/characters/8 -H 'content-type: application/json' -d '{{\"name\":\"Grace\"}}'   # fresh at both"
        )
    });
    format!(
        "Characters on {address} (cache: {tiers}). Try:

  curl -i {address}/analytics/affinity      # twice: slow, then a hit with Age
  curl -i {address}/characters/7            # twice
  curl -i -X PUT {address}/characters/7 -H 'content-type: application/json' -d '{{\"name\":\"Ada\"}}'
  curl -i {address}/characters/7            # fresh, for the PUT invalidated it
  curl -i -X POST '{address}/cache/invalidate?pattern=api:character:*'
  curl {address}/cache/stats{other}"
    )
}
