//! What lies in Redis, and what becomes of it.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::put;
use larder::values::ValuesBuilder;
use larder::{
    Cache, MIB, Outcome, Policy, Refusal, Selector, everything, key, minutes, namespace, pattern,
    tag,
};
use tower::ServiceExt;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, tiers};
use crate::{Character, NotThere, Source, characters, read, settings};

fn cache(redis: &Redis) -> Cache {
    let builder = Cache::builder().redis(redis.url()).lease(SHORT);
    builder.operation_timeout(PATIENT).build().unwrap()
}

#[tokio::test]
async fn a_value_lies_under_its_literal_name() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let source = Source::default();
    characters(&cache)
        .insert("char_123", source.make("a"))
        .await;
    assert_eq!(redis.entries(), ["character:char_123"]);
    let ttl: i64 = redis.command(&["PTTL", "character:char_123"]);
    assert!((290_000..=300_000).contains(&ttl), "{ttl}");
    let versioned = settings(&cache).version("2").build().unwrap();
    assert!(!versioned.contains("char_123").await);
    versioned.insert("char_123", source.make("b")).await;
    assert_eq!(
        redis.entries(),
        ["character:char_123", "character:char_123:v2"]
    );
    assert_eq!(versioned.key("char_123").as_str(), "character:char_123:v2");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_counted_miss_and_removed() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let strings = cache.values::<String>("thing").build().unwrap();
    strings.insert("a", "no number".to_owned()).await;
    let other = Cache::builder().redis(redis.url()).lease(SHORT);
    let other = other.operation_timeout(PATIENT).build().unwrap();
    let numbers = other.values::<u64>("thing").build().unwrap();
    assert!(numbers.get("a").await.is_none());
    assert_eq!(other.stats().corrupt, 1);
    other.idle().await; // nobody waits for that
    assert!(redis.entries().is_empty());
    redis.command::<()>(&["SET", "thing:b", "LRDR and no more"]);
    assert!(numbers.get("b").await.is_none());
    assert_eq!(other.stats().corrupt, 2);
    other.idle().await;
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn an_invalidation_reaches_values_in_every_process() {
    let redis = Redis::start();
    let process = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder
            .lease(SHORT)
            .operation_timeout(PATIENT)
            .build()
            .unwrap()
    };
    let (one, two) = (process(), process());
    let namespace = |cache: &Cache| {
        let builder = settings(cache).tag("all").ttl(minutes(9));
        let tags =
            |key: &str, value: &Character| vec![format!("character:{key}"), value.id.clone()];
        builder.tags_of(tags).build().unwrap()
    };
    let (mine, theirs) = (namespace(&one), namespace(&two));
    let source = Source::default();
    for selector in [
        tag("character:a"),
        tag("ada"),
        tag("all"),
        key("character:a"),
        "character:*".into(),
        "character:[ab]".into(),
        everything(),
    ] {
        mine.insert("a", source.make("ada")).await;
        assert!(theirs.get("a").await.is_some());
        one.invalidate(&selector).await.unwrap();
        assert!(theirs.get("a").await.is_none(), "{selector:?}");
        assert!(mine.get("a").await.is_none(), "{selector:?}");
        assert!(redis.entries().is_empty(), "{selector:?}");
    }
    for refused in ["characters:*", "character", "other:*", "*"] {
        assert!(one.invalidate(refused).await.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn without_redis_the_application_works_uncached() {
    let redis = Redis::start();
    let cache = cache(&redis);
    drop(redis);
    let (values, source) = (characters(&cache), Source::default());
    assert!(values.get("a").await.is_none());
    assert_eq!(read(&values, &source, "a").await.run, 1);
    assert_eq!(read(&values, &source, "a").await.run, 2);
    let failing = values.get_or_try_insert_with("a", || async { Err(NotThere("a")) });
    assert_eq!(
        failing.await.unwrap_err(),
        NotThere("a"),
        "the loader's own error alone"
    );
    assert_eq!(values.insert("a", source.make("a")).await.run, 3);
    assert_eq!(
        values.get_many(["a", "b"]).await.iter().flatten().count(),
        0
    );
    assert!(values.peek("a").await.is_none() && values.ttl("a").await.is_none());
    assert!(values.remove("a").await.is_err(), "nobody could be told");
}

#[tokio::test]
async fn values_stay_within_the_memory_tiers_bound() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let values = cache
        .values::<Vec<u8>>("blob")
        .weigh(Vec::len)
        .build()
        .unwrap();
    for n in 0..200 {
        values.insert(n.to_string(), vec![7; 20_000]).await;
        let stats = cache.stats();
        assert!(stats.memory_bytes <= stats.memory_capacity, "{stats:?}");
    }
    let stats = cache.stats();
    assert!(
        stats.memory_entries < 60,
        "{} of 20 kB",
        stats.memory_entries
    );
    let light = cache
        .values::<Vec<u8>>("light")
        .weigh(|_| 0)
        .build()
        .unwrap();
    for n in 0..200 {
        light.insert(n.to_string(), vec![7; 20_000]).await;
    }
    assert!(
        cache.stats().memory_entries > 100,
        "the weight is the user's word"
    );
}

#[tokio::test]
async fn what_is_made_stale_is_served_while_it_is_renewed() {
    for tier in tiers().await {
        let builder = settings(&tier.cache).stale_while_revalidate(minutes(1));
        let (values, source) = (builder.build().unwrap(), Source::default());
        read(&values, &source, "a").await;
        tier.cache.idle().await;
        tier.cache
            .invalidate(pattern("character:*").soft())
            .await
            .unwrap();
        let stale = read(&values, &source, "a").await;
        assert_eq!(stale.run, 1, "{}", tier.name);
        assert!(
            matches!(stale.outcome(), Outcome::Stale { .. }),
            "{}",
            tier.name
        );
        tier.cache.idle().await;
        assert_eq!(read(&values, &source, "a").await.run, 2, "{}", tier.name);
    }
}

#[tokio::test]
async fn a_write_on_a_route_invalidates_values_that_it_names() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let policy = Policy::none().invalidates("character:{id}");
        let put = axum::routing::put(|| async { "written" });
        let app = axum::Router::new().route("/{id}", put.layer(tier.cache.layer(policy)));
        values.insert("a", source.make("a")).await;
        values.insert("b", source.make("b")).await;
        let request = crate::support::request(axum::http::Method::PUT, "/a", &[]);
        crate::support::send(&app, request).await;
        tier.cache.idle().await;
        assert!(!values.contains("a").await, "{}", tier.name);
        assert!(values.contains("b").await, "{}", tier.name);
    }
}

#[tokio::test]
async fn tenants_have_values_of_their_own() {
    let redis = Redis::start();
    let builder = Cache::builder()
        .memory(16 * MIB)
        .redis(redis.url())
        .lease(SHORT);
    let builder = builder.tenant(|_| None).operation_timeout(PATIENT);
    let cache = builder.build().unwrap();
    let of = |tenant: &str| settings(&cache).tag("all").tenant(tenant).build().unwrap();
    let (one, two, source) = (of("one"), of("two"), Source::default());
    one.insert("a", source.make("one's")).await;
    assert!(!two.contains("a").await);
    two.insert("a", source.make("two's")).await;
    assert_eq!(one.get("a").await.unwrap().id, "one's");
    assert_eq!(redis.entries().len(), 2);
    cache.invalidate_for("one", tag("all")).await.unwrap();
    assert!(!one.contains("a").await && two.contains("a").await);
    let erased = cache.erase_for("two", tag("all")).await.unwrap();
    assert_eq!(erased.removed(), 1);
    assert!(redis.entries().is_empty() && !two.contains("a").await);
}

/// A request's tenant is no reason to leave values alone that its route names: they are nobody's.
#[tokio::test]
async fn what_a_route_declares_reaches_values_whose_ever_request_it_is() {
    let cache = Cache::builder().memory(MIB);
    let cache = cache.tenant(|_| Some("one".into())).build().unwrap();
    let values = settings(&cache).tag("of:a").build().unwrap();
    let source = Source::default();
    let declared: [Selector; 4] = [
        key("character:{id}"),
        "character:*".into(),
        namespace("character"),
        tag("of:{id}"),
    ];
    for selector in declared {
        values.insert("a", source.make("a")).await;
        let write = put(|| async {}).layer(cache.invalidates(&selector));
        let app = Router::new().route("/characters/{id}", write);
        let request = Request::put("/characters/a").body(Body::empty()).unwrap();
        app.oneshot(request).await.unwrap();
        assert!(!values.contains("a").await, "{selector:?}");
    }
}

/// A key that a route names is nobody's or the tenant's who asks, whatever stands in a path.
#[tokio::test]
async fn a_key_that_a_route_declares_reaches_no_other_tenants_value() {
    let cache = Cache::builder().memory(MIB);
    let cache = cache.tenant(|_| Some("one".into())).build().unwrap();
    let of = |tenant: &str| settings(&cache).tenant(tenant).build().unwrap();
    let (one, two, source) = (of("one"), of("two"), Source::default());
    two.insert("a", source.make("two's")).await;
    let listed = cache.memory_entries("character:*", None).unwrap().entries;
    let (_, twos) = listed[0].key.as_str().rsplit_once(':').unwrap();
    one.insert("a", source.make("one's")).await;
    for id in ["a", twos] {
        let write = put(|| async {}).layer(cache.invalidates(key("character:{id}")));
        let app = Router::new().route("/characters/{id}", write);
        let request = Request::put(format!("/characters/{id}"));
        let request = request.body(Body::empty()).unwrap();
        app.oneshot(request).await.unwrap();
        let there = (one.contains("a").await, two.contains("a").await);
        assert_eq!(there, (false, true), "{id}");
    }
}

/// Where there are no tenants, a tag in one's name is no other's.
#[tokio::test]
async fn a_tag_in_the_name_of_a_tenant_that_no_cache_has_reaches_nothing() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let values = settings(&cache).tag("all").build().unwrap();
    values.insert("a", Source::default().make("a")).await;
    let gone = cache.invalidate_for("nobody", tag("all")).await.unwrap();
    assert_eq!((gone.removed(), values.contains("a").await), (0, true));
}

/// Nobody else could: a tag is always given in a tenant's name.
#[tokio::test]
async fn a_tag_in_a_tenants_name_reaches_values_that_are_nobodys() {
    let redis = Redis::start();
    let shared = Cache::builder().redis(redis.url()).lease(SHORT);
    for builder in [
        Cache::builder().memory(MIB),
        shared.operation_timeout(PATIENT),
    ] {
        let cache = builder.tenant(|_| None).build().unwrap();
        let of = |settings: ValuesBuilder<Character>| settings.tag("all").build().unwrap();
        let (nobodys, source) = (of(settings(&cache)), Source::default());
        let two = of(settings(&cache).tenant("two"));
        two.insert("a", source.make("two's")).await;
        nobodys.insert("a", source.make("nobody's")).await;
        let gone = cache.invalidate_for("one", tag("all")).await.unwrap();
        assert_eq!((gone.removed(), nobodys.contains("a").await), (1, false));
        nobodys.insert("a", source.make("nobody's")).await;
        let gone = cache.erase_for("one", tag("all")).await.unwrap();
        assert_eq!((gone.removed(), nobodys.contains("a").await), (1, false));
        assert!(two.contains("a").await);
    }
}

#[tokio::test]
async fn values_are_listed_and_counted_by_their_namespace() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let (values, source) = (characters(&cache), Source::default());
    read(&values, &source, "a").await;
    cache.idle().await;
    read(&values, &source, "a").await;
    let listed = cache.entries("character:*", None).await.unwrap();
    let names: Vec<_> = listed
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(names, ["character:a"]);
    let stats = cache.endpoint_stats();
    let mine = stats
        .iter()
        .find(|one| one.endpoint == "character")
        .unwrap();
    assert_eq!(
        (mine.stats.hits_redis, mine.stats.misses, mine.stats.stores),
        (1, 1, 1)
    );
}

// Redis gave back as damaged what a policy let live longer
#[tokio::test]
async fn the_longest_lives_come_back_from_the_store() {
    let century = larder::seconds(100 * 365 * 86_400);
    for tiers in tiers().await {
        let values = tiers.cache.values::<u8>("lasting").ttl(century);
        let values = values.stale_if_error(century).build().unwrap();
        let load = || async { Ok::<_, NotThere>(1) };
        values.get_or_try_insert_with("x", load).await.unwrap();
        tiers.cache.idle().await;
        let again = values.get_or_try_insert_with("x", load).await.unwrap();
        assert!(again.outcome().is_hit(), "{}", tiers.name);
    }
}

/// As one says that nothing of it is to be kept in memory.
#[tokio::test]
async fn a_weight_beyond_all_bounds_is_no_trouble_of_the_callers() {
    let (cache, _clock) = larder::testing::cache();
    for (name, weight) in [
        ("most", usize::MAX),
        ("half", usize::MAX / 2),
        ("large", 1 << 40),
    ] {
        let values = cache.values::<Character>(name).weigh(move |_| weight);
        let values = values.build().unwrap();
        let read = read(&values, &Source::default(), "a").await;
        assert_eq!(read.run, 1, "{name}");
        let stored = Err(Refusal::NoRoom);
        let told = matches!(read.outcome(), Outcome::Miss { stored: it, .. } if it == stored);
        assert!(told, "{:?}", read.outcome());
        assert!(!values.contains("a").await, "{name}");
    }
    let stats = cache.stats();
    assert!(stats.memory_bytes <= stats.memory_capacity);
    assert_eq!(stats.stores, 0);
}

#[tokio::test]
async fn what_a_value_was_encoded_to_takes_no_room_in_memory() {
    let cache = Cache::builder().memory(MIB).build().unwrap();
    let values = cache.values::<String>("texts").build().unwrap();
    for (name, bytes) in [("large", 480_000), ("small", 300_000)] {
        values.insert(name, "x".repeat(bytes)).await;
        assert!(values.contains(name).await, "{bytes}");
        cache.invalidate(larder::namespace("texts")).await.unwrap();
    }
    assert_eq!(cache.stats().refusals, 0);
}
