//! The admin router: who may do what, and what it answers.

mod access;
mod acting;
mod forged;
mod looking;
#[path = "../support/mod.rs"]
mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::get as on_get;
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, admin, minutes};
use serde_json::Value;
use tower::ServiceExt;

const TOKEN: &str = "a token of sixteen bytes or more";
const READER: &str = "another token, for reading alone";

fn site(cache: &Cache) -> Router {
    let policy = Policy::ttl(minutes(5)).tag("user:{id}");
    let handler = on_get(|| async { "the secret of ada@example.com" });
    Router::new().route("/users/{id}", handler.layer(cache.layer(policy)))
}

fn app(cache: &Cache) -> Router {
    let admin = admin::router(cache).token(TOKEN).read_only_token(READER);
    site(cache).nest("/admin/cache", admin.build().unwrap())
}

fn memory() -> (Cache, Router) {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let app = app(&cache);
    (cache, app)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

async fn ask(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn request(method: Method, path: &str, fields: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/admin/cache{path}"))
        .header("host", "a.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn read(app: &Router, path: &str) -> Answer {
    let bearer = format!("Bearer {READER}");
    ask(
        app,
        request(Method::GET, path, &[("authorization", &bearer)], ""),
    )
    .await
}

async fn post(app: &Router, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let fields = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    ask(app, request(Method::POST, path, &fields, &body.to_string())).await
}

const READING: [&str; 8] = [
    "/analytics",
    "/advisor",
    "/health",
    "/stats",
    "/servers",
    "/entries",
    "/entry?key=x",
    "/events",
];
const ACTING: [&str; 4] = ["/invalidate", "/warm", "/enabled", "/stats/reset"];
