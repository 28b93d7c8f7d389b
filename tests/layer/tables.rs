//! Tables of routes: which row covers a request, inside a router and around it.

use axum::Router;
use axum::http::Method;
use larder::{Bypass, Policy, Routes, Tier, Would, minutes, seconds, tag, testing};

use crate::counted;
use crate::support::{Calls, get, request, send};

#[tokio::test]
async fn a_table_covers_a_router_by_matched_route() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/a/{id}", seconds(10))
        .default_policy(minutes(1))
        .except(["/healthz"]);
    let app = Router::new()
        .route("/a/{name}", counted(&calls))
        .route("/b", counted(&calls))
        .route("/healthz", counted(&calls))
        .nest("/nested", Router::new().route("/c", counted(&calls)))
        .fallback(|| async { "nothing here" })
        .layer(cache.routes(table));
    for (path, ttl) in [("/a/1", 10), ("/b", 60), ("/nested/c", 60)] {
        get(&app, path).await;
        let hit = get(&app, path).await;
        assert_eq!(
            hit.cache_status(),
            format!("larder; hit; ttl={ttl}; detail=memory"),
            "{path}"
        );
    }
    get(&app, "/healthz").await;
    assert_eq!(get(&app, "/healthz").await.detail(), "no-policy");
    assert_eq!(get(&app, "/no/such/path").await.detail(), "no-policy");
}

#[tokio::test]
async fn a_row_covers_the_routes_below_it() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/api/{*rest}", seconds(10))
        .route("/api/live", Policy::none())
        .route("/api/users/{id}", seconds(20))
        .default_policy(minutes(1))
        .except(["/admin/{*rest}", "/account/{page}"]);
    let app = Router::new()
        .nest("/admin", Router::new().route("/users", counted(&calls)))
        .route("/account/settings", counted(&calls))
        .route("/api/news", counted(&calls))
        .route("/api/live", counted(&calls))
        .route("/api/users/me", counted(&calls))
        .route("/page", counted(&calls))
        .layer(cache.routes(table));
    for (path, told) in [
        (
            "/admin/users",
            "larder; fwd=bypass; fwd-status=200; detail=no-policy",
        ),
        (
            "/account/settings",
            "larder; fwd=bypass; fwd-status=200; detail=no-policy",
        ),
        ("/api/news", "larder; hit; ttl=10; detail=memory"),
        (
            "/api/live",
            "larder; fwd=bypass; fwd-status=200; detail=not-cached",
        ),
        ("/api/users/me", "larder; hit; ttl=10; detail=memory"),
        ("/page", "larder; hit; ttl=60; detail=memory"),
    ] {
        get(&app, path).await;
        assert_eq!(get(&app, path).await.cache_status(), told, "{path}");
    }
}

#[tokio::test]
async fn a_table_may_cover_a_routers_fallback() {
    let (cache, _clock) = testing::cache();
    let ttl = |n| Policy::ttl(seconds(n));
    let table = Routes::new()
        .route("/pages/{*rest}", ttl(10).unmatched())
        .route("/live/{*rest}", ttl(10))
        .default_policy(ttl(60).unmatched())
        .except(["/admin/{*rest}"]);
    let app = Router::new()
        .fallback(|| async { "page" })
        .layer(cache.routes(table));
    for (path, told) in [
        ("/pages/a", "larder; hit; ttl=10; detail=memory"),
        (
            "/live/a",
            "larder; fwd=bypass; fwd-status=200; detail=unmatched",
        ),
        (
            "/admin/a",
            "larder; fwd=bypass; fwd-status=200; detail=no-policy",
        ),
        ("/a", "larder; hit; ttl=60; detail=memory"),
    ] {
        get(&app, path).await;
        assert_eq!(get(&app, path).await.cache_status(), told, "{path}");
    }
    for path in ["/pages/a", "/a"] {
        let explained = cache.explain(&request(Method::GET, path, &[])).await;
        assert_eq!(explained.would, Would::Hit(Tier::Memory), "{explained}");
    }
}

#[tokio::test]
async fn around_a_router_the_tables_own_patterns_decide() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let router = Router::new()
        .route("/a/{id}", counted(&calls))
        .route("/b", counted(&calls));
    let app = cache
        .routes(Routes::new().route("/a/{id}", minutes(1)))
        .around(router);
    get(&app, "/a/1").await;
    assert!(get(&app, "/a/1").await.hit());
    assert!(!get(&app, "/a/2").await.hit());
    assert_eq!(get(&app, "/b").await.detail(), "no-policy");
}

/// As files are served: axum names no route there.
#[tokio::test]
async fn a_nested_service_needs_a_policy_for_what_is_unmatched() {
    let (cache, _clock) = testing::cache();
    let files = || {
        tower::service_fn(|_: axum::extract::Request| async {
            Ok::<_, std::convert::Infallible>(axum::http::Response::new(axum::body::Body::empty()))
        })
    };
    let row = |policy| Routes::new().route("/static/{*rest}", policy);
    let ttl = || Policy::ttl(minutes(1));
    let around = |policy| {
        let layer = cache.routes(row(policy));
        let app = Router::new().nest_service("/static", files());
        (layer.clone(), app.layer(layer))
    };
    let (layer, app) = around(ttl());
    get(&app, "/static/a.css").await;
    assert_eq!(get(&app, "/static/a.css").await.detail(), "unmatched");
    let asked = request(Method::GET, "/static/a.css", &[]);
    for told in [cache.explain(&asked).await, layer.explain(&asked).await] {
        assert_eq!(told.would, Would::Bypass(Bypass::Unmatched));
        assert!(told.to_string().contains("unmatched()"), "{told}");
    }
    drop((layer, app));
    let (_layer, app) = around(ttl().unmatched());
    get(&app, "/static/a.css").await;
    assert!(get(&app, "/static/a.css").await.hit());
    assert_eq!(cache.explain(&asked).await.would, Would::Hit(Tier::Memory));
}

#[tokio::test]
async fn a_nested_table_is_told_that_its_patterns_are_whole_paths() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/c/{id}", seconds(10))
        .except(["/api/admin/{*rest}"]);
    let layer = cache.routes(table);
    let nested = Router::new()
        .route("/c/{id}", counted(&calls))
        .layer(layer.clone());
    let app = Router::new().nest("/api", nested);
    get(&app, "/api/c/1").await;
    assert_eq!(get(&app, "/api/c/1").await.detail(), "no-policy");
    let asked = request(Method::GET, "/api/c/1", &[]);
    for told in [cache.explain(&asked).await, layer.explain(&asked).await] {
        assert_eq!(told.would, Would::Bypass(Bypass::NoPolicy));
        let said = &told.steps[0].found;
        assert!(
            said.contains("no row of the table covers /api/c/1 (patterns are whole paths)"),
            "{told}"
        );
    }
    let excluded = request(Method::GET, "/api/admin/users", &[]);
    let said = &layer.explain(&excluded).await.steps[0].found;
    assert!(said.contains("/api/admin/{*rest}"), "{said}");
}

/// As around the router: a table that is moved caches no more than before.
#[tokio::test]
async fn an_exclusion_within_a_row_holds_inside_a_router_too() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/files/{*rest}", minutes(5))
        .route("/u/{id}", minutes(5))
        .except(["/files/secret/{*rest}", "/u/me", "/{*all}"]);
    let router = || {
        Router::new()
            .route("/files/{*rest}", counted(&calls))
            .route("/u/{id}", counted(&calls))
            .route("/other", counted(&calls))
    };
    let inside = router().layer(cache.routes(table.clone()));
    let around = cache.routes(table).around(router());
    for (path, hit) in [
        ("/files/secret/a", false),
        ("/u/me", false),
        ("/other", false),
        ("/files/a", true),
        ("/u/7", true),
        // as their handlers may read them
        ("/u/%6de", false),
        ("/files/%73ecret/a", false),
        ("/files/secret%2Fa", false),
        ("/files//secret/./a", false),
        ("/files/x/..%2fsecret/a", false),
        ("/u/a%2Fb", true),
        ("/files/a%20b", true),
        ("/files/a//b", true),
    ] {
        get(&inside, path).await;
        let reply = get(&inside, path).await;
        assert_eq!(reply.hit(), hit, "{path}");
        assert_eq!(reply.hit(), get(&around, path).await.hit(), "{path}");
        let explained = cache.explain(&request(Method::GET, path, &[])).await;
        assert_eq!(
            explained.would == Would::Hit(Tier::Memory),
            hit,
            "{explained}"
        );
    }
}

/// Nothing is cached where an exclusion may be meant; what may be another resource is
/// written all the same.
#[tokio::test]
async fn a_write_to_what_may_be_excluded_invalidates() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/items", Policy::ttl(minutes(5)).tag("items"))
        .route(
            "/items/{id}",
            Policy::ttl(minutes(5)).invalidates(tag("items")),
        )
        .except(["/items/export"]);
    let router = || {
        Router::new()
            .route("/items", counted(&calls))
            .route("/items/{id}", counted(&calls).put(|| async {}))
    };
    let layer = cache.routes(table.clone());
    let inside = router().layer(layer.clone());
    let around = cache.routes(table).around(router());
    for (path, invalidates) in [
        ("/items/7", true),
        ("/items/%65xport", true),
        ("/items/export", false),
    ] {
        let put = || request(Method::PUT, path, &[]);
        get(&inside, "/items").await;
        send(&inside, put()).await;
        assert_eq!(get(&inside, "/items").await.hit(), !invalidates, "{path}");
        send(&around, put()).await;
        assert_eq!(get(&around, "/items").await.hit(), !invalidates, "{path}");
        let told = match invalidates {
            true => Bypass::Method,
            false => Bypass::NoPolicy,
        };
        for explained in [cache.explain(&put()).await, layer.explain(&put()).await] {
            assert_eq!(explained.would, Would::Bypass(told), "{path}: {explained}");
        }
    }
}

/// As written: the exclusion is for some of a row's paths, and for others' too.
#[tokio::test]
async fn an_exclusion_that_meets_a_row_in_part_holds_as_a_handler_may_read_the_path() {
    let (cache, _clock) = testing::cache();
    let calls = Calls::default();
    let table = Routes::new()
        .route("/{a}/b", minutes(5))
        .except(["/x/{c}", "/z/{*rest}"]);
    let router = || Router::new().route("/{a}/b", counted(&calls));
    let inside = router().layer(cache.routes(table.clone()));
    let around = cache.routes(table).around(router());
    for (path, hit) in [
        ("/x/b", false),
        ("/%78/b", false),
        ("/z/b", false),
        ("/%7a/b", false),
        ("/y/b", true),
        ("/%79/b", true),
        ("/x%2Fy/b", true),
    ] {
        get(&inside, path).await;
        assert_eq!(get(&inside, path).await.hit(), hit, "{path}");
        get(&around, path).await;
        assert_eq!(get(&around, path).await.hit(), hit, "{path}");
    }
}
