//! Faults that larder must survive: real servers that are killed, stopped, promoted,
//! resharded, and a proxy between larder and Redis. `README.md` beside this file says
//! which test shows which.

#[path = "../support/cluster.rs"]
mod cluster_server;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/mod.rs"]
mod support;

mod breaker;
mod clocks;
mod cluster;
mod cuts;
mod failover;
mod frames;
mod invalidated;
mod memory;
mod pushes;
mod replies;
mod runtimes;
mod slow;
mod tampered;
mod users;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder::{Cache, CacheBuilder, MIB};
use support::processes::{Process, Site};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get};

use proxy::Proxy;

/// How long one operation may take here.
const TIMEOUT: Duration = Duration::from_millis(100);

fn builder(url: impl Into<String>) -> CacheBuilder {
    let builder = Cache::builder().redis(url).lease(SHORT * 3);
    builder.operation_timeout(TIMEOUT)
}

/// A process with memory.
fn process(site: &Site, url: impl Into<String>) -> Process {
    site.with(builder(url).memory(16 * MIB).build().unwrap())
}

/// One whose operations have time, where Redis is well and the machine busy.
fn patient(site: &Site, url: impl Into<String>) -> Process {
    let builder = builder(url).operation_timeout(PATIENT);
    site.with(builder.memory(16 * MIB).build().unwrap())
}

/// One with Redis alone.
fn bare(site: &Site, url: impl Into<String>) -> Process {
    site.with(builder(url).build().unwrap())
}

/// A Redis, and a proxy before it.
fn behind_proxy() -> (Redis, Proxy) {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.port());
    (redis, proxy)
}

/// It answers with what the site says now; from where does not matter.
async fn served(process: &Process, site: &Site) {
    let version = site.version.load(Ordering::SeqCst);
    let reply = process.get().await;
    let text = format!("v{version}");
    assert_eq!((reply.status.as_u16(), reply.text()), (200, text.as_str()));
}

/// Redis is used again: an entry is found there, sooner or later.
async fn comes_back(process: &Process) {
    eventually("a hit", || async {
        process.get().await;
        process.cache.idle().await;
        process.get().await.hit()
    })
    .await;
}

/// For how long a breaker has been open.
async fn open_for(cache: &Cache) -> Option<Duration> {
    let store = cache.health().await.store;
    store.and_then(|store| store.open_for)
}

/// Asks for many items at once; every one is answered.
async fn flood(process: &Process, requests: usize) {
    let asked = (0..requests).map(|_| {
        let app = process.app.clone();
        tokio::spawn(async move { get(&app, "/items/1").await.status })
    });
    for status in asked.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), 200);
    }
}

/// What larder says, on this thread.
#[derive(Clone, Default)]
struct Said(Arc<std::sync::Mutex<Vec<u8>>>);

impl Said {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        // without one for all threads another test's thread may switch an event off
        let sink = tracing_subscriber::fmt().with_writer(std::io::sink);
        let _ = tracing::subscriber::set_global_default(sink.finish());
        let said = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || said.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn times(&self, what: &str) -> usize {
        let said = self.0.lock().unwrap();
        String::from_utf8_lossy(&said).matches(what).count()
    }

    /// The first that has it.
    fn line(&self, what: &str) -> String {
        let said = self.0.lock().unwrap();
        let said = String::from_utf8_lossy(&said);
        let line = said.lines().find(|line| line.contains(what));
        line.unwrap_or_default().to_owned()
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
