//! What only looks.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use larder::{Cache, MIB, seconds};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::get;
use crate::support::redis_server::Redis;
use crate::{READER, app, ask, memory, post, read, request};

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

/// HTTP/2 tells the scheme, and it is part of the key; what stands in front may have taken it off.
#[tokio::test]
async fn a_check_finds_what_came_over_tls_too() {
    let (cache, app) = memory();
    let secure = Request::get("https://a.example/users/7").body(Body::empty());
    ask(&app, secure.unwrap()).await;
    let run = cache
        .warm()
        .requests(app.clone(), ["https://a.example/users/8"]);
    assert_eq!(run.report().await.filled, 1);
    get(&app, "/users/9").await;
    for (url, cached) in [
        ("https://a.example/users/7", true),
        ("https://a.example/users/8", true),
        ("http://a.example/users/7", false),
        ("https://a.example/users/9", true),
    ] {
        let told = post(&app, "/check", &json!({ "url": url })).await.json();
        assert_eq!(told["cached"], cached, "{url}: {told}");
        let why = post(&app, "/explain", &json!({ "url": url })).await.json();
        assert_eq!(why["would"] == "hit (memory)", cached, "{url}: {why}");
    }
}

#[tokio::test]
async fn figures_say_whose_they_are() {
    let (_cache, app) = memory();
    get(&app, "/users/7").await;
    let stats = read(&app, "/stats").await.json();
    assert_eq!(stats["of"], "this process");
    assert_eq!(stats["endpoints"][0]["endpoint"], "users");
    let analytics = read(&app, "/analytics").await.json();
    assert_eq!(analytics["shared"], false, "nobody else is there");
    assert_eq!(analytics["endpoints"][0]["day"]["misses"], 1, "{analytics}");
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

async fn figures(app: &Router) -> Body {
    let bearer = format!("Bearer {READER}");
    let events = request(Method::GET, "/events", &[("authorization", &bearer)], "");
    app.clone().oneshot(events).await.unwrap().into_body()
}

/// A server that ends gracefully waits for its answers: it waited as long as a page was open.
#[tokio::test(start_paused = true)]
async fn figures_end_after_a_while_and_with_the_cache_so_that_a_server_can_end() {
    let (cache, app) = memory();
    let mut messages = 0;
    let mut stream = figures(&app).await;
    let all = async {
        while let Some(message) = stream.frame().await {
            messages += usize::from(message.is_ok());
        }
    };
    let ended = tokio::time::timeout(seconds(15), all).await;
    assert!(ended.is_ok() && messages > 5, "{messages}: {ended:?}");
    let mut stream = figures(&app).await;
    stream.frame().await.unwrap().unwrap();
    cache.shutdown().await;
    let rest = async { while stream.frame().await.is_some() {} };
    let ended = tokio::time::timeout(Duration::from_millis(1), rest).await;
    assert!(ended.is_ok(), "the cache has ended");
}

#[tokio::test]
async fn what_cannot_be_answered_says_what_can() {
    let (_cache, app) = memory();
    let answer = read(&app, "/entries?tier=redis").await;
    let why = answer.json()["error"].to_string();
    assert!(answer.status == 400 && why.contains("no Redis"), "{why}");
    for url in ["", "x", "example.com", "/a b"] {
        let answer = post(&app, "/check", &json!({ "url": url })).await;
        let why = answer.json()["error"].to_string();
        assert!(
            answer.status == 400 && why.contains("http://"),
            "{url}: {why}"
        );
    }
    let answer = post(&app, "/stats/reset", &json!([])).await;
    assert_eq!(answer.status, 400, "that is no object");
    for body in [json!(null), json!([]), json!(["/x"])] {
        let why = post(&app, "/check", &body).await.json()["error"].to_string();
        assert!(!why.contains("struct"), "{body}: {why}");
    }
    let answer = post(&app, "/dashboard", &json!({})).await;
    assert_eq!(answer.status, 405);
    assert!(answer.json()["error"].is_string());
}
