//! Layers of one cache inside each other: a request never waits for itself.

use larder::{Policy, testing};

use crate::{Site, cached, handler, policy, site, text};

pub(crate) fn inside(outer: Policy, inner: Policy) -> Site {
    let (cache, clock) = testing::cache();
    let (handler, origin) = handler();
    let app = cached(&cache, outer, cached(&cache, inner, handler));
    Site {
        app,
        cache,
        clock,
        origin,
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_policy_twice_is_one_fill() {
    let start = tokio::time::Instant::now();
    for n in [1, 100] {
        let mut site = inside(policy(), policy());
        let asking = site.ask_many(n);
        let run = site.origin.run().await;
        assert!(site.origin.is_idle().await);
        run.answer("body");
        for asking in asking {
            assert_eq!(text(asking.response().await).await, "body");
        }
        assert_eq!(site.hit().await, "body");
        site.is_over(n as u64 + 1).await;
    }
    assert!(start.elapsed().is_zero(), "nobody waits for itself");
}

#[tokio::test]
async fn two_policies_are_one_run_of_the_handler() {
    let mut site = inside(policy(), policy().endpoint("inner"));
    let asking = site.ask_many(100);
    let run = site.origin.run().await;
    assert!(site.origin.is_idle().await);
    run.answer("body");
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
    site.is_over(100).await;
}

#[tokio::test]
async fn one_that_streams_inside_is_one_run_of_the_handler_too() {
    for inner in [policy(), policy().endpoint("inner")] {
        let mut site = inside(policy(), inner);
        let asking = site.ask_many(3);
        let feeder = site.origin.run().await.stream(Some(4));
        assert!(site.origin.is_idle().await);
        feeder.send("body");
        feeder.end();
        for asking in asking {
            assert_eq!(text(asking.response().await).await, "body");
        }
        site.is_over(3).await;
    }
}

#[tokio::test]
async fn two_caches_share_nothing() {
    let mut inner = site(policy());
    let (outer, _clock) = testing::cache();
    let app = cached(&outer, policy(), inner.app.clone());
    inner.app = app;
    let asking = inner.ask_many(10);
    inner.origin.run().await.answer("body");
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
    assert_eq!(
        (outer.stats().coalesced, inner.cache.stats().misses),
        (9, 1)
    );
}
