//! The studio's own page of figures, in the form that its dashboards read.

use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use larder::{Cache, Stats};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::app::Studio;

/// Since when it counts, and what had been counted by then.
pub struct Metrics(Mutex<(Instant, Stats)>);

/// What was counted since.
pub struct Figures {
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    pub uptime: Duration,
}

impl Metrics {
    pub fn new(cache: &Cache) -> Self {
        Self(Mutex::new((Instant::now(), cache.stats())))
    }

    pub fn figures(&self, cache: &Cache) -> Figures {
        let now = cache.stats();
        let since = self.0.lock().unwrap_or_else(|broken| broken.into_inner());
        let (began, before) = &*since;
        let hits = |stats: &Stats| stats.requests() - stats.bypasses - stats.misses;
        Figures {
            hits: hits(&now).saturating_sub(hits(before)),
            misses: now.misses.saturating_sub(before.misses),
            errors: now.store_errors.saturating_sub(before.store_errors),
            uptime: began.elapsed(),
        }
    }

    fn reset(&self, cache: &Cache) {
        let now = (Instant::now(), cache.stats());
        *self.0.lock().unwrap_or_else(|broken| broken.into_inner()) = now;
    }
}

impl Figures {
    /// In percent, with two decimals.
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            all => (self.hits as f64 / all as f64 * 10_000.0).round() / 100.0,
        }
    }
}

pub async fn show(State(studio): State<Studio>) -> Json<Value> {
    let figures = studio.metrics.figures(&studio.cache);
    let stats = studio.cache.stats();
    let servers = studio.cache.servers().await.unwrap_or_default();
    let redis: u64 = servers.iter().filter_map(|server| server.used_memory).sum();
    let health = match figures.hit_rate() > 80.0 {
        true => "healthy",
        false => "degraded",
    };
    Json(json!({
        "cache": {
            "hits": figures.hits,
            "misses": figures.misses,
            "errors": figures.errors,
            "hitRate": figures.hit_rate(),
            "uptime": figures.uptime.as_secs(),
        },
        "memory": {"process": stats.memory_bytes, "redis": redis},
        "health": health,
    }))
}

pub async fn reset(State(studio): State<Studio>) -> StatusCode {
    studio.metrics.reset(&studio.cache);
    StatusCode::NO_CONTENT
}
