//! For the tests of applications: a cache with a clock that stands still, and
//! assertions about responses.
//!
//! ```
//! # async fn run<S>(app: S, request: fn() -> http::Request<String>)
//! # where S: tower::Service<http::Request<String>, Response = http::Response<String>, Error = std::convert::Infallible> + Clone + Send + 'static, S::Future: Send {
//! use larder::{minutes, testing};
//! use tower::{Layer, ServiceExt};
//!
//! let (cache, clock) = testing::cache();
//! let app = cache.ttl(minutes(5)).layer(app);
//! let response = app.clone().oneshot(request()).await.unwrap();
//! testing::assert_miss(&response);
//! clock.advance(minutes(6));
//! # }
//! ```

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Response;

use crate::cache::Cache;
use crate::clock::Clock;
use crate::outcome::{Bypass, Outcome};

/// A clock that moves when it is told to. It starts on 20 November 2026.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    monotonic: Duration,
    wall: SystemTime,
}

impl ManualClock {
    /// A clock at its start.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Times {
            monotonic: Duration::from_secs(1_000),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800),
        })))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times();
        times.monotonic += by;
        times.wall += by;
    }

    /// Sets the time of day, as an administrator would; ages in this process
    /// do not change.
    pub fn set_wall(&self, wall: SystemTime) {
        self.times().wall = wall;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.times().monotonic
    }

    fn wall(&self) -> SystemTime {
        self.times().wall
    }
}

/// A cache of 16 MiB in memory, and the clock that it goes by.
///
/// # Panics
///
/// Never: its settings are valid.
#[must_use]
pub fn cache() -> (Cache, ManualClock) {
    let clock = ManualClock::new();
    let builder = Cache::builder()
        .memory(16 * crate::MIB)
        .clock(Arc::new(clock.clone()));
    match builder.build() {
        Ok(cache) => (cache, clock),
        Err(error) => unreachable!("{error}"),
    }
}

/// How a response was made.
///
/// # Panics
///
/// If it did not go through a cache.
#[track_caller]
pub fn outcome<B>(response: &Response<B>) -> Outcome {
    match response.extensions().get::<Outcome>() {
        Some(outcome) => *outcome,
        None => panic!("the response has no outcome: it did not go through a cache"),
    }
}

/// Asserts that a stored response answered.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_hit<B>(response: &Response<B>) {
    let outcome = outcome(response);
    assert!(outcome.is_hit(), "not a hit: {outcome:?}");
}

/// Asserts that the handler answered a request that a stored response could
/// have.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_miss<B>(response: &Response<B>) {
    let outcome = outcome(response);
    assert!(
        matches!(outcome, Outcome::Miss { .. }),
        "not a miss: {outcome:?}"
    );
}

/// Asserts that the request did not take part in caching, for this reason.
///
/// # Panics
///
/// If it did, or for another reason.
#[track_caller]
pub fn assert_bypass<B>(response: &Response<B>, reason: Bypass) {
    let outcome = outcome(response);
    let same = matches!(outcome, Outcome::Bypass { reason: r, .. } if r == reason);
    assert!(same, "not a bypass for {reason:?}: {outcome:?}");
}
