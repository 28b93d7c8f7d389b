//! Soft invalidation of values.

use std::sync::Arc;

use larder::{Outcome, minutes, pattern, tag};
use tokio::sync::Semaphore;

use crate::support::{eventually, tiers};
use crate::{Source, read, settings};

#[tokio::test]
async fn a_soft_invalidation_makes_values_stale() {
    for tier in tiers().await {
        let builder = settings(&tier.cache).tag("cast");
        let builder = builder.stale_while_revalidate(minutes(1));
        let (values, source) = (builder.build().unwrap(), Source::default());
        for (n, selector) in [tag("cast"), pattern("character:*")]
            .into_iter()
            .enumerate()
        {
            read(&values, &source, "a").await;
            tier.cache.idle().await;
            tier.cache.invalidate(selector.soft()).await.unwrap();
            let stale = read(&values, &source, "a").await;
            let is_stale = matches!(stale.outcome(), Outcome::Stale { .. });
            assert!(is_stale, "{} {:?}", tier.name, stale.outcome());
            assert_eq!(stale.run, n + 1);
            tier.cache.idle().await;
            assert_eq!(read(&values, &source, "a").await.run, n + 2);
        }
    }
}

#[tokio::test]
async fn a_load_that_began_before_a_soft_invalidation_is_not_shared_after_it() {
    for tier in tiers().await {
        let cache = &tier.cache;
        let values = settings(cache).tag("cast").build().unwrap();
        let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
        let (slow, waits, from) = (values.clone(), Arc::clone(&gate), source.clone());
        let first = tokio::spawn(async move {
            let load = move || async move {
                let made = from.make("a");
                waits.acquire().await.unwrap().forget();
                Ok::<_, crate::NotThere>(made)
            };
            slow.get_or_try_insert_with("a", load).await.unwrap().run
        });
        eventually("it is being loaded", || async { source.runs() == 1 }).await;
        cache.invalidate(tag("cast").soft()).await.unwrap();
        assert_eq!(read(&values, &source, "a").await.run, 2, "{}", tier.name);
        gate.add_permits(1);
        assert_eq!(first.await.unwrap(), 1, "it asked before");
    }
}
