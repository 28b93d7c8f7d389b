//! What was invalidated stays so, whoever comes back late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use axum::routing::{MethodRouter, any};
use larder::{Policy, hours, minutes, seconds, uri};
use tokio::sync::Notify;

use crate::support::{Calls, Tiers, eventually};
use crate::tiers;
use crate::{Site, policy};

/// A handler that can be held, fails on demand and confirms by 304.
#[derive(Clone, Default)]
struct Origin {
    calls: Calls,
    holds: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    begun: Arc<Notify>,
    go: Arc<Notify>,
}

impl Origin {
    fn handler(&self) -> MethodRouter {
        let origin = self.clone();
        any(move |headers: HeaderMap| async move {
            let run = origin.calls.count();
            if origin.holds.load(Ordering::SeqCst) {
                origin.begun.notify_one();
                origin.go.notified().await;
            }
            if origin.fails.load(Ordering::SeqCst) {
                return Response::builder()
                    .status(503)
                    .body(Body::from("failed"))
                    .unwrap();
            }
            let answer = Response::builder()
                .header(
                    "cache-control",
                    "max-age=10, stale-while-revalidate=600, stale-if-error=600",
                )
                .header("etag", "\"a\"");
            match headers.contains_key("if-none-match") {
                true => answer.status(304).body(Body::empty()).unwrap(),
                false => answer.body(Body::from(format!("v{run}"))).unwrap(),
            }
        })
    }
}

fn rules() -> [Policy; 2] {
    [policy().revalidate(hours(1)), Policy::http()]
}

/// A site with an entry that has become stale.
async fn stale(policy: Policy, tiers: &Tiers, by: std::time::Duration) -> (Origin, Site) {
    let origin = Origin::default();
    let site = Site::new(&tiers.cache, policy, origin.handler());
    assert_eq!(site.get("/x", &[]).await.text(), "v1");
    tiers.clock.advance(by);
    (origin, site)
}

#[tokio::test]
async fn what_was_invalidated_is_not_served_stale() {
    for rules in rules() {
        for tiers in tiers().await {
            let (origin, site) = stale(rules.clone(), &tiers, seconds(11)).await;
            tiers.cache.invalidate(uri("/x")).await.unwrap();
            origin.fails.store(true, Ordering::SeqCst);
            for fields in [
                &[][..],
                &[("cache-control", "max-stale")],
                &[("cache-control", "stale-if-error=900")],
            ] {
                let reply = site.get("/x", fields).await;
                assert_eq!(reply.status.as_u16(), 503, "{}: {fields:?}", tiers.name);
            }
            let asked = site
                .get("/x", &[("cache-control", "only-if-cached, max-stale")])
                .await;
            assert!(!asked.status.is_success(), "{}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_confirmation_that_comes_after_an_invalidation_revives_nothing() {
    for rules in rules() {
        for tiers in tiers().await {
            // behind all windows: the client waits for the validation
            let (origin, site) = stale(rules.clone(), &tiers, minutes(11)).await;
            origin.holds.store(true, Ordering::SeqCst);
            let early = tokio::spawn({
                let site = site.clone();
                async move { site.get("/x", &[]).await }
            });
            origin.begun.notified().await;
            origin.holds.store(false, Ordering::SeqCst);
            tiers.cache.invalidate(uri("/x")).await.unwrap();
            origin.go.notify_one();
            let early = early.await.unwrap();
            assert_eq!(
                early.status.as_u16(),
                200,
                "{}: it began before",
                tiers.name
            );
            let late = site.get("/x", &[]).await;
            assert_eq!((late.hit(), late.text()), (false, "v3"), "{}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_renewal_that_comes_after_an_invalidation_revives_nothing() {
    for rules in rules() {
        for tiers in tiers().await {
            let (origin, site) = stale(rules.clone(), &tiers, seconds(11)).await;
            origin.holds.store(true, Ordering::SeqCst);
            let served = crate::support::get(&site.app, "/x").await;
            assert_eq!(
                served.text(),
                "v1",
                "{}: stale, while it is renewed",
                tiers.name
            );
            origin.begun.notified().await;
            origin.holds.store(false, Ordering::SeqCst);
            tiers.cache.invalidate(uri("/x")).await.unwrap();
            origin.go.notify_one();
            tiers.cache.idle().await;
            let late = site.get("/x", &[]).await;
            assert_eq!((late.hit(), late.text()), (false, "v3"), "{}", tiers.name);
            assert_eq!(site.get("/x", &[]).await.text(), "v3", "{}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_renewal_asks_for_everybody_and_not_for_the_one_who_caused_it() {
    for rules in rules() {
        for tiers in tiers().await {
            let (origin, site) = stale(rules.clone(), &tiers, seconds(11)).await;
            let evil = [
                ("range", "bytes=0-0"),
                ("if-modified-since", "Fri, 20 Nov 2099 12:00:00 GMT"),
                ("if-range", "\"a\""),
            ];
            site.get("/x", &evil).await;
            site.send(axum::http::Method::HEAD, "/x", &evil).await;
            eventually("renewed", async || origin.calls.now() >= 2).await;
            tiers.cache.idle().await;
            let victim = site.get("/x", &[]).await;
            assert_eq!(
                (victim.status.as_u16(), victim.text()),
                (200, "v1"),
                "{}",
                tiers.name
            );
            assert_eq!(victim.header("content-range"), "");
        }
    }
}

#[tokio::test]
async fn an_entry_that_was_taken_back_is_gone_from_both_tiers() {
    let redis = crate::support::redis_server::Redis::start();
    let clock = larder::testing::ManualClock::new();
    let cache = larder::Cache::builder()
        .memory(larder::MIB)
        .redis(redis.url())
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let private = Arc::new(AtomicBool::new(false));
    let forbids = Arc::clone(&private);
    let handler = any(move |headers: HeaderMap| async move {
        let answer = Response::builder().header("etag", "\"a\"");
        if headers.contains_key("x-fail") {
            return answer.status(503).body(Body::empty()).unwrap();
        }
        let said = match forbids.load(Ordering::SeqCst) {
            true => "private",
            false => "max-age=10, stale-if-error=600",
        };
        let answer = answer.header("cache-control", said);
        match headers.contains_key("if-none-match") {
            true => answer.status(304).body(Body::empty()).unwrap(),
            false => answer.body(Body::from("page")).unwrap(),
        }
    });
    let site = Site::new(&cache, Policy::http(), handler);
    site.get("/x", &[]).await;
    clock.advance(seconds(11));
    private.store(true, Ordering::SeqCst);
    assert_eq!(site.get("/x", &[]).await.text(), "page");
    let after = site.get("/x", &[("x-fail", "1")]).await;
    assert_eq!(
        after.status.as_u16(),
        503,
        "private by now, it stands in for nothing"
    );
}

#[tokio::test]
async fn nobodys_range_or_condition_keeps_an_entry_from_being_renewed() {
    for rules in rules() {
        for tiers in tiers().await {
            // no validator of its own: a client's condition would be the only one
            let calls = Calls::default();
            let handler = any(move |headers: HeaderMap| async move {
                let answer = Response::builder()
                    .header("cache-control", "max-age=10, stale-while-revalidate=600");
                let run = calls.count();
                match (
                    headers.contains_key("if-none-match"),
                    headers.contains_key("range"),
                ) {
                    (true, _) => answer.status(304).body(Body::empty()),
                    (_, true) => answer.status(206).body(Body::from("v")),
                    _ => answer.body(Body::from(format!("v{run}"))),
                }
                .unwrap()
            });
            let site = Site::new(&tiers.cache, rules.clone(), handler);
            site.get("/x", &[]).await;
            for (field, text) in [
                (("range", "bytes=0-0"), "v2"),
                (("if-none-match", "\"z\""), "v3"),
            ] {
                tiers.clock.advance(seconds(11));
                site.get("/x", &[field]).await;
                let victim = site.get("/x", &[]).await;
                assert_eq!(
                    (victim.hit(), victim.text()),
                    (true, text),
                    "{}",
                    tiers.name
                );
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_that_a_user_caused_is_judged_as_that_users() {
    for tiers in tiers().await {
        let public = Arc::new(AtomicBool::new(true));
        let says = Arc::clone(&public);
        let handler = any(move |headers: HeaderMap| async move {
            let who = headers
                .get("authorization")
                .map_or("nobody", |v| v.to_str().unwrap());
            let said = match says.load(Ordering::SeqCst) {
                true => "public, max-age=10, stale-while-revalidate=600",
                false => "max-age=10, stale-while-revalidate=600",
            };
            ([("cache-control", said)], who.to_owned())
        });
        let site = Site::new(&tiers.cache, Policy::http(), handler);
        assert_eq!(site.get("/x", &[]).await.text(), "nobody");
        public.store(false, Ordering::SeqCst);
        tiers.clock.advance(seconds(11));
        let alice = site.get("/x", &[("authorization", "alice")]).await;
        assert_eq!(alice.text(), "nobody", "{}: stale, and public", tiers.name);
        for _ in 0..2 {
            let bob = site.get("/x", &[]).await;
            assert_eq!(bob.text(), "nobody", "{}", tiers.name);
        }
    }
}

#[tokio::test]
async fn a_failure_behind_all_windows_is_a_failure() {
    for rules in rules() {
        for tiers in tiers().await {
            let (origin, site) = stale(rules.clone(), &tiers, seconds(611)).await;
            origin.fails.store(true, Ordering::SeqCst);
            for _ in 0..2 {
                let reply = site.get("/x", &[]).await;
                assert_eq!(reply.status.as_u16(), 503, "{}", tiers.name);
            }
        }
    }
}

#[tokio::test]
async fn a_clients_own_condition_renews_nothing_that_is_not_there() {
    for rules in rules() {
        for tiers in tiers().await {
            let calls = Calls::default();
            let handler = any(move |headers: HeaderMap| async move {
                let answer =
                    Response::builder().header("cache-control", "max-age=10, stale-if-error=600");
                let run = calls.count();
                match headers.contains_key("if-none-match") {
                    true => answer.status(304).body(Body::empty()),
                    false => answer.body(Body::from(format!("v{run}"))),
                }
                .unwrap()
            });
            let site = Site::new(&tiers.cache, rules.clone(), handler);
            site.get("/x", &[]).await;
            tiers.clock.advance(seconds(11));
            let liar = site.get("/x", &[("if-none-match", "\"z\"")]).await;
            let (status, text) = (liar.status.as_u16(), liar.text());
            assert_eq!((status, text), (200, "v2"), "{}: the whole", tiers.name);
            tiers.cache.idle().await;
            let victim = site.get("/x", &[]).await;
            assert_eq!(
                (victim.hit(), victim.text()),
                (true, "v2"),
                "{}",
                tiers.name
            );
        }
    }
}
