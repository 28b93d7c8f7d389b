//! What is not fresh, not valid, or not to be stored.

use larder::values::Tiers;
use larder::{Cache, Cause, Fault, MIB, Outcome, Staleness, days, minutes, seconds};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, tiers};
use crate::{NotThere, Source, about, characters, pass, read, settings};

#[tokio::test]
async fn what_is_stale_is_served_and_renewed_behind_its_callers_back() {
    for tier in tiers().await {
        let builder = settings(&tier.cache).stale_while_revalidate(minutes(1));
        let (values, source) = (builder.build().unwrap(), Source::default());
        read(&values, &source, "a").await;
        tier.cache.idle().await;
        pass(&tier.cache, &tier.clock, minutes(5) + seconds(10)).await;
        let stale = read(&values, &source, "a").await;
        let why = Staleness::WhileRevalidating;
        assert!(matches!(stale.outcome(), Outcome::Stale { why: w, .. } if w == why));
        assert_eq!((stale.run, stale.is_cached()), (1, true));
        tier.cache.idle().await;
        let renewed = read(&values, &source, "a").await;
        assert_eq!((renewed.run, source.runs()), (2, 2), "{}", tier.name);
        assert!(
            matches!(renewed.outcome(), Outcome::Hit { .. }),
            "{}",
            tier.name
        );
    }
}

#[tokio::test]
async fn what_is_stale_stands_in_for_a_loader_that_fails_then_the_fallback() {
    for tier in tiers().await {
        let builder = settings(&tier.cache).stale_if_error(minutes(1));
        let builder = builder.fallback(|key| {
            let id = format!("template of {key}");
            Some(crate::Character { id, run: 0 })
        });
        let (values, source) = (builder.build().unwrap(), Source::default());
        read(&values, &source, "a").await;
        tier.cache.idle().await;
        let fails = || values.get_or_try_insert_with("a", || async { Err(NotThere("a")) });
        pass(&tier.cache, &tier.clock, minutes(5) + seconds(10)).await;
        let stale = fails().await.unwrap();
        let why = Staleness::IfError;
        assert!(matches!(stale.outcome(), Outcome::Stale { why: w, .. } if w == why));
        assert_eq!(stale.run, 1);
        let mut stats = tier.cache.endpoint_stats().into_iter();
        let own = stats.find(|one| one.endpoint == "character").unwrap();
        let latency = own.stats.latency;
        assert_eq!(
            (latency.hit.count, latency.miss.count),
            (0, 2),
            "it has waited"
        );
        pass(&tier.cache, &tier.clock, minutes(1)).await;
        let fallback = fails().await.unwrap();
        assert_eq!(fallback.id, "template of a");
        assert!(fallback.is_fallback() && !fallback.is_cached());
        assert!(!values.contains("a").await, "a fallback is not stored");
        let hidden = tier.cache.stats().faults.get(Fault::HandlerHidden);
        assert_eq!(hidden, 2, "that it fails is counted");
        assert_eq!(read(&values, &source, "a").await.run, 2);
    }
}

#[tokio::test]
async fn what_is_not_valid_any_more_is_replaced() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        read(&values, &source, "a").await;
        tier.cache.idle().await;
        let ask = |wanted: usize| {
            let (values, source) = (values.clone(), source.clone());
            let check = move |value: &crate::Character| value.run == wanted;
            async move {
                let load = move || source.load("a");
                let ask = values.get_valid_or_try_insert_with("a", check, load);
                ask.await.unwrap()
            }
        };
        assert!(ask(1).await.is_cached(), "{}", tier.name);
        let replaced = ask(2).await;
        assert_eq!(
            (replaced.run, replaced.is_cached()),
            (2, false),
            "{}",
            tier.name
        );
        let cause = match replaced.outcome() {
            Outcome::Miss { cause, .. } => cause,
            other => panic!("{}: {other:?}", tier.name),
        };
        assert_eq!(
            cause,
            Cause::Request,
            "{}: nobody has invalidated it",
            tier.name
        );
        tier.cache.idle().await;
        assert!(ask(2).await.is_cached());
        assert!(
            values
                .get_valid("a", |value| value.run == 1)
                .await
                .is_none()
        );
        let never = settings(&tier.cache).valid_if(|_, _| panic!("a check's own"));
        assert!(
            never.build().unwrap().get("a").await.is_none(),
            "{}",
            tier.name
        );
    }
}

#[tokio::test]
async fn what_does_not_suit_one_caller_is_there_for_the_others() {
    for tier in tiers().await {
        let values = characters(&tier.cache);
        let value = Source::default().make("a");
        values.insert("a", value).await;
        let never = settings(&tier.cache).valid_if(|_, _| false);
        let never = never.build().unwrap();
        assert!(values.get_valid("a", |_| false).await.is_none());
        assert!(never.peek("a").await.is_none() && !never.contains("a").await);
        assert!(never.ttl("a").await.is_none() && never.get("a").await.is_none());
        assert!(values.get("a").await.is_some(), "{}", tier.name);
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_served_and_not_stored() {
    for tier in tiers().await {
        let builder = settings(&tier.cache).store_if(|_, value| value.run > 1);
        let (values, source) = (builder.build().unwrap(), Source::default());
        let first = read(&values, &source, "a").await;
        assert!(!first.outcome().is_stored());
        assert!(!values.contains("a").await, "{}", tier.name);
        assert!(read(&values, &source, "a").await.outcome().is_stored());
        tier.cache.idle().await;
        assert_eq!(read(&values, &source, "a").await.run, 2);
        let small = settings(&tier.cache).max_size(10).build().unwrap();
        read(&small, &source, "large").await;
        assert!(!small.contains("large").await, "{}", tier.name);
        assert_eq!(tier.cache.stats().refusals, 2);
    }
}

#[tokio::test]
async fn each_tier_has_its_time_and_its_values() {
    let redis = Redis::start();
    let clock = larder::testing::ManualClock::new();
    let builder = Cache::builder()
        .memory(16 * MIB)
        .redis(redis.url())
        .lease(SHORT);
    let builder = builder.clock(std::sync::Arc::new(clock.clone()));
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    let both = settings(&cache)
        .ttl(days(30))
        .memory_ttl(days(7))
        .build()
        .unwrap();
    let source = Source::default();
    read(&both, &source, "a").await;
    cache.idle().await;
    let tier = |outcome| match outcome {
        Outcome::Hit { tier, .. } => tier,
        other => panic!("{other:?}"),
    };
    let mut gone = days(0);
    for (day, wanted) in [
        (6, larder::Tier::Memory),
        (8, larder::Tier::Redis),
        (14, larder::Tier::Memory),
        (16, larder::Tier::Redis),
    ] {
        pass(&cache, &clock, days(day) - gone).await;
        gone = days(day);
        let value = read(&both, &source, "a").await;
        assert_eq!(tier(value.outcome()), wanted, "{day} days");
        assert_eq!(about(value.age()), gone.as_secs());
    }
    let memory = settings(&cache).tiers(Tiers::Memory).build().unwrap();
    memory.insert("m", source.make("m")).await;
    assert_eq!(redis.entries(), ["character:a"]);
    assert_eq!(
        tier(memory.get("m").await.unwrap().outcome()),
        larder::Tier::Memory
    );
    let shared = settings(&cache).tiers(Tiers::Redis).build().unwrap();
    shared.insert("r", source.make("r")).await;
    for _ in 0..2 {
        assert_eq!(
            tier(shared.get("r").await.unwrap().outcome()),
            larder::Tier::Redis
        );
    }
    assert_eq!(source.runs(), 3);
}

#[tokio::test]
async fn a_value_that_took_long_is_renewed_before_it_ends() {
    let (cache, clock) = larder::testing::cache();
    let values = settings(&cache).build().unwrap();
    let source = Source::default();
    let slow = {
        let (source, clock) = (source.clone(), clock.clone());
        move || async move {
            clock.advance(minutes(30));
            Ok::<_, NotThere>(source.make("a"))
        }
    };
    values.get_or_try_insert_with("a", slow).await.unwrap();
    crate::support::eventually("an early renewal", || async {
        let value = read(&values, &source, "a").await;
        assert!(value.is_cached(), "its caller does not wait for it");
        cache.idle().await;
        source.runs() == 2
    })
    .await;
    let never = settings(&cache).early(false).build().unwrap();
    for _ in 0..100 {
        assert!(read(&never, &source, "a").await.is_cached());
    }
}

#[tokio::test]
async fn chance_shortens_a_time_to_live() {
    let (cache, _) = larder::testing::cache();
    let values = settings(&cache).jitter(0.5).build().unwrap();
    let source = Source::default();
    let mut lives = std::collections::BTreeSet::new();
    for n in 0..50 {
        let key = n.to_string();
        values.insert(&key, source.make("x")).await;
        lives.insert(values.ttl(&key).await.unwrap());
    }
    assert!(lives.len() > 10, "{lives:?}");
    assert!(
        lives
            .iter()
            .all(|life| (seconds(150)..=minutes(5)).contains(life))
    );
}
