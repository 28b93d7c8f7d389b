//! A day in the studio: projects are opened and edited, scenes are asked for again
//! and again. It shows what the cache is for.

use std::fmt;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use super::app::Studio;

/// The studio's targets, and what a run has come to.
#[derive(Debug)]
pub struct Day {
    /// Over 90 %.
    pub hit_rate: f64,
    /// Under 50 ms.
    pub cached: Duration,
    /// At least 10.
    pub speed_up: f64,
    /// At least 40 %.
    pub fewer_ai_calls: f64,
    /// Under 500 MB.
    pub redis: u64,
}

/// Works for so many rounds on so many projects.
pub async fn day(studio: &Studio, projects: u32, rounds: u32) -> Day {
    let app = studio.router();
    let calls = studio.model.0.calls();
    let (mut first, mut repeated, mut wishes) = (Duration::ZERO, Vec::new(), 0);
    for project in 1..=projects {
        let uri = format!("/projects/p{project}/scenes/s1");
        let began = Instant::now();
        ask(&app, Method::GET, &uri, None).await;
        first += began.elapsed();
        ask(
            &app,
            Method::POST,
            &format!("/projects/p{project}/open"),
            None,
        )
        .await;
    }
    for round in 0..rounds {
        for project in 1..=projects {
            for scene in 1..=10 {
                let uri = format!("/projects/p{project}/scenes/s{scene}");
                let began = Instant::now();
                ask(&app, Method::GET, &uri, None).await;
                repeated.push(began.elapsed());
            }
            let wish = json!({"prompt": format!("add scene {}", round % 3)});
            ask(
                &app,
                Method::POST,
                &format!("/projects/p{project}/decide"),
                Some(wish),
            )
            .await;
            wishes += 1;
            ask(
                &app,
                Method::POST,
                &format!("/projects/p{project}/scenes/s1/build"),
                None,
            )
            .await;
        }
    }
    repeated.sort();
    let cached = repeated[repeated.len() / 2];
    let first = first / projects.max(1);
    let calls = studio.model.0.calls() - calls;
    let servers = studio.cache.servers().await.unwrap_or_default();
    Day {
        hit_rate: studio.metrics.figures(&studio.cache).hit_rate(),
        cached,
        speed_up: first.as_secs_f64() / cached.as_secs_f64().max(1e-9),
        fewer_ai_calls: 100.0 * (1.0 - calls as f64 / f64::from(wishes)),
        redis: servers.iter().filter_map(|server| server.used_memory).sum(),
    }
}

async fn ask(app: &Router, method: Method, uri: &str, body: Option<Value>) {
    let request = Request::builder().method(method).uri(uri);
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| body.to_string().into());
    if let Ok(request) = request.body(body) {
        let _ = app.clone().oneshot(request).await;
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hit rate        {:>9.1} %   (over 90)", self.hit_rate)?;
        let cached = self.cached.as_secs_f64() * 1_000.0;
        writeln!(f, "cached fetch    {cached:>9.3} ms  (under 50)")?;
        writeln!(
            f,
            "repeated fetch  {:>9.0} x   (at least 10)",
            self.speed_up
        )?;
        writeln!(
            f,
            "fewer AI calls  {:>9.1} %   (at least 40)",
            self.fewer_ai_calls
        )?;
        let redis = self.redis as f64 / 1e6;
        write!(f, "Redis           {redis:>9.1} MB  (under 500)")
    }
}
