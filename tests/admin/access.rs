//! Who may do what: attack 30.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use larder::{Cache, MIB, admin};

use crate::support::get;
use crate::{ACTING, READER, READING, TOKEN, ask, memory, read, request};

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
    for blank in ["sixteen bytes!! ", " sixteen bytes!!"] {
        let blank = admin::router(&cache).token(blank);
        assert!(blank.build::<()>().is_err(), "nobody gives it so");
    }
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

#[test]
fn tokens_that_cannot_work_are_refused_by_name() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let router = || admin::router(&cache);
    for (what, router, setting) in [
        ("open to all", router().token(TOKEN).open(), "open"),
        (
            "open to all",
            router().open().read_only_token(READER),
            "open",
        ),
        (
            "may do everything",
            router().token(TOKEN).read_only_token(TOKEN),
            "read_only_token",
        ),
        ("shorter", router().token("short"), "token"),
        (
            "shorter",
            router().token(TOKEN).read_only_token("short"),
            "read_only_token",
        ),
    ] {
        let error = router.build::<()>().unwrap_err();
        assert_eq!(error.setting(), setting, "{what}: {error}");
    }
    let twice = router().token(TOKEN).token(TOKEN).build::<()>();
    assert!(twice.is_ok(), "as while one is replaced by itself");
}
