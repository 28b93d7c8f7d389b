//! What an entry of larder's memory tier costs: by the growth of a process that
//! does nothing else, and by larder's own count.

use std::env;
use std::process::Command;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use larder::{Cache, MIB, Policy, Routes, minutes};
use tower::ServiceExt;

use crate::answer::{JSON, JSON_TYPE, ROUTE, router};
use crate::{Result, runtime};

/// The argument that makes the binary such a process.
pub const CHILD: &str = "--memory-child";
pub const ENTRIES: usize = 100_000;
const FIELDS: usize = 6;

pub struct Measured {
    /// Bytes of resident growth for each entry.
    pub resident: f64,
    /// `memory_bytes` of the statistics for each entry.
    pub counted: f64,
}

/// Asks a fresh process.
pub fn measure() -> Result<Measured> {
    let output = Command::new(env::current_exe()?).arg(CHILD).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("measuring memory: {}", said.trim()).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [resident, counted] = numbers[..] else {
        return Err(format!("measuring memory: not two numbers: {text:?}").into());
    };
    Ok(Measured { resident, counted })
}

/// What the fresh process does and prints.
pub fn child() -> Result<()> {
    runtime()?.block_on(async {
        // of what any cache, router and runtime cost, as much as possible is there before
        fill(&Cache::builder().memory(MIB).build()?, 1_000).await?;
        let cache = Cache::builder().memory(1_024 * MIB).build()?;
        let before = resident()?;
        fill(&cache, ENTRIES).await?;
        let grown = resident()?.saturating_sub(before);
        let stats = cache.stats();
        if stats.memory_entries != ENTRIES as u64 {
            return Err(format!("{} entries are in memory", stats.memory_entries).into());
        }
        let each = |bytes: u64| bytes as f64 / ENTRIES as f64;
        println!("{} {}", each(grown), each(stats.memory_bytes));
        Ok(())
    })
}

async fn fill(cache: &Cache, entries: usize) -> Result<()> {
    let table = cache.routes(Routes::new().route(ROUTE, Policy::ttl(minutes(10))));
    let service = table.around(router(get(answer)));
    for n in 0..entries {
        let uri = format!("/items/{n}");
        let request = Request::builder().uri(uri).header("host", "bench.example");
        let response = service
            .clone()
            .oneshot(request.body(Body::empty())?)
            .await?;
        if response.headers().get(header::ETAG).is_none() {
            return Err(format!("answered {}", response.status()).into());
        }
        axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    }
    cache.idle().await;
    Ok(())
}

/// Six fields with the content length that axum adds, and a body of its own.
async fn answer() -> impl IntoResponse {
    let fields: [_; FIELDS - 1] = [
        (header::CONTENT_TYPE, JSON_TYPE),
        (header::CONTENT_LANGUAGE, "en"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::ETAG, "\"33a64df551425fcc55e4d42a148795d9\""),
        (header::LAST_MODIFIED, "Tue, 04 Nov 2025 08:15:00 GMT"),
    ];
    let fields = fields.map(|(name, value)| (name, header::HeaderValue::from_static(value)));
    (HeaderMap::from_iter(fields), Bytes::from(JSON.to_vec()))
}

/// Bytes of this process in memory. `smaps_rollup` counts them page by page;
/// `statm` lags behind and speaks of pages whose size only unsafe code knows.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = number
        .ok_or("/proc/self/smaps_rollup has no Rss")?
        .parse()?;
    Ok(kib * 1024)
}
