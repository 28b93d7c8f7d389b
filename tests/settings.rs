//! Settings: what cannot work is refused when it is made, by name.

mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use larder::config::Config;
use larder::{
    Cache, CacheBuilder, MIB, Policy, Routes, Scope, Selector, endpoint, everything, key, minutes,
    namespace, tag, uri,
};
use support::get;

#[test]
fn a_bad_setting_of_the_cache_is_named() {
    let memory = || Cache::builder().memory(MIB);
    let bad: [(CacheBuilder, &str); 13] = [
        (memory().lease(Duration::ZERO), "lease"),
        (memory().lease(minutes(2)), "lease"),
        (Cache::builder(), "memory"),
        (Cache::builder().memory(0), "memory"),
        (Cache::builder().memory(1000), "memory"),
        (memory().prefix(""), "prefix"),
        (memory().prefix("a:b"), "prefix"),
        (memory().prefix("a*"), "prefix"),
        (memory().max_body(0), "max_body"),
        (
            memory().operation_timeout(Duration::ZERO),
            "operation_timeout",
        ),
        (memory().credentials(["no name"]), "credentials"),
        (memory().per_request([""]), "per_request"),
        (Cache::builder().redis("not a url"), "redis"),
    ];
    for (builder, setting) in bad {
        let error = builder.build().unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
        assert!(error.to_string().starts_with(setting), "{error}");
    }
}

#[test]
fn answers_for_memory_alone_need_a_memory() {
    let shared = Cache::builder()
        .redis("redis://127.0.0.1:1")
        .build()
        .unwrap();
    let alone = || Policy::ttl(minutes(1)).memory_only();
    let error = shared.try_layer(alone()).unwrap_err();
    assert_eq!(error.setting(), "memory_only", "{error}");
    let error = shared.try_routes(Routes::new().default_policy(alone()));
    assert!(error.unwrap_err().to_string().contains("memory_only"));
    let both = Cache::builder().memory(MIB).redis("redis://127.0.0.1:1");
    for cache in [both.build().unwrap(), Cache::disabled()] {
        let _ = cache.layer(alone());
    }
}

#[test]
fn a_bad_policy_is_named() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let ttl = || Policy::ttl(minutes(1));
    let bad: [(Policy, &str); 21] = [
        (ttl().soft_timeout(Duration::ZERO), "soft_timeout"),
        (ttl().hard_timeout(Duration::ZERO), "hard_timeout"),
        (ttl().settle(Duration::ZERO), "settle"),
        (Policy::ttl(Duration::ZERO), "ttl"),
        (ttl().negative_ttl(Duration::ZERO), "negative_ttl"),
        (ttl().endpoint(""), "endpoint"),
        (ttl().endpoint("x".repeat(200)), "endpoint"),
        (ttl().tag(""), "tag"),
        (ttl().tag("{"), "tag"),
        (ttl().statuses([]), "statuses"),
        (ttl().statuses([206]), "statuses"),
        (ttl().statuses([99]), "statuses"),
        (ttl().max_body(0), "max_body"),
        (ttl().vary(["no name"]), "vary"),
        (ttl().hide(["host"]), "hide"),
        (ttl().vary(["x-a"]).hide(["x-a"]), "hide"),
        (ttl().only_params(["a*b"]), "only_params"),
        (ttl().scope(Scope::cookie("a=b")), "scope"),
        (ttl().scope(Scope::header("cookie")), "scope"),
        (
            ttl().scope(Scope::by(|_| None)).ignore_credentials(),
            "ignore_credentials",
        ),
        (ttl().client_cache("a\nb"), "client_cache"),
    ];
    for (policy, setting) in bad {
        let error = cache.try_layer(policy).unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
    }
}

#[test]
fn a_declared_invalidation_that_could_never_be_made_is_refused() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let tenants = Cache::builder().memory(MIB).tenant(|_| None);
    let tenants = tenants.build().unwrap();
    let refuse = |cache: &Cache, selector: Selector| {
        let policy = Policy::none().invalidates(&selector);
        let error = cache.try_layer(policy).expect_err(&format!("{selector:?}"));
        assert_eq!(error.setting(), "invalidates", "{error}");
    };
    let bad: [Selector; 12] = [
        "".into(),
        "*".into(),
        "other:*".into(),
        "api:{".into(),
        key("characters/7"),
        key("other:characters:{id}"),
        uri("characters"),
        uri("characters/{id}"),
        uri("localhost:3000"),
        uri("/a b"),
        uri("{path}"),
        namespace("typo"),
    ];
    for selector in bad {
        refuse(&cache, selector.clone());
        refuse(&tenants, selector);
    }
    refuse(&tenants, "api:[ab]*:*".into());
    let good: [Selector; 8] = [
        "api:characters:{id}*".into(),
        key("api:characters:{hash}"),
        key("{key}"),
        uri("/characters/{id}?full"),
        uri("https://a.example/characters/{id}"),
        tag("{id}"),
        endpoint("characters-{kind}"),
        everything(),
    ];
    for selector in good {
        for cache in [&cache, &tenants] {
            let layer = cache.try_layer(Policy::none().invalidates(&selector));
            assert!(layer.is_ok(), "{selector:?}");
        }
    }
}

#[test]
#[should_panic(expected = "ttl: must be at least a millisecond")]
fn a_layer_of_a_bad_policy_panics_with_the_reason() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let _ = cache.ttl(Duration::ZERO);
}

fn parse(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
}

#[tokio::test]
async fn a_table_comes_from_a_file() {
    let config = parse(
        r#"
        memory = "1MiB"
        operation_timeout = "100ms"
        [routes]
        default = 30
        except = ["/healthz"]
        [routes.paths]
        "/a" = "5m"
        "/b/{id}" = { ttl = "1h", endpoint = "b", tags = ["b:{id}"], scope = "bearer", invalidates = ["tag:b:{id}", "api:a:*"] }
        "#,
    )
    .unwrap();
    let cache = config.builder().unwrap().build().unwrap();
    let layer = cache.try_routes(config.routes().unwrap()).unwrap();
    let app = Router::new()
        .route("/a", on_get(|| async { "a" }))
        .route("/b/{id}", on_get(|| async { "b" }))
        .route("/c", on_get(|| async { "c" }))
        .layer(layer);
    for (path, ttl) in [("/a", 300), ("/b/1", 3_600), ("/c", 30)] {
        get(&app, path).await;
        let status = get(&app, path).await.cache_status().to_owned();
        let near = [ttl, ttl - 1].map(|ttl| format!("ttl={ttl};"));
        assert!(
            near.iter().any(|ttl| status.contains(ttl)),
            "{path}: {status}"
        );
    }
    assert_eq!(
        cache
            .invalidate(larder::tag("b:1"))
            .await
            .unwrap()
            .removed(),
        1
    );
}

#[test]
fn a_file_is_read_strictly() {
    for (text, said) in [
        ("memmory = 5", "unknown field `memmory`"),
        ("memory = \"much\"", "no size"),
        ("memory = -1", "negative"),
        ("[routes]\ndefault = \"soon\"", "no duration"),
        ("[routes]\ndefaults = 5", "unknown field `defaults`"),
        (
            "[routes.paths]\n\"/a\" = { tll = 5 }",
            "unknown field `tll`",
        ),
        (
            "[routes.paths]\n\"/a\" = { ttl = 5, scope = \"me\" }",
            "none of \"bearer\"",
        ),
        (
            "[routes.paths]\n\"/a\" = { ttl = 5, only_params = [], ignore_params = [] }",
            "exclude",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn a_table_that_cannot_work_names_its_row() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let config = parse("[routes.paths]\n\"/a/{id}\" = { ttl = 5, tags = [\"{name}\"] }").unwrap();
    let error = cache.try_routes(config.routes().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "route \"/a/{id}\": tag: the route has no parameter {name}"
    );
    let twice = Routes::new()
        .route("/a", minutes(1))
        .route("/a", minutes(2));
    assert!(
        cache
            .try_routes(twice)
            .unwrap_err()
            .to_string()
            .starts_with("route \"/a\"")
    );
}
