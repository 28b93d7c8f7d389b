//! [`AdminRouter`]: its settings, and the routes.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tower_service::Service;

use super::access::{Access, Rights};
use super::live::Live;
use super::problem::{Problem, not_allowed};
use super::shared::{Shared, Through};
use super::{acting, page, reading};
use crate::cache::Cache;
use crate::error::ConfigError;

/// Shorter tokens can be guessed.
const SHORTEST: usize = 16;

/// Begins the settings of an admin router over `cache`.
pub fn router(cache: &Cache) -> AdminRouter {
    AdminRouter {
        cache: cache.clone(),
        tokens: Vec::new(),
        open: false,
        warms: None,
    }
}

/// The settings of an admin router. Made by [`router`](fn@router).
#[must_use]
pub struct AdminRouter {
    cache: Cache,
    tokens: Vec<(String, Rights)>,
    open: bool,
    warms: Option<Arc<Through>>,
}

impl AdminRouter {
    /// A bearer token that may do everything, at least 16 bytes. Call it again for more
    /// tokens, as while one replaces another. Default: none, and every route that has
    /// data answers 403.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.tokens.push((token.into(), Rights::Full));
        self
    }

    /// A bearer token that may read and change nothing, at least 16 bytes. Default: none.
    pub fn read_only_token(mut self, token: impl Into<String>) -> Self {
        self.tokens.push((token.into(), Rights::Read));
        self
    }

    /// Asks nobody for a token, so that there can be none: for a router that only those can reach who may do
    /// everything, such as one on loopback or behind your own authentication. Other
    /// sites' requests are refused all the same.
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// What `POST /warm` sends its requests through: the application's router, as it is
    /// before this one is nested in it. Default: nothing, and the route answers 501.
    pub fn warms<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: fmt::Display + Send,
        B: Send + 'static,
    {
        self.warms = Some(Arc::new(move |settings, targets| {
            settings.requests(service.clone(), targets)
        }));
        self
    }

    /// The router, to be nested under a path: `app.nest("/admin/cache", ..)`.
    ///
    /// # Errors
    ///
    /// If a token is too short, or holds what an `Authorization` field cannot; if one that reads may
    /// do everything too, or a router that is [`open`](Self::open) has one.
    pub fn build<S: Clone + Send + Sync + 'static>(self) -> Result<Router<S>, ConfigError> {
        if self.open && !self.tokens.is_empty() {
            let why = "an open router asks for no token: leave the tokens out, or open()";
            return Err(ConfigError::new("open", why));
        }
        let mut access = Access::default();
        for (token, rights) in &self.tokens {
            let setting = match rights {
                Rights::Full => "token",
                Rights::Read => "read_only_token",
            };
            check(token).map_err(|why| ConfigError::new(setting, why))?;
            access.allow(token, *rights);
            let full = (token.clone(), Rights::Full);
            if *rights == Rights::Read && self.tokens.contains(&full) {
                let why = "this token may do everything: one that reads alone is another";
                return Err(ConfigError::new("read_only_token", why));
            }
        }
        if self.open {
            access.open();
        }
        let closed = !self.open && self.tokens.is_empty();
        let shared = Shared {
            live: Arc::new(Live::new(&self.cache)),
            cache: self.cache,
            warms: self.warms,
        };
        let pages = match closed {
            true => Router::new(),
            false => page::routes(self.open),
        };
        let access = Arc::new(access);
        let admitted = |routes: Router<Shared>, needed| {
            let access = Arc::clone(&access);
            routes.layer(from_fn_with_state((access, needed), admit))
        };
        Ok(pages
            .merge(admitted(reading(), Rights::Read))
            .merge(admitted(acting(), Rights::Full))
            .layer(map_response(secured))
            .with_state(shared))
    }
}

impl fmt::Debug for AdminRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminRouter")
            .field("tokens", &self.tokens.len())
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

fn check(token: &str) -> Result<(), String> {
    if token.len() < SHORTEST {
        return Err(format!("shorter than {SHORTEST} bytes"));
    }
    let mut bytes = token.bytes();
    match bytes.all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        true if token.trim() != token => {
            Err("begins or ends in a blank, which no field and no page keeps".into())
        }
        true => Ok(()),
        false => Err("not of printable ASCII".into()),
    }
}

fn reading() -> Router<Shared> {
    Router::new()
        .route("/health", get(reading::health))
        .route("/stats", get(reading::stats))
        .route("/analytics", get(reading::analytics))
        .route("/advisor", get(reading::advisor))
        .route("/servers", get(reading::servers))
        .route("/entries", get(reading::entries))
        .route("/entry", get(reading::entry))
        .route("/events", get(reading::events))
        // by POST, so that no log on the way has the URL
        .route("/explain", post(reading::explain))
        .route("/check", post(reading::check))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "no such route") })
        .method_not_allowed_fallback(not_allowed)
}

fn acting() -> Router<Shared> {
    Router::new()
        .route("/invalidate", post(acting::invalidate))
        .route("/stats/reset", post(acting::reset))
        .route("/warm", post(acting::warm))
        .route("/enabled", post(acting::switch))
        .method_not_allowed_fallback(not_allowed)
}

async fn admit(
    State((access, needed)): State<(Arc<Access>, Rights)>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(needed, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Nothing of this is kept by anyone, framed, or taken for something else.
async fn secured(mut response: Response) -> Response {
    const FIELDS: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, page::CSP),
    ];
    for (name, value) in FIELDS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
