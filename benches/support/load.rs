//! Clients that ask an application for items, each at its own pace, and what became
//! of their requests.

#![allow(clippy::disallowed_methods, reason = "it measures")]
#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use larder::Outcome;
use tokio::task::JoinHandle;
use tower::ServiceExt;

const CLIENTS: usize = 16;
/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(4);

/// One request's end.
#[derive(Clone, Copy)]
pub struct End {
    pub at: Instant,
    pub took: Duration,
    pub hit: bool,
    pub failed: bool,
}

/// Asks for one item.
pub async fn ask(app: &Router, uri: String) -> End {
    let request = Request::get(uri).header("host", "bench.example");
    let request = request.body(Body::empty()).expect("a request");
    let start = Instant::now();
    let Ok(response) = app.clone().oneshot(request).await;
    let took = start.elapsed();
    let outcome = response.extensions().get::<Outcome>();
    let hit = outcome.is_some_and(Outcome::is_hit);
    let failed = !response.status().is_success()
        || axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .is_err();
    End {
        at: start,
        took,
        hit,
        failed,
    }
}

/// A load, until it is asked for its end.
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<End>>>,
}

impl Load {
    /// On `items` items of `/items/{n}`.
    pub fn on(app: &Router, items: usize) -> Self {
        let (over, next) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let client = |_| {
            let (app, over, next) = (app.clone(), Arc::clone(&over), Arc::clone(&next));
            tokio::spawn(async move {
                let mut ends = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed) % items;
                    ends.push(ask(&app, format!("/items/{n}")).await);
                    tokio::time::sleep(PAUSE).await;
                }
                ends
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { over, clients }
    }

    pub async fn end(self) -> Vec<End> {
        self.over.store(true, Ordering::Relaxed);
        let mut ends = Vec::new();
        for client in self.clients {
            ends.extend(client.await.expect("no panic"));
        }
        ends.sort_unstable_by_key(|end| end.at);
        ends
    }

    /// For so long.
    pub async fn lasts(self, time: Duration) -> Vec<End> {
        tokio::time::sleep(time).await;
        self.end().await
    }
}

/// What a phase of a load was like, in microseconds.
#[derive(Clone, Copy)]
pub struct Phase {
    pub requests: usize,
    pub failed: usize,
    pub hits: usize,
    pub median: f64,
    pub p99: f64,
    pub longest: f64,
}

pub fn phase<'a>(ends: impl IntoIterator<Item = &'a End>) -> Phase {
    let ends: Vec<&End> = ends.into_iter().collect();
    let mut times: Vec<f64> = ends.iter().map(|e| e.took.as_secs_f64() * 1e6).collect();
    times.sort_unstable_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    let at = |share: f64| times.get((last as f64 * share) as usize).copied();
    Phase {
        requests: ends.len(),
        failed: ends.iter().filter(|end| end.failed).count(),
        hits: ends.iter().filter(|end| end.hit).count(),
        median: at(0.5).unwrap_or(f64::NAN),
        p99: at(0.99).unwrap_or(f64::NAN),
        longest: at(1.0).unwrap_or(f64::NAN),
    }
}

pub fn head() {
    println!(
        "{:<36} {:>8} {:>6} {:>8} {:>9} {:>9} {:>9}",
        "", "requests", "failed", "hits", "median us", "p99 us", "longest"
    );
}

pub fn row(name: &str, p: &Phase) {
    println!(
        "{name:<36} {:>8} {:>6} {:>8} {:>9.0} {:>9.0} {:>9.0}",
        p.requests, p.failed, p.hits, p.median, p.p99, p.longest
    );
}
