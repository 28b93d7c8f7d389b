//! TTLs that adapt to how often answers change.

mod support;

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get as on_get;
use larder::{Cache, Policy, hours, minutes, seconds, tag};
use support::{Calls, get, tiers};

/// One thing that is new each time, and one that is always the same.
fn app(cache: &Cache, policy: impl Fn() -> Policy) -> Router {
    let calls = Calls::default();
    let changing = move |Path(id): Path<String>| async move { format!("{id} {}", calls.count()) };
    let constant = |Path(id): Path<String>| async move { id };
    let named = |name: &str| cache.layer(policy().endpoint(name).tag("all"));
    Router::new()
        .route("/changing/{id}", on_get(changing).layer(named("changing")))
        .route("/constant/{id}", on_get(constant).layer(named("constant")))
}

async fn ttl(app: &Router, cache: &Cache, uri: &str) -> u64 {
    get(app, uri).await;
    cache.idle().await;
    let status = get(app, uri).await.cache_status().to_owned();
    let ttl = status
        .split("ttl=")
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    ttl.unwrap_or_else(|| panic!("no hit: {status}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_ttl_adapts_within_its_bounds_and_only_where_the_policy_says_so() {
    for tiers in tiers().await {
        let cache = tiers.cache;
        let adapts = || Policy::ttl(minutes(4)).adaptive(seconds(30)..=minutes(10));
        let adaptive = app(&cache, adapts);
        let fixed = app(&cache, || Policy::ttl(minutes(4)).version("fixed"));
        for round in 0..65 {
            for uri in ["/changing/1", "/constant/1"] {
                get(&adaptive, uri).await;
            }
            cache.idle().await;
            tiers.clock.advance(minutes(11));
            if round == 10 {
                assert!(cache.ttl_proposals().is_empty(), "too early to tell");
            }
        }
        let name = tiers.name;
        assert_eq!(ttl(&adaptive, &cache, "/changing/1").await, 30, "{name}");
        assert_eq!(ttl(&adaptive, &cache, "/constant/1").await, 600, "{name}");
        assert_eq!(ttl(&fixed, &cache, "/changing/1").await, 240, "{name}");
        let proposals = cache.ttl_proposals();
        let [changing, constant] = &proposals[..] else {
            panic!("{proposals:?}");
        };
        assert_eq!(
            (&*changing.endpoint, &*constant.endpoint),
            ("changing", "constant")
        );
        assert_eq!(changing.changed, changing.refreshes, "{changing:?}");
        assert!(changing.proposed < changing.ttl, "{changing:?}");
        assert_eq!(constant.changed, 0, "{constant:?}");
        assert!(constant.proposed > constant.ttl, "{constant:?}");
        let told = serde_json::to_value(constant).unwrap();
        assert_eq!(told["ttl"], constant.ttl.as_secs_f64());
        assert_eq!(told["proposed"], constant.proposed.as_secs_f64());
    }
}

#[tokio::test]
async fn a_good_hit_rate_is_no_reason_for_a_longer_ttl() {
    let (cache, clock) = larder::testing::cache();
    let app = app(&cache, || Policy::ttl(minutes(4)));
    for _ in 0..25 {
        for _ in 0..40 {
            get(&app, "/constant/1").await;
        }
        clock.advance(minutes(4));
    }
    let proposal = &cache.ttl_proposals()[0];
    assert!(proposal.hit_rate > 0.95, "{proposal:?}");
    assert_eq!(proposal.proposed, minutes(4), "{proposal:?}");
}

/// What never changes said of what always does that it may live for an hour.
#[tokio::test]
async fn routes_of_one_endpoint_adapt_each_by_its_own_answers() {
    let (cache, clock) = larder::testing::cache();
    let calls = Calls::default();
    let list = cache.layer(Policy::ttl(hours(1)));
    let one = cache.layer(Policy::ttl(seconds(5)).adaptive(seconds(1)..=hours(1)));
    let changing = move || async move { calls.count().to_string() };
    let app = Router::new()
        .route("/users", on_get(|| async { "[]" }).layer(list))
        .route("/users/{id}", on_get(changing).layer(one));
    for _ in 0..50 {
        get(&app, "/users").await;
        cache.idle().await;
        clock.advance(minutes(61));
    }
    assert_eq!(ttl(&app, &cache, "/users/1").await, 5);
    for _ in 0..50 {
        get(&app, "/users/1").await;
        cache.idle().await;
        clock.advance(seconds(6));
    }
    assert_eq!(ttl(&app, &cache, "/users/2").await, 1);
    let proposals = cache.ttl_proposals();
    let seen: Vec<_> = proposals
        .iter()
        .map(|p| (&*p.endpoint, p.changed > 0))
        .collect();
    assert_eq!(seen, [("users", true), ("users", false)], "{proposals:?}");
}

/// Policies whose TTL is another each time they are made, of which none adapts.
#[tokio::test]
async fn many_policies_of_one_endpoint_leave_one_that_adapts_alone() {
    let (cache, clock) = larder::testing::cache();
    let mut app = Router::new();
    for n in 0..20 {
        let layer = cache.layer(Policy::ttl(seconds(60 + n)).endpoint("users"));
        app = app.route(
            &format!("/users/of/{n}"),
            on_get(|| async { "" }).layer(layer),
        );
    }
    let adapts = cache.layer(Policy::ttl(seconds(5)).adaptive(seconds(1)..=minutes(1)));
    let app = app.route("/users", on_get(|| async { "[]" }).layer(adapts));
    for n in 0..20 {
        get(&app, &format!("/users/of/{n}")).await;
    }
    for _ in 0..50 {
        get(&app, "/users").await;
        cache.idle().await;
        clock.advance(minutes(2));
    }
    assert_eq!(ttl(&app, &cache, "/users").await, 60);
}

#[tokio::test]
async fn what_was_invalidated_does_not_count_as_changed() {
    let (cache, clock) = larder::testing::cache();
    let app = app(&cache, || Policy::ttl(hours(1)));
    for _ in 0..30 {
        get(&app, "/changing/1").await;
        clock.advance(Duration::from_secs(1));
        cache.invalidate(tag("all")).await.unwrap();
    }
    assert!(
        cache.ttl_proposals().is_empty(),
        "{:?}",
        cache.ttl_proposals()
    );
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let (cache, _clock) = larder::testing::cache();
    let ttl = || Policy::ttl(minutes(1));
    for policy in [
        ttl().adaptive(minutes(2)..=minutes(1)),
        ttl().adaptive(Duration::ZERO..=minutes(1)),
        Policy::http().adaptive(minutes(1)..=minutes(2)),
        ttl().adaptive(minutes(2)..=minutes(3)), // it would not begin with its TTL
        ttl().adaptive(seconds(1)..=seconds(30)),
    ] {
        let error = cache.try_layer(policy).unwrap_err();
        assert_eq!(error.setting(), "adaptive", "{error}");
    }
    let table: larder::config::Config =
        toml::from_str("[routes]\ndefault = { ttl = \"1m\", adaptive = [\"30s\", 3600] }").unwrap();
    assert!(cache.try_routes(table.routes().unwrap()).is_ok());
}

/// It was cut down to the bound, and nobody heard of that.
#[test]
fn a_ttl_of_the_environment_that_lies_beyond_the_bounds_is_told() {
    let (cache, _clock) = larder::testing::cache();
    let rows = "[routes.paths]\n\"/a\" = { ttl = \"1m\", adaptive = [\"30s\", \"10m\"] }";
    let table: larder::config::Config = toml::from_str(rows).unwrap();
    let table = table.with_vars([("CACHE_TTL_A", "1h")]).unwrap();
    let error = cache.try_routes(table.routes().unwrap()).unwrap_err();
    assert_eq!(error.setting(), "route \"/a\": adaptive");
    assert!(error.to_string().contains("3600s"), "{error}");
}
