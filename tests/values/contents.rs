//! Keys that share one value, for they have one content.

use larder::values::{Content, ValueKey, Values};
use larder::{Cache, InvalidateErrorKind, MIB, minutes};

use crate::NotThere;
use crate::support::redis_server::Redis;
use crate::support::{SHORT, eventually};

/// A key of the one content that there is.
fn key(text: &'static str) -> ValueKey<'static> {
    ValueKey::new(text).content(Content::of("content"))
}

fn numbers(cache: &Cache) -> Values<u64> {
    let values = cache.values::<u64>("number").ttl(minutes(5));
    values.build().unwrap()
}

async fn load(values: &Values<u64>, text: &'static str, n: u64) -> u64 {
    let loaded =
        values.get_or_try_insert_with(key(text), move || async move { Ok::<_, NotThere>(n) });
    *loaded.await.unwrap()
}

#[tokio::test]
async fn one_that_is_removed_while_redis_is_away_is_removed_once_it_is_back() {
    let redis = Redis::start();
    let builder = Cache::builder().memory(MIB).redis(redis.url());
    let builder = builder.lease(SHORT).operation_timeout(SHORT);
    let cache = builder.build().unwrap();
    let values = numbers(&cache);
    assert_eq!(load(&values, "one", 1).await, 1);
    cache.idle().await;
    redis.stop();
    let queued = values.remove(key("other")).await.unwrap_err();
    assert_eq!(queued.kind(), InvalidateErrorKind::Queued);
    redis.resume();
    eventually("it is told", || async {
        values.get("-").await;
        cache.health().await.untold == 0
    })
    .await;
    for text in ["one", "other"] {
        assert!(values.get(key(text)).await.is_none(), "{text}");
    }
    assert_eq!(load(&values, "other", 2).await, 2);
}
