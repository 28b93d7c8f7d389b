//! What lies in Redis, and what becomes of it.

use larder::{Cache, MIB, everything, key, minutes, tag};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT};
use crate::{Character, Source, characters, settings};

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
    assert!(redis.entries().is_empty());
    redis.command::<()>(&["SET", "thing:b", "anything"]);
    assert!(numbers.get("b").await.is_none());
    assert_eq!(other.stats().corrupt, 2);
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
