//! Processes with memory on one Redis: caches stand for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get as on_get;
use larder::{Cache, MIB, Policy, minutes};
use tokio::sync::Semaphore;

use super::redis_server::Redis;
use super::{Reply, get};

/// What all processes answer from: a number that writes change.
#[derive(Clone)]
pub struct Site {
    pub version: Arc<AtomicU64>,
    pub runs: Arc<AtomicU64>,
    pub gate: Option<Arc<Semaphore>>,
}

impl Site {
    pub fn new() -> Self {
        Self {
            version: Arc::default(),
            runs: Arc::default(),
            gate: None,
        }
    }

    pub fn write(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    pub fn process(&self, redis: &Redis) -> Process {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        self.with(builder.lease(super::SHORT * 3).build().unwrap())
    }

    pub fn with(&self, cache: Cache) -> Process {
        self.with_policy(cache, Policy::ttl(minutes(5)))
    }

    pub fn with_policy(&self, cache: Cache, policy: Policy) -> Process {
        let site = self.clone();
        let handler = on_get(move || async move {
            let answer = format!("v{}", site.version.load(Ordering::SeqCst));
            site.runs.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &site.gate {
                gate.acquire().await.unwrap().forget();
            }
            answer
        });
        let layer = cache.layer(policy.tag("item:{id}"));
        let app = Router::new().route("/items/{id}", handler.layer(layer));
        Process { cache, app }
    }
}

pub struct Process {
    pub cache: Cache,
    pub app: Router,
}

impl Process {
    pub async fn get(&self) -> Reply {
        get(&self.app, "/items/1").await
    }

    /// It holds what it answers with from now on.
    pub async fn holds(&self, text: &str) {
        let reply = self.get().await;
        assert_eq!(reply.text(), text);
        self.cache.idle().await;
        let again = self.get().await;
        assert_eq!((again.text(), again.detail()), (text, "memory"));
    }
}

/// Processes that have a row.
pub fn rows(redis: &Redis) -> usize {
    let fields: Vec<String> = redis.command(&["HKEYS", "api:!{clock}"]);
    fields.iter().filter(|field| field.starts_with('@')).count()
}
