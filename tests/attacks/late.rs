//! A store of one's own, and a late write that is read while it is taken back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use bytes::Bytes;
use larder::{
    Cache, Key, MIB, Record, Removal, Removed, Store, StoreFuture, minutes, seconds, tag,
};
use tokio::sync::Notify;

use crate::support::get;
use crate::{counted, policy};

/// Does at once what it is asked, and answers when it is told to.
#[derive(Clone, Default)]
struct Dawdles {
    frames: Arc<Mutex<HashMap<String, Bytes>>>,
    writes: Slow,
    reads: Slow,
}

#[derive(Clone, Default)]
struct Slow {
    on: Arc<AtomicBool>,
    done: Arc<Notify>,
    go: Arc<Notify>,
}

impl Slow {
    async fn answer(&self) {
        if self.on.load(Ordering::SeqCst) {
            self.done.notify_one();
            self.go.notified().await;
        }
    }

    fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }
}

impl Store for Dawdles {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            let frame = self.frames.lock().unwrap().get(key.as_str()).cloned();
            self.reads.answer().await;
            Ok(frame)
        })
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (key, frame) = (record.key.to_string(), record.frame);
            self.frames.lock().unwrap().insert(key, frame);
            self.writes.answer().await;
            Ok(())
        })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        let gone = match removal {
            Removal::Key(key) => self.frames.lock().unwrap().remove(key.as_str()).is_some(),
            _ => false, // it came too early to see the late write
        };
        Box::pin(async move { Ok(u64::from(gone).into()) })
    }
}

#[tokio::test]
async fn what_was_read_before_it_was_taken_back_is_not_served_after() {
    let store = Dawdles::default();
    let builder = Cache::builder().memory(MIB).store(store.clone());
    let cache = builder.operation_timeout(seconds(60)).build().unwrap();
    let layer = cache.layer(policy().tag("t").wait(minutes(2)));
    let app = Router::new().route("/x", counted().layer(layer));
    store.writes.set(true);
    get(&app, "/x").await;
    store.writes.done.notified().await; // in the store, and its writer does not know yet
    cache.invalidate(tag("t")).await.unwrap();
    store.writes.set(false);
    store.reads.set(true);
    let reading = tokio::spawn(async move { get(&app, "/x").await });
    store.reads.done.notified().await; // read, and its reader does not know yet
    store.reads.set(false);
    store.writes.go.notify_one();
    cache.idle().await; // taken back
    store.reads.go.notify_one();
    let after = reading.await.unwrap();
    assert_eq!((after.hit(), after.text()), (false, "v2"));
}
