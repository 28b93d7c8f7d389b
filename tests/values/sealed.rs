//! Encryption and compression at rest, of responses and of values.

use axum::Router;
use axum::routing::get as on_get;
use larder::values::ValueKey;
use larder::{Cache, CacheBuilder, Compression, Encryption, Policy, minutes, tag};

use crate::erase::{everything, holds};
use crate::support::redis_server::Redis;
use crate::support::{Calls, PATIENT, SHORT, get};
use crate::{Source, characters, settings};

fn builder(redis: &Redis) -> CacheBuilder {
    let builder = Cache::builder().redis(redis.url());
    builder.lease(SHORT).operation_timeout(PATIENT)
}

fn with(redis: &Redis, keys: Encryption) -> Cache {
    builder(redis).encryption(keys).build().unwrap()
}

fn route(cache: &Cache) -> (Router, Calls) {
    let calls = Calls::default();
    let count = calls.clone();
    let policy = Policy::ttl(minutes(5)).endpoint("notes").tag("user:{id}");
    let handler = on_get(move |uri: axum::http::Uri| async move {
        count.count();
        ([("vary", "accept-language")], format!("a secret of {uri}"))
    });
    let handler = handler.layer(cache.layer(policy));
    (Router::new().route("/notes/{id}", handler), calls)
}

#[tokio::test]
async fn nothing_of_what_is_stored_can_be_read_without_the_key() {
    let redis = Redis::start();
    let (old, new) = ([7; 32], [8; 32]);
    let cache = with(&redis, Encryption::new(1, old));
    let (app, _) = route(&cache);
    let values = settings(&cache).hashed_keys().build().unwrap();
    let key = || ValueKey::new("diary").seed("user:zoe");
    get(&app, "/notes/zoe?page=1").await;
    values
        .insert(key(), Source::default().make("a secret"))
        .await;
    cache.idle().await;
    let all = everything(&redis);
    for text in ["secret", "zoe", "page", "diary", "language", "text/plain"] {
        assert!(!holds(&all, text), "{text}");
    }
    assert!(get(&app, "/notes/zoe?page=1").await.hit());
    assert_eq!(values.get(key()).await.unwrap().id, "a secret");

    let rotated = with(&redis, Encryption::new(2, new).older(1, old));
    assert!(get(&route(&rotated).0, "/notes/zoe?page=1").await.hit());
    for keys in [Encryption::new(2, new), Encryption::new(1, new)] {
        let without = with(&redis, keys);
        let theirs = settings(&without).hashed_keys().build().unwrap();
        assert!(theirs.get(key()).await.is_none());
        assert_eq!(without.stats().corrupt, 1, "a counted miss");
    }
    let open = builder(&redis).build().unwrap();
    assert!(
        settings(&open)
            .hashed_keys()
            .build()
            .unwrap()
            .get(key())
            .await
            .is_none()
    );
    assert!(
        values.get(key()).await.is_some(),
        "it is left to those who have its key"
    );

    let erased = with(&redis, Encryption::new(9, new))
        .erase(tag("user:zoe"))
        .await;
    assert_eq!(
        erased.unwrap().store,
        3,
        "without the key: a marker, a response, a value"
    );
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn what_is_planted_or_moved_is_not_served() {
    let redis = Redis::start();
    let open = builder(&redis).build().unwrap();
    characters(&open)
        .insert("a", Source::default().make("planted"))
        .await;
    let cache = with(&redis, Encryption::new(1, [7; 32]));
    let values = characters(&cache);
    assert!(values.get("a").await.is_none(), "it was not sealed");
    values.insert("a", Source::default().make("of a")).await;
    let frame: Vec<u8> = redis.command(&["GET", "character:a"]);
    assert!(values.get("a").await.is_some());
    redis.command::<()>(&["RENAME", "character:a", "character:b"]);
    assert!(values.get("b").await.is_none(), "it is another's");
    assert!(!holds(&frame, "of a"));
}

#[tokio::test]
async fn values_are_compressed_as_the_cache_says() {
    let redis = Redis::start();
    let length = |cache: &Cache, key: &'static str| {
        let values = characters(cache);
        let redis = &redis;
        async move {
            values
                .insert(key, Source::default().make(&"long ".repeat(1_000)))
                .await;
            assert_eq!(values.get(key).await.unwrap().id.len(), 5_000);
            redis.command::<usize>(&["STRLEN", &format!("character:{key}")])
        }
    };
    let of = |compression| builder(&redis).compression(compression).build().unwrap();
    assert!(length(&builder(&redis).build().unwrap(), "default").await < 500);
    assert!(length(&of(Compression::Off), "off").await > 5_000);
    assert!(length(&of(Compression::zstd(19, 10)), "small").await < 500);
    assert!(length(&of(Compression::zstd(3, 100_000)), "above").await > 5_000);
    let sealed = builder(&redis).encryption(Encryption::new(1, [7; 32]));
    assert!(length(&sealed.build().unwrap(), "sealed").await < 500);
}
