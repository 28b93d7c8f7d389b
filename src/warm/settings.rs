//! [`Warmup`]: how a run goes about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::{Cache, Engine};

/// How a run of warming goes about it. Made by [`Cache::warm`]; begun by
/// [`requests`](Self::requests), [`values`](Self::values) or [`each`](Self::each).
///
/// ```
/// # async fn run(cache: larder::Cache, app: axum::Router) {
/// let mut run = cache
///     .warm()
///     .host("api.example.com")
///     .concurrency(8)
///     .requests(app, ["/characters", "/characters/7"]);
/// while let Some(step) = run.next().await {
///     println!("{step}"); // 1/2 /characters: filled
/// }
/// println!("{}", run.report().await); // 2 filled, 0 fresh, 0 failed in 0.1 s
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a run begins with `requests`, `values` or `each`"]
pub struct Warmup {
    pub(super) engine: Arc<Engine>,
    pub(super) concurrency: usize,
    pub(super) every: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) enough: Duration,
    pub(super) headers: HeaderMap,
    /// A setting that makes no sense: all items fail by it.
    pub(super) wrong: Option<String>,
}

impl Cache {
    /// Begins the settings of a run that fills ahead of requests.
    pub fn warm(&self) -> Warmup {
        Warmup {
            engine: Arc::clone(self.engine()),
            concurrency: 4,
            every: None,
            timeout: Duration::from_secs(60),
            enough: Duration::ZERO,
            headers: HeaderMap::new(),
            wrong: None,
        }
    }
}

impl Warmup {
    /// How many items are worked on at a time, at least one. Default: 4.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.concurrency = most.max(1);
        self
    }

    /// Begins at most one fill in so long; what is fresh does not count. Default: no
    /// such bound.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = (!interval.is_zero()).then_some(interval);
        self
    }

    /// How long one item may take, waiting for its turn not included; then it has
    /// failed. Default: 60 s.
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = longest;
        self
    }

    /// Fills also what is fresh, but not for longer than this: for a nightly run
    /// what will end in the course of the day. Default: zero, what is fresh is
    /// skipped.
    pub fn fresh_for(mut self, at_least: Duration) -> Self {
        self.enough = at_least;
        self
    }

    /// The `Host` of the requests, which is part of a key: the one that clients
    /// send. Default: none, and each target is an absolute URI. Where clients speak HTTP/2 over TLS to
    /// this very process, targets are `https://host/path`: that it is https is part of their keys.
    /// The last one counts; one that is empty makes every item fail.
    pub fn host(mut self, host: &str) -> Self {
        if host.is_empty() {
            self.wrong =
                Some("the host is empty: clients send one, and it is part of the key".into());
            return self;
        }
        self.headers.remove(HOST);
        self.header("host", host)
    }

    /// A field of the requests, such as an `Accept-Language` that answers vary on.
    /// May be called several times. One that is no field makes every item fail.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.wrong = Some(format!("{name:?} with {value:?} is no field")),
        }
        self
    }
}

impl fmt::Debug for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warmup")
            .field("concurrency", &self.concurrency)
            .field("every", &self.every)
            .field("timeout", &self.timeout)
            .field("fresh_for", &self.enough)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MIB;

    #[test]
    fn the_last_host_counts_and_none_is_no_host() {
        let cache = Cache::builder().memory(MIB).build().unwrap();
        let both = cache.warm().host("a.example").host("b.example");
        let hosts: Vec<_> = both.headers.get_all("host").iter().collect();
        assert_eq!(hosts, ["b.example"]);
        let empty = cache.warm().host("");
        assert!(empty.wrong.unwrap().contains("host"));
    }
}
