//! The push link dies, or its messages are lost, doubled, turned round, or echoed
//! (FAULTS 8).

use larder::tag;

use super::*;
use crate::proxy::Pushes;

#[tokio::test]
async fn whatever_becomes_of_messages_nothing_old_is_served() {
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let (a, b) = (patient(&site, proxy.url()), patient(&site, redis.url()));
    for pushes in [Pushes::Lose, Pushes::Double, Pushes::Swap, Pushes::Pass] {
        comes_back(&a).await;
        comes_back(&b).await;
        proxy.set(|rules| rules.pushes = pushes);
        for n in 0..6 {
            site.write();
            let other = format!("item:{n}");
            b.cache.invalidate(tag(other)).await.unwrap();
            b.cache.invalidate(tag("item:1")).await.unwrap();
            served(&a, &site).await;
            a.cache.idle().await;
            served(&a, &site).await;
        }
    }
}

#[tokio::test]
async fn who_hears_its_own_invalidation_again_drops_nothing_newer() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = patient(&site, proxy.url());
    comes_back(&a).await;
    proxy.set(|rules| rules.pushes = Pushes::Double);
    for _ in 0..10 {
        site.write();
        a.cache.invalidate(tag("item:1")).await.unwrap();
        let runs = site.runs();
        for _ in 0..5 {
            served(&a, &site).await;
            a.cache.idle().await;
        }
        assert_eq!(site.runs() - runs, 1, "it is filled once");
    }
}

#[tokio::test]
async fn a_push_link_that_is_sent_away_leaves_the_data_link_useful() {
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let (a, b) = (patient(&site, proxy.url()), patient(&site, redis.url()));
    comes_back(&a).await;
    comes_back(&b).await;
    // nobody may listen any more
    proxy.set(|rules| {
        rules.answer = Some(Box::new(|words| {
            let listens = words[0].eq_ignore_ascii_case(b"SUBSCRIBE");
            listens.then(|| b"-NOPERM not this one\r\n".to_vec())
        }));
    });
    redis.command::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    for _ in 0..5 {
        site.write();
        b.cache.invalidate(tag("item:1")).await.unwrap();
        served(&a, &site).await;
        a.cache.idle().await;
        assert!(a.get().await.hit(), "it holds what is new");
    }
}

/// A connection that has died without a word looks like one on which nothing is told.
#[tokio::test]
async fn a_push_link_that_has_died_without_a_word_is_opened_anew() {
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let (a, b) = (patient(&site, proxy.url()), patient(&site, redis.url()));
    comes_back(&a).await;
    comes_back(&b).await;
    let listens = || async { a.cache.health().await.store.is_some_and(|s| s.listening) };
    eventually("it listens", listens).await;
    let opened = redis.calls("subscribe");
    proxy.set(|rules| rules.pushes = Pushes::Lose);
    eventually("another link", || async {
        site.write();
        b.cache.invalidate(tag("item:1")).await.unwrap();
        served(&a, &site).await;
        redis.calls("subscribe") > opened
    })
    .await;
}
