//! `Cache-Status` (RFC 9211), read back by a parser of structured fields.

mod support;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{any, get as on_get};
use larder::{Cache, MIB, Policy, minutes, seconds, testing};
use sfv::{BareItem, List, ListEntry, Parser};
use support::{get, get_with, request, send};

/// The members of a list: name, and parameters as text.
fn members(field: &str) -> Vec<(String, Vec<(String, String)>)> {
    let list: List = Parser::new(field).parse().unwrap();
    let member = |entry: ListEntry| {
        let ListEntry::Item(item) = entry else {
            panic!("a member is an item");
        };
        let name = text(&item.bare_item);
        let params = item.params.iter().map(|(k, v)| (k.to_string(), text(v)));
        (name, params.collect())
    };
    list.into_iter().map(member).collect()
}

fn text(item: &BareItem) -> String {
    match item {
        BareItem::Boolean(b) => b.to_string(),
        BareItem::Integer(n) => n.to_string(),
        BareItem::Token(token) => token.to_string(),
        BareItem::String(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

fn parameters(field: &str) -> Vec<(String, String)> {
    members(field).pop().unwrap().1
}

fn param(field: &str, name: &str) -> Option<String> {
    let all = parameters(field);
    all.into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

#[tokio::test]
async fn every_outcome_is_a_list_that_parses() {
    let (cache, clock) = testing::cache();
    let answer = any(|| async { "x" });
    let app = Router::new()
        .route("/x", answer.layer(cache.ttl(seconds(60))))
        .route(
            "/private",
            on_get(|| async { [("cache-control", "private")] }).layer(cache.ttl(seconds(60))),
        );
    let is = |field: &str, wanted: &[(&str, &str)]| {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        assert_eq!(parameters(field), wanted, "{field}");
    };
    let miss = get(&app, "/x").await;
    is(
        miss.cache_status(),
        &[
            ("fwd", "uri-miss"),
            ("fwd-status", "200"),
            ("stored", "true"),
            ("detail", "new"),
        ],
    );
    let hit = get(&app, "/x").await;
    is(
        hit.cache_status(),
        &[("hit", "true"), ("ttl", "60"), ("detail", "memory")],
    );
    clock.advance(seconds(60));
    let expired = get(&app, "/x").await;
    assert_eq!(param(expired.cache_status(), "fwd").unwrap(), "stale");
    let refused = get(&app, "/private").await;
    is(
        refused.cache_status(),
        &[
            ("fwd", "uri-miss"),
            ("fwd-status", "200"),
            ("detail", "private"),
        ],
    );
    let post = send(&app, request(Method::POST, "/x", &[])).await;
    is(
        post.cache_status(),
        &[
            ("fwd", "method"),
            ("fwd-status", "200"),
            ("detail", "method"),
        ],
    );
    let credential = get_with(&app, "/x", &[("cookie", "a=b")]).await;
    is(
        credential.cache_status(),
        &[
            ("fwd", "request"),
            ("fwd-status", "200"),
            ("detail", "credential"),
        ],
    );
    cache.set_enabled(false);
    let off = get(&app, "/x").await;
    is(
        off.cache_status(),
        &[
            ("fwd", "bypass"),
            ("fwd-status", "200"),
            ("detail", "disabled"),
        ],
    );
}

#[tokio::test]
async fn a_member_comes_behind_those_of_caches_further_in() {
    let (cache, _clock) = testing::cache();
    let answer = on_get(|| async { [("cache-status", "origin; hit"), ("age", "10")] });
    let app = Router::new().route("/x", answer.layer(cache.ttl(minutes(1))));
    for _ in 0..3 {
        let reply = get(&app, "/x").await;
        let lines = reply.headers.get_all("cache-status").iter();
        let field: Vec<&str> = lines.map(|line| line.to_str().unwrap()).collect();
        let names: Vec<String> = members(&field.join(", "))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["origin", "larder"]);
    }
    let hit = get(&app, "/x").await;
    assert_eq!(hit.header("age"), "10", "its age goes on from what it was");
}

#[tokio::test]
async fn its_name_and_detail_are_settings_and_it_can_be_off() {
    let builder = || Cache::builder().memory(MIB);
    let app = |cache: &Cache| {
        Router::new().route("/x", on_get(|| async { "x" }).layer(cache.ttl(minutes(1))))
    };
    let named = builder()
        .cache_status("edge-1")
        .cache_status_detail(false)
        .build()
        .unwrap();
    let named = app(&named);
    let miss = get(&named, "/x").await;
    assert_eq!(
        miss.cache_status(),
        "edge-1; fwd=uri-miss; fwd-status=200; stored"
    );
    let hit = get(&named, "/x").await;
    assert_eq!(members(hit.cache_status())[0].0, "edge-1");
    assert_eq!(param(hit.cache_status(), "detail"), None);
    let off = app(&builder().no_cache_status().build().unwrap());
    get(&off, "/x").await;
    let hit = get(&off, "/x").await;
    assert!(hit.hit() && !hit.headers.contains_key("cache-status"));
    assert_eq!((hit.status, hit.header("age")), (StatusCode::OK, "0"));
    for bad in ["", "two words", "1st", "a;b", "ä"] {
        let error = builder().cache_status(bad).build().unwrap_err();
        assert_eq!(error.setting(), "cache_status", "{bad:?}");
    }
}

#[tokio::test]
async fn the_key_is_not_shown() {
    let (cache, _clock) = testing::cache();
    let app = Router::new().route(
        "/x",
        on_get(|| async { "x" }).layer(cache.layer(Policy::ttl(minutes(1)))),
    );
    for _ in 0..2 {
        let reply = get(&app, "/x").await;
        assert_eq!(param(reply.cache_status(), "key"), None);
    }
}

#[tokio::test]
async fn a_key_is_told_where_it_is_asked_for_and_tells_nothing_else() {
    for tiers in support::tiers_with(|builder| builder.cache_status_key(true)).await {
        let policy = Policy::ttl(minutes(5)).endpoint("people");
        let handler = || async { [("cache-status", "inner; hit")] };
        let route = axum::routing::get(handler).layer(tiers.cache.layer(policy));
        let app = Router::new().route("/people/{name}", route);
        let mut keys = Vec::new();
        for _ in 0..2 {
            let reply = get(&app, "/people/ann?secret=1").await;
            tiers.cache.idle().await;
            let all = reply.headers.get_all("cache-status").iter();
            let all: Vec<&str> = all.map(|value| value.to_str().unwrap()).collect();
            assert_eq!((all.len(), all[0]), (2, "inner; hit"), "{}", tiers.name);
            let (_, key) = all[1].split_once("; key=").unwrap();
            assert!(key.starts_with("\"api:people:"), "{key}");
            assert!(!key.contains("ann") && !key.contains("secret"), "{key}");
            keys.push(key.to_owned());
        }
        assert_eq!(keys[0], keys[1]);
    }
}
