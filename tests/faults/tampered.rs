//! Somebody else's hand in the shared clock.

use larder::tag;

use super::*;

const CLOCK: &str = "api:!{clock}";

/// It is used again, and what is invalidated is gone.
async fn heals(redis: &Redis, tampers: &[&[&str]]) {
    for tamper in tampers {
        let site = Site::new();
        let (a, b) = (patient(&site, redis.url()), patient(&site, redis.url()));
        comes_back(&a).await;
        comes_back(&b).await;
        a.cache
            .invalidate(larder::Selector::from("api:o*:x").soft())
            .await
            .unwrap();
        for words in tamper.split(|word| *word == ";") {
            redis.command::<redis::Value>(words);
        }
        for _ in 0..3 {
            site.write();
            let told = || async { a.cache.invalidate(tag("item:1")).await.is_ok() };
            eventually(&format!("{tamper:?}: it is told"), told).await;
            for process in [&a, &b] {
                served(process, &site).await;
                comes_back(process).await;
                served(process, &site).await;
            }
        }
        assert_eq!(a.cache.health().await.untold, 0);
        a.cache.shutdown().await;
        b.cache.shutdown().await;
    }
}

#[tokio::test]
async fn a_clock_that_cannot_be_read_begins_anew() {
    let redis = Redis::start();
    let scopes = &format!("{CLOCK}:scopes");
    heals(
        &redis,
        &[
            &["HSET", CLOCK, "clock", "abc"],
            &["HDEL", CLOCK, "clock"],
            &["HDEL", CLOCK, "epoch"],
            &["HSET", CLOCK, "epoch", "no epoch"],
            &["HDEL", CLOCK, "floor"],
            &["HSET", CLOCK, "floor", "x"],
            &["HSET", CLOCK, "count", "x"],
            &["HSET", CLOCK, "base", "-1"],
            &["HSET", CLOCK, "all", "x"],
            &["HSET", CLOCK, "aged", "1.5"],
            &["HSET", CLOCK, "lease", "x"],
            &["HSET", CLOCK, "=", "x"],
            &["HSET", CLOCK, "~api:o*:x", "x"],
            &["DEL", CLOCK, ";", "SET", CLOCK, "text"],
            &["DEL", scopes, ";", "SET", scopes, "text"],
        ],
    )
    .await;
}

#[tokio::test]
async fn a_strangers_row_is_waited_for_once_and_ends_nothing() {
    let redis = Redis::start();
    let site = Site::new();
    let a = patient(&site, redis.url());
    comes_back(&a).await;
    a.cache.invalidate(tag("none")).await.unwrap();
    let epoch: String = redis.command(&["HGET", CLOCK, "epoch"]);
    for row in [
        "garbage",
        "",
        "1 2",
        "ffffffffffffffffffff 1 1",
        "1 1 99999999999999999999",
    ] {
        redis.command::<u64>(&["HSET", CLOCK, "@stranger", row]);
        a.cache.invalidate(tag("none")).await.unwrap();
        eventually("it has gone", || async {
            a.get().await;
            !redis.command::<bool>(&["HEXISTS", CLOCK, "@stranger"])
        })
        .await;
        a.cache.invalidate(tag("none")).await.unwrap();
    }
    assert_eq!(redis.command::<String>(&["HGET", CLOCK, "epoch"]), epoch);
}
