//! For the tests of applications: a cache with a clock that stands still, assertions
//! about responses, and a store in which things go wrong.
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

mod assertions;
mod chaos;
mod clock;
mod memory;

pub use assertions::{
    assert_bypass, assert_coalesced, assert_hit, assert_miss, assert_not_stored,
    assert_revalidated, assert_stale, assert_stored, outcome,
};
pub use chaos::{Chaos, ChaosStore, Operation};
pub use clock::{ManualClock, cache};
pub use memory::MemoryStore;
