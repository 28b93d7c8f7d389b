//! Reading, writing, removing.

use futures_util::FutureExt;
use larder::values::{Sharing, Tiers, ValueKey};
use larder::{Cache, MIB, Outcome, minutes, seconds, tag};

use crate::support::{PATIENT, SHORT, tiers};
use crate::{NotThere, Source, about, characters, pass, read, settings};

#[tokio::test]
async fn a_value_is_loaded_once_and_found_afterwards() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let first = read(&values, &source, "char_123").await;
        assert!(!first.is_cached() && matches!(first.outcome(), Outcome::Miss { .. }));
        tier.cache.idle().await;
        pass(&tier.cache, &tier.clock, seconds(10)).await;
        let second = read(&values, &source, "char_123").await;
        assert!(second.is_cached(), "{}: {:?}", tier.name, second.outcome());
        assert_eq!((second.run, second.id.as_str()), (1, "char_123"));
        // by Redis' own clock, to some milliseconds
        assert_eq!(about(second.age()), 10, "{}", tier.name);
        assert_eq!(second.ttl().map(about), Some(290));
        assert_eq!(values.get("char_123").await.unwrap().run, 1);
        assert!(values.get("other").await.is_none());
        pass(&tier.cache, &tier.clock, minutes(5)).await;
        assert!(values.get("char_123").await.is_none(), "{}", tier.name);
        assert_eq!(source.runs(), 1);
        let stats = tier.cache.endpoint_stats();
        let mine = stats.iter().find(|one| one.endpoint == "character");
        let stats = &mine.unwrap().stats;
        assert_eq!((stats.misses, stats.hits_memory + stats.hits_redis), (3, 2));
    }
}

#[tokio::test]
async fn a_loaders_error_comes_back_as_it_is_and_is_not_stored() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let failing = values.get_or_try_insert_with("x", || async { Err(NotThere("x")) });
        assert_eq!(failing.await.unwrap_err(), NotThere("x"));
        assert!(!values.contains("x").await);
        assert_eq!(read(&values, &source, "x").await.run, 1, "{}", tier.name);
    }
}

#[tokio::test]
async fn what_is_inserted_is_found_and_what_is_removed_is_not() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let inserted = values.insert("a", source.make("a")).await;
        assert!(!inserted.is_cached());
        assert!(values.contains("a").await, "{}", tier.name);
        assert_eq!(values.ttl("a").await.map(about), Some(300));
        values.insert("a", source.make("a")).await;
        assert_eq!(values.get("a").await.unwrap().run, 2);
        let removed = values.remove("a").await.unwrap();
        assert_eq!(removed.removed(), 1, "{}", tier.name);
        assert!(!values.contains("a").await && values.ttl("a").await.is_none());
        assert_eq!(values.remove("a").await.unwrap().removed(), 0);
    }
}

#[tokio::test]
async fn a_look_counts_nothing_and_fills_nothing() {
    let redis = crate::support::redis_server::Redis::start();
    let cache = || {
        let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
        builder
            .lease(SHORT)
            .operation_timeout(PATIENT)
            .build()
            .unwrap()
    };
    let (writer, reader) = (cache(), cache());
    characters(&writer)
        .insert("a", Source::default().make("a"))
        .await;
    let values = characters(&reader);
    let peeked = values.peek("a").await.unwrap();
    assert_eq!(peeked.id, "a");
    assert!(values.peek("b").await.is_none());
    let stats = reader.stats();
    assert_eq!((stats.requests(), stats.memory_entries), (0, 0));
    values.get("a").await.unwrap();
    assert_eq!(reader.stats().memory_entries, 1, "a hit in Redis is kept");
}

#[tokio::test]
async fn many_are_found_at_once_in_their_order() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let ids: Vec<String> = (0..200).map(|n| format!("char_{n}")).collect();
        for id in ids.iter().filter(|id| !id.ends_with('7')) {
            values.insert(id, source.make(id)).await;
        }
        let (asks, all) = (values.clone(), ids.clone());
        // in a task, as handlers are
        let asked = tokio::spawn(async move { asks.get_many(&all).await });
        for (id, found) in ids.iter().zip(asked.await.unwrap()) {
            let there = found.map(|value| value.id.clone());
            assert_eq!(there.as_ref(), (!id.ends_with('7')).then_some(id));
        }
    }
}

#[tokio::test]
async fn who_shares_is_told_by_the_namespace() {
    for tier in tiers().await {
        let source = Source::default();
        let never = settings(&tier.cache)
            .sharing(Sharing::Never)
            .build()
            .unwrap();
        for run in 1..=2 {
            let value = read(&never, &source, "x").await;
            assert_eq!(value.run, run, "{}", tier.name);
            assert!(matches!(value.outcome(), Outcome::Bypass { .. }));
        }
        let seeded = settings(&tier.cache)
            .sharing(Sharing::PerSeed)
            .build()
            .unwrap();
        assert_eq!(read(&seeded, &source, "x").await.run, 3);
        assert_eq!(
            read(&seeded, &source, "x").await.run,
            4,
            "nobody knows whose"
        );
        let of = |player: &'static str| ValueKey::new("x").seed(player);
        for (player, run) in [("player:1", 5), ("player:2", 6), ("player:1", 5)] {
            let source = source.clone();
            let load = move || source.load("x");
            let value = seeded
                .get_or_try_insert_with(of(player), load)
                .await
                .unwrap();
            assert_eq!(value.run, run, "{} {player}", tier.name);
            tier.cache.idle().await;
        }
        tier.cache.invalidate(tag("player:1")).await.unwrap();
        assert!(!seeded.contains(of("player:1")).await, "a seed is a tag");
        assert!(seeded.contains(of("player:2")).await);
    }
}

#[tokio::test]
async fn a_cache_that_is_off_loads_and_stores_nothing() {
    let (cache, source) = (Cache::disabled(), Source::default());
    let values = characters(&cache);
    assert_eq!(read(&values, &source, "a").await.run, 1);
    assert_eq!(read(&values, &source, "a").await.run, 2);
    values.insert("a", source.make("a")).await;
    assert!(values.get("a").await.is_none());
}

#[test]
fn a_setting_that_cannot_work_is_named() {
    let (cache, _) = larder::testing::cache();
    let named = |builder: larder::values::ValuesBuilder<crate::Character>| {
        builder.build().unwrap_err().setting().to_owned()
    };
    let ms = std::time::Duration::from_micros(1);
    assert_eq!(named(settings(&cache).ttl(ms)), "ttl");
    assert_eq!(named(settings(&cache).memory_ttl(ms)), "memory_ttl");
    assert_eq!(named(settings(&cache).jitter(1.0)), "jitter");
    assert_eq!(named(settings(&cache).tag("")), "tag");
    assert_eq!(named(settings(&cache).max_size(0)), "max_size");
    assert_eq!(named(settings(&cache).version("a b")), "version");
    assert_eq!(named(settings(&cache).tiers(Tiers::Redis)), "tiers");
    for name in ["", "api", "a b", "a:"] {
        assert_eq!(named(cache.values(name)), "values", "{name:?}");
    }
    let _kept = settings(&cache).build().unwrap();
    let other = cache.values::<String>("character").build().unwrap_err();
    assert_eq!(other.setting(), "values");
}

#[tokio::test]
async fn a_hit_in_memory_allocates_nothing() {
    let (cache, _) = larder::testing::cache();
    let (values, source) = (characters(&cache), Source::default());
    values.insert("char_123", source.make("a")).await;
    let hit = || {
        let found = values.get("char_123").now_or_never();
        assert!(found.flatten().is_some());
        let load = || async { Err::<crate::Character, _>(NotThere("it is stored")) };
        let found = values.get_or_try_insert_with("char_123", load);
        assert!(found.now_or_never().is_some_and(|found| found.is_ok()));
    };
    (0..64).for_each(|_| hit()); // one of them sets the statistics going
    let counted = allocation_counter::measure(|| (0..100).for_each(|_| hit()));
    assert_eq!(counted.count_total, 0);
}
