//! The admin router: who may do what, and what it answers.

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::get as on_get;
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, admin, minutes};
use serde_json::{Value, json};
use support::redis_server::Redis;
use support::{PATIENT, SHORT, eventually, get};
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

#[tokio::test]
async fn who_has_no_token_or_a_wrong_one_gets_nothing() {
    let (_cache, app) = memory();
    let long = "x".repeat(10_000);
    for token in [
        "",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        &format!("Bearer {TOKEN}x"),
        &format!("Bearer {long}"),
    ] {
        let fields = [
            ("authorization", token),
            ("content-type", "application/json"),
        ];
        let fields = if token.is_empty() {
            &fields[1..]
        } else {
            &fields[..]
        };
        for path in READING {
            let answer = ask(&app, request(Method::GET, path, fields, "")).await;
            assert_eq!(answer.status, 401, "{path} {token}");
            assert!(answer.headers.contains_key("www-authenticate"));
            assert!(answer.json()["error"].is_string());
        }
        for path in ACTING {
            let answer = ask(
                &app,
                request(Method::POST, path, fields, r#"{"everything":true}"#),
            )
            .await;
            assert_eq!(answer.status, 401, "{path} {token}");
        }
    }
}

#[tokio::test]
async fn a_router_without_a_token_is_closed_and_shows_no_page() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let admin: Router = admin::router(&cache).build().unwrap();
    let app = Router::new().nest("/admin/cache", admin);
    for path in READING.iter().chain(&["/dashboard", "/assets/main.js"]) {
        let answer = ask(&app, request(Method::GET, path, &[], "")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert!(admin::router(&cache).token("short").build::<()>().is_err());
    assert!(admin::router(&cache).token("").build::<()>().is_err());
}

#[tokio::test]
async fn an_open_router_asks_for_no_token_and_still_refuses_other_sites() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let admin: Router = admin::router(&cache).open().build().unwrap();
    let app = Router::new().nest("/admin/cache", admin);
    let answer = ask(&app, request(Method::GET, "/health", &[], "")).await;
    assert_eq!(answer.status, 200);
    let json = ("content-type", "application/json");
    let body = r#"{"everything":true}"#;
    for fields in [
        &[json, ("sec-fetch-site", "cross-site")][..],
        &[json, ("origin", "https://evil.example")],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
    ] {
        let answer = ask(&app, request(Method::POST, "/invalidate", fields, body)).await;
        assert!([403, 415].contains(&answer.status.as_u16()), "{fields:?}");
    }
    let own = [json, ("origin", "http://a.example")];
    let answer = ask(&app, request(Method::POST, "/invalidate", &own, body)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_token_for_reading_reads_and_changes_nothing() {
    let (_cache, app) = memory();
    assert_eq!(read(&app, "/stats").await.status, 200);
    let bearer = format!("Bearer {READER}");
    let fields = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    for path in ACTING {
        let answer = ask(&app, request(Method::POST, path, &fields, "{}")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_only_contains_the_routers_is_not_its_own() {
    let (_cache, app) = memory();
    let bearer = format!("Bearer {TOKEN}");
    for path in [
        "/admin/cachex/health",
        "/x/admin/cache/health",
        "//admin/cache/health",
        "/admin/cache/health/x",
        "/admin/cache/../cache/health",
        "/admin/cache%2fhealth",
        "/ADMIN/cache/health",
    ] {
        let request = Request::get(path).header("authorization", &bearer);
        let answer = ask(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn every_answer_forbids_to_store_it_and_errors_are_json() {
    let (_cache, app) = memory();
    for path in [
        "/health",
        "/dashboard",
        "/nothing",
        "/entries?pattern=*",
        "/assets/main.js",
    ] {
        let answer = read(&app, path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        if !answer.status.is_success() {
            assert!(answer.json()["error"].is_string(), "{path}");
        }
    }
    let bad = [
        ("/invalidate", "{", 400),
        ("/invalidate", "{}", 400),
        ("/invalidate", r#"{"tag":"a","key":"api:x:1"}"#, 400),
        ("/invalidate", r#"{"everything":false}"#, 400),
        ("/invalidate", r#"{"pattern":"*"}"#, 400),
        ("/invalidate", r#"{"tag":""}"#, 400),
        ("/invalidate", r#"{"tag":"a","more":1}"#, 400),
        ("/enabled", r#"{"enabled":"yes"}"#, 400),
        ("/nothing", "{}", 404),
        ("/stats", "{}", 405),
    ];
    let bearer = format!("Bearer {TOKEN}");
    let fields = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    for (path, body, status) in bad {
        let answer = ask(&app, request(Method::POST, path, &fields, body)).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert!(answer.json()["error"].is_string());
    }
    let large = format!(r#"{{"tag":"{}"}}"#, "x".repeat(100_000));
    let answer = ask(&app, request(Method::POST, "/invalidate", &fields, &large)).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn nothing_that_identifies_a_person_is_shown() {
    let (cache, app) = memory();
    for uri in [
        "/users/ada@example.com",
        "/users/ada@example.com?mail=bob@example.com",
    ] {
        get(&app, uri).await;
    }
    let page = read(&app, "/entries").await;
    let key = page.json()["entries"][0]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/entries",
        &format!("/entry?key={key}"),
        "/stats",
        "/health",
    ] {
        let text = read(&app, path).await.text;
        for secret in ["ada", "bob", "@example", "secret", "user:"] {
            assert!(!text.contains(secret), "{path} shows {secret}: {text}");
        }
    }
    assert_eq!(cache.stats().requests(), 2, "looking is no traffic");
}

#[tokio::test]
async fn invalidation_by_each_selector_answers_with_its_counts() {
    let (cache, app) = memory();
    for body in [
        json!({"tag": "user:7"}),
        json!({"endpoint": "users"}),
        json!({"uri": "/users/7"}),
        json!({"pattern": "api:users:*"}),
        json!({"everything": true}),
    ] {
        get(&app, "/users/7").await;
        let answer = post(&app, "/invalidate", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["removed"], 1, "{body}");
        assert_eq!(cache.stats().memory_entries, 0);
    }
    get(&app, "/users/7").await;
    let key = read(&app, "/entries").await.json()["entries"][0]["key"].clone();
    let answer = post(&app, "/invalidate", &json!({"key": key})).await;
    assert_eq!(answer.json()["removed"], 1);
    let gone = read(&app, &format!("/entry?key={}", key.as_str().unwrap())).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_check_and_an_explanation_fill_and_count_nothing() {
    let (cache, app) = memory();
    get(&app, "/users/7").await;
    let before = cache.stats();
    let bearer = format!("Bearer {READER}");
    let fields = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    let asked = async |path, url| {
        let body = json!({ "url": url }).to_string();
        ask(&app, request(Method::POST, path, &fields, &body)).await
    };
    let hit = asked("/check", "http://a.example/users/7").await.json();
    assert_eq!(hit["cached"], true, "{hit}");
    assert!(hit["ttl"].as_f64().unwrap() > 290.0);
    assert_eq!(
        hit["key"].as_str().unwrap().split(':').nth(1),
        Some("users")
    );
    let miss = asked("/check", "http://a.example/users/8").await.json();
    assert_eq!(
        (&miss["cached"], &miss["ttl"]),
        (&json!(false), &Value::Null)
    );
    let told = asked("/explain", "http://a.example/users/7").await.json();
    assert_eq!(told["would"], "hit (memory)", "{told}");
    assert_eq!(told["steps"][0]["about"], "policy");
    assert_eq!(asked("/explain", "http://[/").await.status, 400);
    assert_eq!(cache.stats(), before);
}

#[tokio::test]
async fn a_reset_begins_the_counters_anew_and_nothing_else() {
    let (cache, app) = memory();
    for _ in 0..3 {
        get(&app, "/users/7").await;
    }
    post(&app, "/invalidate", &json!({"tag": "nothing"})).await;
    let fresh = post(&app, "/stats/reset", &json!({})).await.json();
    for field in ["hits_memory", "misses", "stores", "invalidations"] {
        assert_eq!(fresh[field], 0, "{field}");
    }
    assert_eq!(
        (&fresh["misses_by"], &fresh["memory_entries"]),
        (&json!({}), &json!(1))
    );
    assert_eq!(fresh["latency"]["miss"]["count"], 0);
    for _ in 0..10 {
        get(&app, "/users/7").await;
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.hits_memory, stats.misses, stats.hit_rate()),
        (10, 0, 1.0)
    );
    assert_eq!(cache.endpoint_stats()[0].stats.hits_memory, 10);
    assert_eq!(cache.recent().await.day.requests(), 13, "windows go on");
}

#[tokio::test]
async fn a_dry_run_counts_and_a_soft_one_makes_stale() {
    let (cache, app) = memory();
    get(&app, "/users/7").await;
    let dry = json!({"tag": "user:7", "dry_run": true});
    let dry = post(&app, "/invalidate", &dry).await.json();
    assert_eq!(
        (&dry["removed"], cache.stats().memory_entries),
        (&json!(1), 1)
    );
    let soft = json!({"tag": "user:7", "soft": true});
    let soft = post(&app, "/invalidate", &soft).await.json();
    assert_eq!(
        (&soft["soft"], &soft["dry_run"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(cache.invalidations().len(), 1, "a dry run is none");
    assert!(cache.invalidations()[0].soft);
}

#[tokio::test]
async fn warming_goes_through_the_application_and_answers_at_its_end() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let site = site(&cache);
    let admin = admin::router(&cache).token(TOKEN).warms(site.clone());
    let app = site.nest("/admin/cache", admin.build().unwrap());
    let asked = json!({"targets": ["/users/7", "/users/8"], "host": "a.example"});
    let done = post(&app, "/warm", &asked).await.json();
    assert_eq!(
        (&done["filled"], &done["failed"]),
        (&json!(2), &json!([])),
        "{done}"
    );
    assert_eq!(get(&app, "/users/7").await.detail(), "memory");
    let many = json!({"targets": vec!["/x"; 1_001]});
    assert_eq!(post(&app, "/warm", &many).await.status, 400);
    let (_cache, without) = memory();
    assert_eq!(post(&without, "/warm", &asked).await.status, 501);
}

#[tokio::test]
async fn switching_off_and_on_reaches_all_by_default() {
    let redis = Redis::start();
    let cache = || {
        let builder = Cache::builder().redis(redis.url()).lease(SHORT * 3);
        builder.operation_timeout(PATIENT).build().unwrap()
    };
    let (here, there) = (cache(), cache());
    let app = app(&here);
    get(&site(&there), "/users/7").await;
    let answer = post(&app, "/enabled", &json!({"enabled": false})).await;
    assert_eq!(answer.json()["enabled"], false);
    eventually("the other hears of it", || async { !there.is_enabled() }).await;
    assert_eq!(read(&app, "/health").await.json()["enabled"], false);
    post(&app, "/enabled", &json!({"enabled": true})).await;
    assert!(here.is_enabled());
    post(
        &app,
        "/enabled",
        &json!({"enabled": false, "everywhere": false}),
    )
    .await;
    eventually("only here", || async {
        get(&site(&there), "/users/8").await;
        there.is_enabled()
    })
    .await;
}

#[tokio::test]
async fn health_is_200_and_says_degraded_while_redis_is_down() {
    let mut redis = Redis::start();
    let cache = Cache::builder().memory(16 * MIB).redis(redis.url());
    let cache = cache.build().unwrap();
    let app = app(&cache);
    get(&app, "/users/7").await;
    let health = read(&app, "/health").await.json();
    assert_eq!(health["status"], "ok", "{health}");
    assert!(health["store"]["round_trip"].as_f64().unwrap() > 0.0);
    assert_eq!(health["store"]["topology"], "server");
    redis.kill();
    let answer = read(&app, "/health").await;
    let health = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &health["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(health["store"]["reachable"], false);
    assert_eq!(read(&app, "/servers").await.status, 503);
}

#[tokio::test]
async fn all_who_look_on_get_one_and_the_same_message_a_second() {
    let (_cache, app) = memory();
    get(&app, "/users/7").await;
    let bearer = format!("Bearer {READER}");
    let mut streams = Vec::new();
    for _ in 0..3 {
        let events = request(Method::GET, "/events", &[("authorization", &bearer)], "");
        let response = app.clone().oneshot(events).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        streams.push(response.into_body());
    }
    for _ in 0..2 {
        let mut messages = Vec::new();
        for stream in &mut streams {
            let frame = stream.frame().await.unwrap().unwrap();
            messages.push(frame.into_data().unwrap());
        }
        assert!(messages.iter().all(|message| *message == messages[0]));
        let text = std::str::from_utf8(&messages[0]).unwrap();
        let data = text.strip_prefix("data: ").unwrap();
        let message: Value = serde_json::from_str(data).unwrap();
        assert_eq!(message["endpoints"][0][0], "users");
        assert_eq!(message["total"]["misses"], 1);
    }
}

#[tokio::test]
async fn the_page_is_beside_its_parts_wherever_it_is_nested() {
    let (_cache, app) = memory();
    let answer = ask(&app, request(Method::GET, "", &[], "")).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.headers["location"], "cache/dashboard");
    let page = ask(&app, request(Method::GET, "/dashboard", &[], "")).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for part in page.text.split("assets/").skip(1) {
        let name = part.split('"').next().unwrap();
        let answer = ask(
            &app,
            request(Method::GET, &format!("/assets/{name}"), &[], ""),
        )
        .await;
        assert_eq!(answer.status, 200, "{name}");
    }
}
