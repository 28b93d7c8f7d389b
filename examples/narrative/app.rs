//! The routes. One layer that stores nothing tells the statistics who asks for what.

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use larder::{Policy, RequestHead, Span};
use serde_json::{Value, json};

use super::narrator::{FRESH, Narrator};
use super::profile::{Chart, ENGINE, prompt_hash};

/// Dollars for one generation.
pub const COST: f64 = 0.02;

pub fn router(narrator: &Narrator) -> Router {
    let watched = Policy::none()
        .methods([Method::POST]) // it asks, and writes nothing
        .endpoint("narrative")
        .label(system)
        .count_users(user)
        .cost(COST);
    let told = post(tell).layer(narrator.cache.layer(watched));
    Router::new()
        .route("/narrative/{system}", told)
        .route("/narrative/stats", get(stats))
        .route("/narrative/analytics", get(analytics))
        .route("/narrative/user/{id}", delete(forget))
        .with_state(narrator.clone())
}

fn system(head: &RequestHead<'_>) -> Option<String> {
    head.uri().path().rsplit('/').next().map(str::to_owned)
}

/// Only its hash is counted.
fn user(head: &RequestHead<'_>) -> Option<String> {
    let user = head.headers().get("x-user-id")?;
    user.to_str().ok().map(str::to_owned)
}

async fn tell(
    State(narrator): State<Narrator>,
    Path(system): Path<String>,
    Json(chart): Json<Chart>,
) -> Json<Value> {
    let (text, narrative) = narrator.tell(&system, &chart).await;
    let (cached, fallback) = (narrative.is_cached(), narrative.is_fallback());
    Json(json!({"text": text, "cached": cached, "fallback": fallback}))
}

async fn stats(State(narrator): State<Narrator>) -> Json<Value> {
    let cache = &narrator.cache;
    let recent = cache.recent().await;
    let servers = cache.servers().await.unwrap_or_default();
    let redis: u64 = servers.iter().filter_map(|server| server.used_memory).sum();
    Json(json!({
        "keys": recent.entries,
        "memoryUsed": {"process": cache.stats().memory_bytes, "redis": redis},
        "hitRate": recent.day.hit_rate(),
        "engineVersion": ENGINE,
        "promptHash": prompt_hash(),
        "ttlDays": FRESH.as_secs() / 86_400,
        "step": narrator.step,
        "advice": step_advice(narrator.step, recent.day.hit_rate()),
    }))
}

/// With too many keys a coarser step would do.
fn step_advice(step: f64, hit_rate: f64) -> Option<&'static str> {
    (hit_rate < 0.9 && step < 1.0).then_some("a step of 1.0 gives fewer keys")
}

async fn analytics(State(narrator): State<Narrator>) -> Json<Value> {
    let analytics = narrator.cache.analytics().await;
    let ours = analytics
        .endpoints
        .iter()
        .find(|one| one.endpoint == "narrative");
    let Some(ours) = ours else {
        return Json(json!({"totalRequests": 0}));
    };
    let day = &ours.day;
    let hits = day.requests() - day.bypasses - day.misses;
    let top = analytics.top.iter().take(10);
    let top = top.map(|one| json!({"system": one.name, "score": one.count}));
    let rate = |span: &Span| json!({"start": span.start, "hitRate": span.totals.hit_rate()});
    let users = ours.users_today.max(1) as f64;
    Json(json!({
        "totalRequests": hits + day.misses,
        "cacheHits": hits,
        "cacheMisses": day.misses,
        "topSystems": top.collect::<Vec<_>>(),
        "avgGenerationTime": day.mean_fill().as_secs_f64(),
        "estimatedCost": day.cost_spent,
        "costWithoutCache": day.cost_spent + day.cost_saved,
        "uniqueUsers": ours.users_today,
        "costPerUser": day.cost_spent / users,
        "hitRateByHour": ours.by_hour.iter().map(rate).collect::<Vec<_>>(),
        "hitRateByDay": ours.by_day.iter().map(rate).collect::<Vec<_>>(),
    }))
}

async fn forget(State(narrator): State<Narrator>, Path(id): Path<String>) -> Response {
    match narrator.forget(&id).await {
        Ok(deleted) => Json(json!({"deleted": deleted})).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
