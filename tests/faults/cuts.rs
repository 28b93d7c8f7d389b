//! Redis dies in the middle of things (FAULTS 2).

use std::sync::atomic::AtomicUsize;

use larder::tag;

use super::*;
use crate::proxy::Way;

#[tokio::test]
async fn a_reply_that_is_cut_anywhere_is_a_miss_and_no_damage() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = bare(&site, proxy.url());
    comes_back(&a).await;
    let mut at = 0;
    loop {
        proxy.cut_after(Way::ToClient, at);
        eventually("it is cut", || async {
            served(&a, &site).await;
            proxy.has_cut()
        })
        .await;
        at += 1 + at / 12; // each of the first bytes, and fewer of the body's
        if at > 800 {
            break;
        }
    }
    assert_eq!(a.cache.stats().corrupt, 0);
    comes_back(&a).await;
}

#[tokio::test]
async fn a_write_that_is_cut_anywhere_leaves_no_half_an_entry() {
    let (redis, proxy) = behind_proxy();
    let site = Site::new();
    let (a, b) = (bare(&site, proxy.url()), bare(&site, redis.url()));
    comes_back(&a).await;
    for n in 0..60 {
        let uri = format!("/items/{}", n + 10);
        proxy.cut_after(Way::ToServer, n * 23);
        assert_eq!(get(&a.app, &uri).await.text(), "v0");
        a.cache.idle().await;
        let seen = get(&b.app, &uri).await;
        assert_eq!((seen.status.as_u16(), seen.text()), (200, "v0"), "{n}");
        b.cache.idle().await;
        eventually("it goes on", || async {
            get(&a.app, &uri).await;
            proxy.has_cut()
        })
        .await;
    }
    assert_eq!((a.cache.stats().corrupt, b.cache.stats().corrupt), (0, 0));
}

/// The entry is there, and the invalidation's script never comes.
#[tokio::test]
async fn redis_dies_between_an_entrys_write_and_its_invalidation() {
    let mut redis = Redis::start_durable();
    let proxy = Proxy::start(redis.port());
    let site = Site::new();
    let (a, b) = (process(&site, proxy.url()), process(&site, redis.url()));
    comes_back(&a).await;
    comes_back(&b).await;
    site.write();
    proxy.stall(Way::ToServer, 0);
    let cache = a.cache.clone();
    let asked = tokio::spawn(async move { cache.invalidate(tag("item:1")).await });
    redis.kill();
    redis.restart(); // with the old entry
    assert!(!redis.entries().is_empty());
    let told = asked.await.unwrap();
    served(&a, &site).await;
    proxy.flow();
    if told.is_ok() {
        served(&b, &site).await;
    }
    eventually("all have heard of it", || async {
        served(&a, &site).await;
        b.get().await.text() == "v1"
    })
    .await;
}

/// It is done, and nobody hears that it is.
#[tokio::test]
async fn an_invalidation_whose_reply_is_lost_is_made_again() {
    for at in [0, 1, 20, 60] {
        let (redis, proxy) = behind_proxy();
        let site = Site::new();
        let (a, b) = (patient(&site, proxy.url()), patient(&site, redis.url()));
        comes_back(&a).await;
        comes_back(&b).await;
        site.write();
        proxy.cut_after(Way::ToClient, at);
        let told = a.cache.invalidate(tag("item:1")).await;
        served(&a, &site).await;
        assert!(told.is_ok(), "a fresh connection takes it: {told:?}");
        served(&b, &site).await;
    }
}

/// A lock is given, and nobody hears that it is.
#[tokio::test]
async fn a_lock_whose_reply_is_lost_is_had_when_it_is_asked_for_again() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = patient(&site, proxy.url());
    comes_back(&a).await; // the scripts are known by now
    let asked = Arc::new(AtomicUsize::new(0));
    let asks = Arc::clone(&asked);
    proxy.set(|rules| {
        rules.answer = Some(Box::new(move |words| {
            let locks = words.len() == 10 && words[3].starts_with(b"api:!lock:");
            let first = locks && asks.fetch_add(1, Ordering::SeqCst) == 0;
            first.then(Vec::new)
        }));
    });
    assert_eq!(get(&a.app, "/items/2").await.status, 200);
    a.cache.idle().await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "on a fresh connection once more"
    );
    assert!(get(&a.app, "/items/2").await.hit());
}

#[tokio::test]
async fn redis_is_killed_in_the_middle_of_a_crowd() {
    let mut redis = Redis::start();
    let site = Site::new();
    let a = process(&site, redis.url());
    comes_back(&a).await;
    for _ in 0..3 {
        let crowd = flood(&a, 200);
        let app = a.app.clone();
        let asked: Vec<_> = (0..50)
            .map(|n| {
                let app = app.clone();
                tokio::spawn(async move { get(&app, &format!("/items/{n}")).await.status })
            })
            .collect();
        redis.kill();
        crowd.await;
        for status in asked {
            assert_eq!(status.await.unwrap(), 200);
        }
        redis.restart();
        comes_back(&a).await;
    }
}
