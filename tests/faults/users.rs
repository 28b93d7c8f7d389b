//! A Redis user who may do what larder does, and no more.

use std::collections::HashMap;

use larder::{endpoint, tag, uri};

use super::*;

/// The user that the README names, word by word.
fn readmes_user() -> Vec<&'static str> {
    let mut lines = include_str!("../../README.md").lines();
    let line = lines.find(|line| line.starts_with("ACL SETUSER shop "));
    line.unwrap().split(' ').collect()
}

/// The commands that were refused to somebody.
fn refused(redis: &Redis) -> Vec<String> {
    let log: Vec<HashMap<String, redis::Value>> = redis.command(&["ACL", "LOG"]);
    let objects = log.iter().map(|entry| format!("{:?}", entry["object"]));
    objects.filter(|it| !it.contains("setinfo")).collect()
}

/// All that is done with Redis. Whether there was a hit, and whether it was told.
async fn does_all(redis: &Redis) -> (bool, bool) {
    let url = format!("redis://shop:password@127.0.0.1:{}", redis.port());
    let builder = Cache::builder().redis(url).prefix("shop").lease(SHORT);
    let builder = builder
        .release("1")
        .operation_timeout(Duration::from_secs(1));
    let cache = builder.build().unwrap();
    let Process { cache, app } = Site::new().with(cache);
    get(&app, "/items/1").await;
    cache.idle().await;
    let hit = get(&app, "/items/1").await.hit();
    eventually("it listens, or must not", || async {
        let store = cache.health().await.store.unwrap();
        store.listening || !refused(redis).is_empty()
    })
    .await;
    let mut told = true;
    for selector in [uri("/items/1"), endpoint("items"), "shop:i*".into()] {
        told &= cache.invalidate(selector).await.is_ok();
    }
    told &= cache.erase(tag("one")).await.is_ok();
    told &= cache.set_enabled_everywhere(true).await.is_ok();
    let _ = cache.entries("shop:*", None).await;
    let _ = cache.servers().await;
    if hit {
        cache.shutdown().await;
    }
    (hit, told)
}

#[tokio::test]
async fn a_user_needs_what_the_readme_says_and_no_less() {
    let redis = Redis::start();
    let port = redis.port().to_string();
    let _replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    eventually("it follows", || async {
        let info: String = redis.command(&["INFO", "replication"]);
        info.contains("state=online")
    })
    .await;
    let user = readmes_user();
    redis.command::<()>(&user);
    assert_eq!(does_all(&redis).await, (true, true));
    assert_eq!(refused(&redis), [""; 0]);
    for needed in user.iter().filter(|rule| rule.starts_with('+')) {
        let less: Vec<_> = user
            .iter()
            .filter(|rule| *rule != needed)
            .copied()
            .collect();
        redis.command::<()>(&["ACL", "DELUSER", "shop"]);
        redis.command::<()>(&["SCRIPT", "FLUSH"]);
        redis.command::<()>(&["ACL", "LOG", "RESET"]);
        redis.command::<()>(&less);
        does_all(&redis).await;
        assert!(!refused(&redis).is_empty(), "{needed}");
    }
}

#[tokio::test]
async fn that_nothing_can_be_taken_back_is_told_once() {
    let said = Said::default();
    let _guard = said.listen();
    let redis = Redis::start();
    redis.command::<()>(&[&readmes_user()[..], &["-scan"]].concat());
    let url = format!("redis://shop:password@127.0.0.1:{}", redis.port());
    let builder = Cache::builder().redis(url).prefix("shop").lease(SHORT);
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    for _ in 0..20 {
        cache.invalidate("shop:items:*").await.unwrap();
    }
    assert_eq!(said.times("stay until their TTL ends"), 1);
}
