//! Typed values: on memory, and on a real Redis.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/proxy.rs"]
#[allow(dead_code, reason = "it is used in part")]
mod proxy;
#[path = "../support/resp.rs"]
mod resp;

mod adaptive;
mod at_once;
mod contents;
mod erase;
mod given;
mod inserts;
mod keys;
mod long;
mod reads;
mod sealed;
mod shared;
mod soft;
mod stale;
mod store;
mod theirs;
mod warming;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::values::{Values, ValuesBuilder};
use larder::{Cache, minutes};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Character {
    id: String,
    run: usize,
}

/// Where characters come from: counts how often it is asked.
#[derive(Clone, Default)]
struct Source(Arc<AtomicUsize>);

impl Source {
    fn runs(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn make(&self, id: &str) -> Character {
        Character {
            id: id.to_owned(),
            run: self.0.fetch_add(1, Ordering::SeqCst) + 1,
        }
    }

    async fn load(self, id: &'static str) -> Result<Character, NotThere> {
        tokio::task::yield_now().await;
        Ok(self.make(id))
    }
}

#[derive(Debug, PartialEq)]
struct NotThere(&'static str);

fn settings(cache: &Cache) -> ValuesBuilder<Character> {
    cache.values::<Character>("character").ttl(minutes(5))
}

fn characters(cache: &Cache) -> Values<Character> {
    settings(cache).build().unwrap()
}

/// Reads a character through the cache.
async fn read(
    values: &Values<Character>,
    source: &Source,
    id: &'static str,
) -> larder::values::CachedValue<Character> {
    let source = source.clone();
    let read = values.get_or_try_insert_with(id, move || source.load(id));
    read.await.unwrap()
}

/// Whole seconds.
fn about(time: std::time::Duration) -> u64 {
    (time + std::time::Duration::from_millis(500)).as_secs()
}

/// Lets time pass, and waits until the cache has a lease again: a beat that was on
/// its way meanwhile brings none.
async fn pass(cache: &Cache, clock: &larder::testing::ManualClock, time: std::time::Duration) {
    use larder::{Cause, Outcome};

    clock.advance(time);
    let probes = cache.values::<u8>("probe").build().unwrap();
    support::eventually("a lease", || async {
        let load = || async { Ok::<_, NotThere>(1) };
        let probe = probes.get_or_try_insert_with("x", load).await.unwrap();
        let lost = Cause::StoreError;
        !matches!(probe.outcome(), Outcome::Miss { cause, .. } if cause == lost)
    })
    .await;
    cache.idle().await;
    probes.clear().await.unwrap();
}
