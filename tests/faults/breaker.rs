//! The breaker, and who finds out that Redis is back (FAULTS 1, 4, 5).

use std::time::Duration;

use super::*;
use crate::proxy::{Chance, Way};
use crate::support::redis_server::free_port;

#[tokio::test]
async fn a_tls_handshake_that_fails_is_a_redis_that_is_down() {
    let redis = Redis::start(); // which speaks no TLS
    let site = Site::new();
    let a = process(&site, redis.url().replace("redis://", "rediss://"));
    for _ in 0..10 {
        served(&a, &site).await;
    }
    assert_eq!(a.get().await.detail(), "store-error");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_a_redis_that_is_down() {
    let (_redis, proxy) = behind_proxy();
    proxy.stall(Way::ToClient, 0);
    let site = Site::new();
    let a = process(&site, proxy.url());
    eventually("the breaker opens", || async {
        served(&a, &site).await;
        open_for(&a.cache).await.is_some()
    })
    .await;
    proxy.flow();
    comes_back(&a).await;
}

/// One whose operations may take longer than most, and that asks nothing by itself.
fn patient(site: &Site, proxy: &Proxy) -> Process {
    let builder = Cache::builder().redis(proxy.url());
    let builder = builder.lease(Duration::from_secs(60));
    site.with(builder.operation_timeout(TIMEOUT * 10).build().unwrap())
}

#[tokio::test]
async fn who_waits_for_his_turn_opens_no_breaker() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = patient(&site, &proxy);
    comes_back(&a).await;
    // a reply, to sixteen reads, each 240 ms: two thirds of them have their turn in time
    proxy.set(|rules| rules.delay = Some(240..241));
    let before = a.cache.stats().store_errors;
    flood(&a, 96).await;
    let late = a.cache.stats().store_errors - before;
    assert!(late > 10, "it was busy: {late}");
    proxy.set(|rules| rules.delay = None);
    assert_eq!(open_for(&a.cache).await, None);
}

/// What is asked together comes together: sixteen large ones would all be too late.
#[tokio::test]
async fn large_ones_that_are_asked_together_do_not_make_each_other_late() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = patient(&site, &proxy);
    let mut chance = Chance(1);
    let large: Vec<u8> = (0..300_000).map(|_| chance.below(256) as u8).collect();
    let handler = axum::routing::get(move || async { large });
    let layer = a.cache.ttl(larder::minutes(5));
    let app = axum::Router::new().route("/large/{n}", handler.layer(layer));
    let ask = || async {
        let uris: Vec<String> = (0..16).map(|n| format!("/large/{n}")).collect();
        let asked = uris.iter().map(|uri| get(&app, uri));
        let replies = futures_util::future::join_all(asked).await;
        a.cache.idle().await;
        replies.iter().filter(|reply| reply.hit()).count()
    };
    eventually("they are stored", || async { ask().await == 16 }).await;
    // each takes 100 ms
    proxy.set(|rules| rules.rate = Some(3_000));
    ask().await;
    assert_eq!(open_for(&a.cache).await, None);
    let hits = ask().await;
    assert!((5..16).contains(&hits), "as many as have time: {hits}");
    assert_eq!(open_for(&a.cache).await, None);
}

#[tokio::test]
async fn the_breaker_is_told_and_can_be_read() {
    let said = Said::default();
    let _listening = said.listen();
    let redis = Redis::start();
    let site = Site::new();
    let patient = builder(redis.url()).operation_timeout(TIMEOUT * 3);
    let a = site.with(patient.build().unwrap());
    comes_back(&a).await;
    assert_eq!(open_for(&a.cache).await, None);
    redis.stop();
    eventually("it is left alone", || async {
        served(&a, &site).await;
        open_for(&a.cache).await.is_some()
    })
    .await;
    for _ in 0..100 {
        served(&a, &site).await;
    }
    assert_eq!(said.times("it is left alone"), 1);
    assert_eq!(said.times("answers again"), 0);
    redis.resume();
    comes_back(&a).await;
    assert_eq!(open_for(&a.cache).await, None);
    assert_eq!(said.times("answers again"), 1);
}

#[tokio::test]
async fn while_redis_is_away_one_task_connects_and_no_request_does() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    proxy.refuse(true);
    eventually("it is left alone", || async {
        served(&a, &site).await;
        open_for(&a.cache).await.is_some()
    })
    .await;
    let before = proxy.connections();
    for _ in 0..1_000 {
        served(&a, &site).await;
    }
    let made = proxy.connections() - before;
    // the push link tries too, once in a third of a lease
    assert!(made < 100, "{made} connections for 1,000 requests");
    proxy.refuse(false);
    comes_back(&a).await;
}

#[tokio::test]
async fn who_is_not_asked_does_not_try() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    proxy.refuse(true);
    eventually("it is left alone", || async {
        served(&a, &site).await;
        open_for(&a.cache).await.is_some()
    })
    .await;
    // time passes: another process fills, elsewhere
    let other = Redis::start();
    let busy = bare(&site, other.url());
    let known = std::cell::Cell::new(0);
    eventually("nobody connects any more", || async {
        // longer than the longest pause between two tries
        let turn = tokio::time::Instant::now() + Duration::from_secs(2);
        while tokio::time::Instant::now() < turn {
            let selector = larder::tag("item:1");
            let _ = busy.cache.invalidate(selector).await;
            busy.get().await;
        }
        known.replace(proxy.connections()) == proxy.connections()
    })
    .await;
    proxy.refuse(false);
    comes_back(&a).await;
}

#[tokio::test]
async fn a_redis_that_comes_and_goes_every_100_ms_is_survived() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    for n in 0..20 {
        let turn = tokio::time::Instant::now() + Duration::from_millis(100);
        proxy.refuse(n % 2 == 0);
        while tokio::time::Instant::now() < turn {
            served(&a, &site).await;
            tokio::task::yield_now().await;
        }
    }
    assert!(proxy.connections() < 300, "{}", proxy.connections());
    proxy.refuse(false);
    comes_back(&a).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_costs_no_request_its_time() {
    let site = Site::new();
    let a = process(
        &site,
        format!("redis://no-such-host.invalid:{}", free_port()),
    );
    for _ in 0..200 {
        served(&a, &site).await;
    }
    assert!(open_for(&a.cache).await.is_some());
}

/// What larder does with Redis, but for what is named.
fn user(redis: &Redis, without: &[&str]) -> String {
    let mut words = vec!["ACL", "SETUSER", "app", "on", ">p", "~*", "&*", "+@all"];
    words.extend(without);
    redis.command::<()>(&words);
    format!("redis://app:p@127.0.0.1:{}", redis.port())
}

#[tokio::test]
async fn a_user_who_may_not_ping_has_redis_back_after_an_outage() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, user(&redis, &["-ping"]));
    comes_back(&a).await;
    let store = a.cache.health().await.store.unwrap();
    assert_eq!(store.error, None, "an error is an answer too");
    redis.stop();
    eventually("it is left alone", || async {
        served(&a, &site).await;
        open_for(&a.cache).await.is_some()
    })
    .await;
    redis.resume();
    comes_back(&a).await;
    assert_eq!(open_for(&a.cache).await, None);
}

#[tokio::test]
async fn a_server_that_answers_to_ping_alone_is_away_and_that_is_told_once() {
    let said = Said::default();
    let _listening = said.listen();
    let primary = Redis::start();
    let port = primary.port().to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    let site = Site::new();
    let a = process(&site, replica.url());
    eventually("it was tried again and again", || async {
        served(&a, &site).await;
        replica.calls("ping") > 8
    })
    .await;
    assert_eq!(said.times("it is left alone"), 1);
    assert_eq!(said.times("answers again"), 0);
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    comes_back(&a).await;
    assert_eq!(said.times("answers again"), 1);
}

#[tokio::test]
async fn why_redis_does_not_answer_is_told_and_no_secret() {
    let redis = Redis::start();
    user(&redis, &[]);
    let nobody = free_port();
    for (url, why) in [
        (
            format!("redis://app:guessed@127.0.0.1:{}", redis.port()),
            "uthentication failed",
        ),
        (format!("redis://app:guessed@127.0.0.1:{nobody}"), "refused"),
    ] {
        let said = Said::default();
        let _listening = said.listen();
        let site = Site::new();
        let a = process(&site, url);
        eventually("it is left alone", || async {
            served(&a, &site).await;
            said.times("it is left alone") > 0
        })
        .await;
        let line = said.line("it is left alone");
        assert!(line.contains(why), "{line}");
        let store = a.cache.health().await.store.unwrap();
        let reason = store.reason.unwrap();
        assert!(reason.contains(why), "{reason}");
        assert_eq!(said.times("guessed") + reason.matches("guessed").count(), 0);
    }
}

#[tokio::test]
async fn a_clock_that_is_refused_is_told_and_degrades_health() {
    let said = Said::default();
    let _listening = said.listen();
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, user(&redis, &["-info"]));
    for _ in 0..100 {
        served(&a, &site).await;
    }
    let health = a.cache.health().await;
    assert!(health.is_degraded());
    let store = health.store.unwrap();
    assert!(store.round_trip.is_some());
    assert_eq!(store.error, Some(larder::StoreErrorKind::Refused));
    assert_eq!(said.times("needs INFO"), 1);
    user(&redis, &[]);
    comes_back(&a).await;
    let health = a.cache.health().await;
    assert!(!health.is_degraded(), "{health:?}");
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "a bound in real time")]
async fn a_beat_that_failed_is_not_repeated_by_every_request() {
    let redis = Redis::start();
    let site = Site::new();
    let start = std::time::Instant::now();
    let a = process(&site, user(&redis, &["-info"]));
    for _ in 0..1_000 {
        served(&a, &site).await;
    }
    let beats = u128::from(redis.calls("evalsha") + redis.calls("eval"));
    let most = start.elapsed().as_millis() / 25 + 3;
    assert!(beats <= most, "{beats} beats, and not {most}");
}
