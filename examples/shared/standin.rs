//! A slow service that stands in for a paid one: it really waits, counts its calls,
//! and fails when it is told to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Cheap to clone; all clones are one service.
#[derive(Clone)]
pub struct StandIn(Arc<Service>);

struct Service {
    latency: Duration,
    fails_every: u64,
    down: AtomicBool,
    calls: AtomicU64,
    running: AtomicU64,
    most: AtomicU64,
}

/// It did not answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Unavailable;

impl StandIn {
    /// One that takes so long for each call.
    pub fn new(latency: Duration) -> Self {
        Self::failing(latency, 0)
    }

    /// The same, and each so manieth call fails; 0 is none.
    pub fn failing(latency: Duration, fails_every: u64) -> Self {
        Self(Arc::new(Service {
            latency,
            fails_every,
            down: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            running: AtomicU64::new(0),
            most: AtomicU64::new(0),
        }))
    }

    /// Takes it down, or up again: every call fails, after its time.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// How many calls there were at a time, at most.
    pub fn most_at_once(&self) -> u64 {
        self.0.most.load(Ordering::SeqCst)
    }

    pub fn latency(&self) -> Duration {
        self.0.latency
    }

    /// Waits as long as the real one would, and makes an answer.
    pub async fn call<T>(&self, make: impl FnOnce(u64) -> T) -> Result<T, Unavailable> {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(self.0.latency).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        let every = self.0.fails_every;
        let fails = self.0.down.load(Ordering::SeqCst) || (every > 0 && call.is_multiple_of(every));
        match fails {
            true => Err(Unavailable),
            false => Ok(make(call)),
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service did not answer")
    }
}

impl std::error::Error for Unavailable {}
