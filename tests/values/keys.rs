//! Keys: of parts, of data, of one content, hidden.

use std::sync::Arc;

use larder::values::{Content, JsonKey, KeyParts, Postcard, ValueKey};
use larder::{Cache, MIB, Outcome, minutes, namespace, tag};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, eventually, tiers};
use crate::{Character, NotThere, Source, characters, settings};

fn cache(redis: &Redis) -> Cache {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    builder
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .build()
        .unwrap()
}

fn generation(from: &str, to: Option<&str>) -> ValueKey<'static> {
    let key = KeyParts::new('|').part("type", "text_to_video");
    let key = key.part("from", from).part_or("to", to, "none");
    key.version(1).build().unwrap()
}

#[tokio::test]
async fn two_keys_of_one_content_share_one_load_and_one_value() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let content = JsonKey::of(&json!({"prompt": "p"})).content().unwrap();
        let (one, two) = (
            generation("1", None).content(content),
            generation("2", None).content(content),
        );
        let gate = Arc::new(Semaphore::new(0));
        let ask = |key: &ValueKey<'static>| {
            let (values, source, gate) = (values.clone(), source.clone(), Arc::clone(&gate));
            let key = key.clone();
            tokio::spawn(async move {
                let load = move || async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, NotThere>(source.make("a"))
                };
                values.get_or_try_insert_with(key, load).await.unwrap()
            })
        };
        let first = ask(&one);
        eventually("a flight", || async { tier.cache.stats().flights == 1 }).await;
        let second = ask(&two);
        gate.add_permits(1);
        assert_eq!(
            (first.await.unwrap().run, second.await.unwrap().run),
            (1, 1)
        );
        tier.cache.idle().await;
        for key in [&one, &two] {
            assert!(values.peek(key).await.is_some(), "{}", tier.name);
            let found = values.get(key).await.unwrap();
            assert!(
                matches!(found.outcome(), Outcome::Hit { .. }),
                "{}",
                tier.name
            );
        }
        if let Some(redis) = &tier.redis {
            let alias = format!("character:hash:{}", content.to_hex());
            assert_eq!(
                redis.entries(),
                [alias, format!("character:{}", one.as_str())]
            );
        }
        let other = generation("2", None).content(Content::of("other"));
        assert!(
            values.peek(&other).await.is_none(),
            "what it is made of counts"
        );
        assert!(
            values.remove(&two).await.unwrap().removed() >= 1,
            "{}",
            tier.name
        );
        assert!(
            values.peek(&one).await.is_none(),
            "{}: it was one value",
            tier.name
        );
        assert_eq!(source.runs(), 1);
    }
}

#[tokio::test]
async fn processes_share_the_load_of_one_content() {
    let redis = Redis::start();
    let (a, b) = (cache(&redis), cache(&redis));
    let content = Content::of("the same");
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
    let ask = |cache: &Cache, key: &'static str| {
        let (values, source, gate) = (characters(cache), source.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let load = move || async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, NotThere>(source.make("a"))
            };
            let key = ValueKey::new(key).content(content);
            values.get_or_try_insert_with(key, load).await.unwrap()
        })
    };
    let first = ask(&a, "x");
    let lock = format!("api:!lock:{{character:hash:{}}}", content.to_hex());
    eventually("a lease", || async { redis.keys().contains(&lock) }).await;
    let second = ask(&b, "y");
    eventually("a waiter", || async { redis.waiters() == 1 }).await;
    gate.add_permits(1);
    assert_eq!(
        (first.await.unwrap().run, second.await.unwrap().run),
        (1, 1)
    );
    a.idle().await;
    let third = characters(&cache(&redis));
    let found = third.get(ValueKey::new("z").content(content)).await;
    assert_eq!(found.unwrap().run, 1, "by what leads to it");
}

#[tokio::test]
async fn nothing_of_a_hidden_key_can_be_read_in_redis() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let hidden = settings(&cache).hashed_keys().tag("tagged:4711");
    let hidden = hidden
        .tags_of(|key, _| vec![format!("born:{key}")])
        .build()
        .unwrap();
    let source = Source::default();
    let key = || ValueKey::new("1984-05-17T03:12").seed("user:9090");
    let content = Content::of("what it is made of");
    let made = ValueKey::new("1984").seed("user:9090").content(content);
    for key in [key(), made, "1984-05-17T03:12".into()] {
        hidden.insert(&key, source.make("x")).await;
        assert_eq!(hidden.get(&key).await.unwrap().id, "x");
    }
    let everything: Vec<String> = redis.command(&["KEYS", "*"]);
    let mut seen = everything.join("\n").into_bytes();
    for name in &everything {
        let kind: String = redis.command(&["TYPE", name]);
        if kind == "string" {
            seen.extend(redis.command::<Vec<u8>>(&["GET", name]));
        } else {
            let dump: Vec<u8> = redis.command(&["DUMP", name]);
            seen.extend(dump);
        }
    }
    assert!(
        everything
            .iter()
            .filter(|name| name.starts_with("character:"))
            .count()
            >= 4
    );
    for secret in ["1984-", "-05-17", "user:", ":9090", "tagged", "born:"] {
        let found = seen
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret}");
    }
    cache.invalidate(tag("user:9090")).await.unwrap();
    assert!(hidden.get(key()).await.is_none());
    assert!(hidden.contains("1984-05-17T03:12").await);
}

#[tokio::test]
async fn a_seeds_values_are_its_own_whatever_the_texts() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let keys = [
            ValueKey::new("a|b").seed("c"),
            ValueKey::new("a").seed("b|c"),
            ValueKey::new("a|b|c"),
            ValueKey::new("x").seed("1").content(Content::of("c")),
            ValueKey::new("x").seed("2").content(Content::of("c")),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!values.contains(key).await, "{} {at}", tier.name);
            values.insert(key, source.make("x")).await;
        }
        assert!(
            values
                .get(&keys[4])
                .await
                .is_some_and(|value| value.run == 5)
        );
        assert!(
            values
                .get(&keys[3])
                .await
                .is_some_and(|value| value.run == 4)
        );
    }
}

#[tokio::test]
async fn a_namespace_goes_in_one_step() {
    for tier in tiers().await {
        let (values, source) = (characters(&tier.cache), Source::default());
        let others = tier.cache.values::<Character>("other").build().unwrap();
        for round in 0..2 {
            values.insert("a", source.make("a")).await;
            others.insert("a", source.make("a")).await;
            match round {
                0 => values.clear().await.unwrap(),
                _ => tier.cache.invalidate(namespace("character")).await.unwrap(),
            };
            assert!(!values.contains("a").await, "{}", tier.name);
            assert!(others.contains("a").await, "{}", tier.name);
        }
        assert!(tier.cache.invalidate(namespace("nothing")).await.is_err());
    }
}

#[tokio::test]
async fn values_are_written_as_the_codec_says() {
    let redis = Redis::start();
    let source = Source::default();
    let compact = |cache: &Cache| settings(cache).codec(Postcard).build().unwrap();
    compact(&cache(&redis))
        .insert("a", source.make("ada"))
        .await;
    let found = compact(&cache(&redis)).get("a").await;
    assert_eq!(found.unwrap().id, "ada");
    let frame: Vec<u8> = redis.command(&["GET", "character:a"]);
    assert!(!frame.windows(4).any(|part| part == b"\"id\""));
    let json = characters(&cache(&redis));
    assert!(
        json.get("a").await.is_none(),
        "another format is another value"
    );
}

#[tokio::test]
async fn a_key_under_which_nothing_is_cached_loads_each_time() {
    let (cache, _) = larder::testing::cache();
    let values = cache.values::<u64>("n").ttl(minutes(1)).build().unwrap();
    for n in 1..3 {
        let load = move || async move { Ok::<_, NotThere>(n) };
        let value = values.get_or_try_insert_with(ValueKey::never(), load).await;
        assert_eq!(*value.unwrap(), n);
    }
    assert_eq!(cache.stats().bypasses, 2);
}
