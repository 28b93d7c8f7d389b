//! Redis hangs, or answers late (FAULTS 3).

use super::*;
use crate::proxy::{Way, seed};

#[tokio::test]
async fn answers_after_5_ms_to_5_s_fail_no_request() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    proxy.seeded(seed());
    for range in [5..20, 5..150, 5..5_000] {
        proxy.set(|rules| rules.delay = Some(range));
        for _ in 0..5 {
            site.write();
            let written = a.cache.invalidate(larder::tag("item:1"));
            let _ = written.await; // told or kept: here it holds at once
            flood(&a, 20).await;
            served(&a, &site).await;
        }
    }
    proxy.set(|rules| rules.delay = None);
    proxy.cut(); // what is still on its way
    comes_back(&a).await;
}

#[tokio::test]
async fn one_direction_that_stands_still_is_a_redis_that_is_away() {
    for way in [Way::ToServer, Way::ToClient] {
        let (_redis, proxy) = behind_proxy();
        let site = Site::new();
        let a = process(&site, proxy.url());
        comes_back(&a).await;
        proxy.stall(way, 0);
        site.write();
        a.cache.invalidate(larder::tag("item:1")).await.unwrap_err();
        for _ in 0..50 {
            served(&a, &site).await;
        }
        proxy.flow();
        comes_back(&a).await;
        served(&a, &site).await;
    }
}

/// The connection hangs and the server does not: another connection is made.
#[tokio::test]
async fn a_connection_that_hangs_is_replaced() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    for _ in 0..3 {
        let before = proxy.connections();
        proxy.hang();
        eventually("another one is made", || async {
            served(&a, &site).await;
            proxy.connections() > before
        })
        .await;
        comes_back(&a).await;
    }
}

#[tokio::test]
async fn a_hung_redis_holds_no_request_longer_than_its_budget_and_then_not_at_all() {
    let redis = Redis::start();
    let site = Site::new();
    let a = process(&site, redis.url());
    comes_back(&a).await;
    redis.stop();
    let start = tokio::time::Instant::now();
    for _ in 0..500 {
        served(&a, &site).await;
    }
    let took = start.elapsed();
    assert!(took < TIMEOUT * 60, "500 requests took {took:?}");
    redis.resume();
    comes_back(&a).await;
}

/// Nobody is to wait for space that a Redis which does not answer might give back.
#[tokio::test]
async fn a_call_that_a_hung_redis_cannot_be_told_ends_with_its_timeout() {
    for selector in [larder::tag("item:1"), "api:items:*".into()] {
        let redis = Redis::start();
        let site = Site::new();
        let longest = Duration::from_secs(1);
        let a = site.with(
            builder(redis.url())
                .operation_timeout(longest)
                .build()
                .unwrap(),
        );
        comes_back(&a).await;
        redis.stop();
        site.write();
        let start = tokio::time::Instant::now();
        let error = a.cache.invalidate(&selector).await.unwrap_err();
        let took = start.elapsed();
        assert_eq!(error.kind(), larder::InvalidateErrorKind::Queued);
        assert!(took < longest * 4, "{selector:?} took {took:?}");
        redis.resume();
        served(&a, &site).await;
    }
}

#[tokio::test]
async fn what_is_still_to_be_told_is_told_at_the_end_or_its_loss_is() {
    let said = Said::default();
    let _listening = said.listen();
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let patient = || {
        let builder = builder(proxy.url()).lease(Duration::from_secs(60));
        site.with(builder.operation_timeout(PATIENT).build().unwrap())
    };
    for back in [true, false] {
        let a = patient();
        comes_back(&a).await;
        proxy.refuse(true);
        let told = a.cache.invalidate(larder::tag("item:1")).await;
        assert!(told.is_err() && a.cache.health().await.untold == 1);
        proxy.refuse(!back);
        a.cache.shutdown().await;
        assert_eq!(a.cache.health().await.untold, usize::from(!back));
        assert_eq!(said.times("are lost"), usize::from(!back));
    }
}

#[tokio::test]
async fn a_connection_to_a_server_that_is_far_away_may_take_as_long_as_an_operation() {
    let (_redis, proxy) = behind_proxy();
    proxy.set(|rules| rules.delay = Some(300..301));
    let site = Site::new();
    let patient = builder(proxy.url()).lease(Duration::from_secs(60));
    let a = site.with(patient.operation_timeout(PATIENT).build().unwrap());
    comes_back(&a).await;
}
