//! Settings: what cannot work is refused when it is made, by name.

mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use larder::config::Config;
use larder::testing::{ManualClock, MemoryStore};
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
fn a_redis_url_that_cannot_be_read_is_told_its_form_and_never_repeated() {
    for (url, form) in [
        ("redis://h:99999", "redis://[user:password@]host[:port]"),
        ("redis://h/secret", "redis://[user:password@]host[:port]"),
        ("redis://:sec/ret@h", "percent-encoded"),
        ("redis+cluster://:secret@h:99999", "redis+cluster://"),
    ] {
        let error = Cache::builder().redis(url).build().unwrap_err().to_string();
        assert!(
            error.starts_with("redis: ") && error.contains(form),
            "{error}"
        );
        assert!(!error.contains("sec"), "{error}");
    }
}

#[tokio::test]
async fn answers_for_memory_alone_need_a_memory() {
    let builder = Cache::builder().store(MemoryStore::new(ManualClock::new()));
    let shared = builder.build().unwrap();
    let layer = shared.layer(Policy::ttl(minutes(1)).memory_only());
    let app = Router::new().route("/x", on_get(|| async { "x" }).layer(layer));
    for _ in 0..2 {
        let reply = get(&app, "/x").await;
        assert_eq!((reply.text(), reply.detail()), ("x", "no-room"));
        shared.idle().await;
    }
}

/// One that was off when it was built may have none.
#[tokio::test]
async fn a_cache_without_tiers_stores_nothing_and_says_so() {
    let cache = Cache::builder().enabled(false).build().unwrap();
    cache.set_enabled(true);
    let layer = cache.ttl(minutes(1));
    let app = Router::new().route("/x", on_get(|| async { "x" }).layer(layer));
    for _ in 0..2 {
        let reply = get(&app, "/x").await;
        assert_eq!((reply.text(), reply.detail()), ("x", "no-room"));
    }
    assert_eq!((cache.stats().stores, cache.stats().refusals), (0, 2));
}

#[test]
fn a_bad_policy_is_named() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let ttl = || Policy::ttl(minutes(1));
    let bad: [(Policy, &str); 34] = [
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
        (ttl().statuses([200, 407]), "statuses"),
        (ttl().statuses([200, 429]), "statuses"),
        (ttl().statuses([200, 511]), "statuses"),
        (ttl().statuses([99]), "statuses"),
        (ttl().max_body(0), "max_body"),
        (ttl().vary(["no name"]), "vary"),
        (ttl().hide(["host"]), "hide"),
        (ttl().vary(["*"]), "vary"),
        (ttl().vary(["x-a"]).hide(["x-a"]), "hide"),
        (ttl().vary(["cookie"]).hide(["cookie"]), "hide"),
        (ttl().scope(Scope::bearer()).hide(["authorization"]), "hide"),
        (ttl().scope(Scope::cookie("sid")).hide(["cookie"]), "hide"),
        (ttl().only_params(["a*b"]), "only_params"),
        (ttl().scope(Scope::cookie("a=b")), "scope"),
        (ttl().scope(Scope::header("cookie")), "scope"),
        (
            ttl().scope(Scope::by(|_| None)).ignore_credentials(),
            "ignore_credentials",
        ),
        (ttl().client_cache("a\nb"), "client_cache"),
        (ttl().client_cache(""), "client_cache"),
        (ttl().client_cache("no sense"), "client_cache"),
        (ttl().client_cache("public; max-age=60"), "client_cache"),
        (ttl().client_cache("max-age=5m"), "client_cache"),
        (ttl().ignore_params(["a*é"]), "ignore_params"),
        (ttl().only_params(["ключ*ключ"]), "only_params"),
    ];
    for (policy, setting) in bad {
        let error = cache.try_layer(policy).unwrap_err();
        assert_eq!(error.setting(), setting, "{error}");
    }
    let odd = ttl()
        .ignore_params(["ключ", "größé*"])
        .client_cache("private, no-cache=\"a, b\"");
    assert!(cache.try_layer(odd).is_ok(), "a name of any letters");
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
        uri("a/b"),
        uri("{path}"),
        namespace("typo"),
    ];
    for selector in bad {
        refuse(&cache, selector.clone());
        refuse(&tenants, selector);
    }
    refuse(&tenants, "api:[ab]*:*".into());
    refuse(&cache, "api:characters".into());
    let none = ["api:/a/*", "api:a/{id}*", "api:a:{id}:*", "api:@{{user}}:*"];
    for matches_no_key in none {
        refuse(&cache, matches_no_key.into());
        refuse(&tenants, matches_no_key.into());
    }
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
        ("memory = \"much\"", "memory: \"much\" is no size"),
        ("memory = -1", "memory: a negative"),
        ("lease = true", "lease: invalid type"),
        (
            "[routes]\ndefault = \"soon\"",
            "ttl: \"soon\" is no duration",
        ),
        (
            "[routes.paths]\n\"/a\" = { settle = \"5 parsecs\" }",
            "settle: \"5 parsecs\" is no duration",
        ),
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

/// What axum refuses, or never matches, would be a row for no request.
#[test]
fn a_pattern_that_no_path_has_is_refused_and_told_how_to_write_it() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    for (pattern, write) in [
        ("/c/:id", "{id}"),
        ("/:kind/list", "{kind}"),
        ("/files/*rest", "{*rest}"),
        ("/admin/*", "{*rest}"),
        ("/admin*", "{*rest}"),
        ("/x?y=1", "query"),
        ("/x#y", "fragment"),
        ("/x y", "%20"),
        ("x", "slash"),
        ("http://a.example/x", "slash"),
    ] {
        let row = Routes::new().route(pattern, minutes(1));
        let error = cache.try_routes(row).unwrap_err();
        assert_eq!(error.setting(), format!("route {pattern:?}"), "{error}");
        assert!(error.to_string().contains(write), "{error}");
        let table = Routes::new().default_policy(minutes(1));
        let error = cache.try_routes(table.except([pattern])).unwrap_err();
        assert_eq!(error.setting(), format!("except {pattern:?}"), "{error}");
        assert!(error.to_string().contains(write), "{error}");
    }
    for pattern in [
        "/",
        "/{*rest}",
        "/v1/items:batch",
        "/a/{id}/b",
        "/{{id}}",
        "/a%20b",
        "/ä",
    ] {
        let row = Routes::new().route(pattern, minutes(1));
        assert!(cache.try_routes(row).is_ok(), "{pattern}");
    }
}

#[test]
fn a_panic_says_where_the_layer_was_made() {
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::Mutex;

    static AT: Mutex<Option<(std::thread::ThreadId, String)>> = Mutex::new(None);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let (thread, place) = (std::thread::current().id(), info.location().unwrap());
        if std::thread::current().name() == Some("a_panic_says_where_the_layer_was_made") {
            *AT.lock().unwrap() = Some((thread, place.file().to_owned()));
        }
        before(info);
    }));
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let makes: [fn(&Cache) -> larder::CacheLayer; 4] = [
        |cache| cache.ttl(Duration::ZERO),
        |cache| cache.layer(Policy::ttl(Duration::ZERO)),
        |cache| cache.routes(Routes::new()),
        |cache| cache.invalidates(""),
    ];
    for make in makes {
        let made = panic::catch_unwind(AssertUnwindSafe(|| make(&cache)));
        assert!(made.is_err());
        let (_, file) = AT.lock().unwrap().take().unwrap();
        assert_eq!(file, file!());
    }
}

#[test]
fn what_a_file_leaves_open_is_as_if_it_were_not_there() {
    let all = r#"{"enabled": false, "memory": null, "redis": null, "max_body": null,
        "operation_timeout": null, "lease": null,
        "routes": {"default": {"ttl": 5, "settle": null, "max_request_body": null}}}"#;
    let config: Config = serde_json::from_str(all).unwrap();
    assert_eq!((config.memory, config.lease), (None, None));
    // one that is off needs no tier
    let cache = config.builder().unwrap().build().unwrap();
    assert!(!cache.is_enabled() && cache.try_routes(config.routes().unwrap()).is_ok());
    let error = serde_json::from_str::<Config>(r#"{"lease": "5 parsecs"}"#).unwrap_err();
    assert!(error.to_string().starts_with("lease: "), "{error}");
    assert_eq!(error.line(), 1, "{error}");
}

#[test]
fn bytes_are_any_number() {
    let _ = Policy::ttl(minutes(1)).max_body(5 * MIB);
    let _ = Policy::ttl(minutes(1))
        .max_body(1 << 20)
        .max_request_body(2 * MIB);
    let _ = Cache::builder().memory(MIB).max_body("x".len());
    let below = Policy::ttl(minutes(1)).max_body(-1);
    let cache = Cache::builder().memory(MIB).max_body(5 * MIB).build();
    let cache = cache.unwrap();
    assert_eq!(cache.try_layer(below).unwrap_err().setting(), "max_body");
}
