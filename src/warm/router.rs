//! Warming by requests through routers and what else takes axum's requests.

use std::fmt::Display;

use axum::body::Body;
use axum::extract::Request;
use http::Response;
use tower_service::Service;

use super::list::WarmList;
use super::run::Warming;
use super::settings::Warmup;

impl Warmup {
    /// Sends a GET for each target through `service`: a router, or what else takes
    /// axum's requests, with layers of this cache in or around it. A layer that holds
    /// a fresh answer tells so, and the handler does not run; another fills it.
    ///
    /// A target is a path with its query, or an absolute URI. The host is part of
    /// every key, so one without fails unless [`host`](Self::host) says it. What
    /// else clients send that answers depend on is for [`header`](Self::header). A
    /// list with a target on each line: [`WarmList::parse`] with `str::parse::<Uri>`.
    pub fn requests<S, B, T>(self, service: S, targets: impl Into<WarmList<T>>) -> Warming
    where
        S: Service<Request, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Display + Send,
        B: Send,
        T: ToString,
    {
        self.requests_with(service, Body::empty, targets)
    }
}
