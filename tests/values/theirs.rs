//! What others have put under a namespace's names is theirs.

use futures_util::future::join_all;
use larder::values::{Content, ValueKey};
use larder::{Cache, MIB, namespace};

use crate::support::log::Log;
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT};
use crate::{Source, characters, read};

fn cache(redis: &Redis) -> Cache {
    let cache = Cache::builder().memory(16 * MIB).redis(redis.url());
    let cache = cache.lease(SHORT).operation_timeout(PATIENT);
    cache.build().unwrap()
}

fn put_theirs(redis: &Redis) {
    for command in [
        &["SET", "character:1", "precious"][..],
        &["SET", "character:short", "x"],
        &["HSET", "character:2", "name", "Ada"],
        &["SADD", "character:index", "1"],
    ] {
        redis.command::<redis::Value>(command);
    }
}

fn assert_theirs(redis: &Redis) {
    assert_eq!(redis.command::<String>(&["GET", "character:1"]), "precious");
    assert_eq!(redis.command::<String>(&["GET", "character:short"]), "x");
    assert_eq!(
        redis.command::<String>(&["HGET", "character:2", "name"]),
        "Ada"
    );
    let members: Vec<String> = redis.command(&["SMEMBERS", "character:index"]);
    assert_eq!(members, ["1"]);
}

#[tokio::test]
async fn what_is_no_frame_is_neither_removed_nor_overwritten() {
    let redis = Redis::start();
    let (cache, source) = (cache(&redis), Source::default());
    let values = characters(&cache);
    put_theirs(&redis);
    for id in ["1", "short", "2"] {
        assert!(values.get(id).await.is_none(), "{id}");
    }
    cache.idle().await;
    assert_theirs(&redis);
    for id in ["1", "short", "2"] {
        assert_eq!(read(&values, &source, id).await.id, id);
        cache.idle().await;
        assert!(read(&values, &source, id).await.is_cached(), "by memory");
    }
    assert_theirs(&redis);
    for id in ["1", "2"] {
        values.insert(id, source.make(id)).await;
        cache.idle().await;
        let _ = values.remove(id).await;
        cache.idle().await;
    }
    assert_theirs(&redis);
    let load = source.load("3");
    values.get_or_try_insert_with("3", || load).await.unwrap();
    cache.idle().await;
    assert_eq!(redis.command::<i64>(&["EXISTS", "character:3"]), 1);
}

#[tokio::test]
async fn nor_is_it_where_values_are_read_together() {
    let redis = Redis::start();
    let (cache, source) = (cache(&redis), Source::default());
    let values = characters(&cache);
    values.insert("3", source.make("3")).await;
    cache.idle().await;
    put_theirs(&redis);
    // while four are under way the others are read together
    let ids = ["a", "b", "c", "d", "1", "short", "2", "index", "3"];
    let found = join_all(ids.map(|id| values.get(id))).await;
    let found: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(found, [[false; 8].as_slice(), &[true]].concat());
    for (value, id) in join_all(ids.map(|id| read(&values, &source, id)))
        .await
        .iter()
        .zip(ids)
    {
        assert_eq!(value.id, id);
    }
    cache.idle().await;
    assert_theirs(&redis);
}

/// Redis answers to several reads together as if nothing were there.
#[tokio::test]
async fn it_is_told_where_values_are_read_together_too() {
    let log = Log::everybodys();
    let redis = Redis::start();
    let (cache, source) = (cache(&redis), Source::default());
    let values = characters(&cache);
    let ids = ["told-1", "told-2"];
    for id in ids {
        redis.command::<u64>(&["LPUSH", &format!("character:{id}"), "x"]);
    }
    // while four are under way the others are read together
    let all = ["a", "b", "c", "d"].into_iter().chain(ids);
    join_all(all.map(|id| read(&values, &source, id))).await;
    cache.idle().await;
    let lines = log.lines(&["WARN", "character:told-", "is not larder's"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn clearing_a_namespace_removes_its_values_alone() {
    let redis = Redis::start();
    let (cache, source) = (cache(&redis), Source::default());
    let values = characters(&cache);
    put_theirs(&redis);
    let fill = async || {
        for id in ["7", "8"] {
            values.insert(id, source.make(id)).await;
        }
        cache.idle().await;
    };
    fill().await;
    let counted = cache.invalidate(namespace("character").dry_run()).await;
    assert_eq!(counted.unwrap().store, 2);
    assert_eq!(values.clear().await.unwrap().store, 2);
    assert_theirs(&redis);
    fill().await;
    let done = cache.invalidate("character:*").await.unwrap();
    assert_eq!(done.store, 2);
    assert_theirs(&redis);
    fill().await;
    cache.invalidate(larder::everything()).await.unwrap();
    assert_eq!(redis.command::<i64>(&["EXISTS", "character:7"]), 0);
    assert_theirs(&redis);
}

/// Nobody waits for a lock that nobody holds: the name of the value is another's.
#[tokio::test]
async fn an_insertion_that_fails_leaves_no_lock() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let (values, content) = (characters(&cache), Content::of("text"));
    let lock = format!("api:!lock:{{character:hash:{}}}", content.to_hex());
    // as a load leaves it whose value may not be shared
    redis.command::<()>(&["SET", &lock, "!", "PX", "120000"]);
    put_theirs(&redis);
    let given = Source::default().make("given");
    let key = ValueKey::new("1").content(content);
    values.insert(key, given).await;
    cache.idle().await;
    assert_eq!(redis.command::<Option<String>>(&["GET", &lock]), None);
    assert_theirs(&redis);
}
