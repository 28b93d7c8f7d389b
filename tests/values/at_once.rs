//! What is given while something else is written under the same name.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use larder::values::{Content, ValueKey};
use larder::{
    Cache, CacheBuilder, Key, MIB, Record, Removal, Removed, Store, StoreError, StoreErrorKind,
    StoreFuture, tag,
};
use tokio::sync::Semaphore;

use crate::support::redis_server::Redis;
use crate::support::{Calls, PATIENT, SHORT, eventually};
use crate::{Source, characters, read, settings};

fn process(redis: &Redis, tiers: impl Fn(CacheBuilder) -> CacheBuilder) -> Cache {
    let builder = tiers(Cache::builder().redis(redis.url()));
    let builder = builder.lease(SHORT * 10).operation_timeout(PATIENT);
    builder.build().unwrap()
}

#[tokio::test]
async fn of_insertions_at_once_one_stays() {
    let redis = Redis::start();
    let reader = characters(&process(&redis, |builder| builder));
    for memory in [true, false] {
        let cache = process(&redis, |builder| match memory {
            true => builder.memory(16 * MIB),
            false => builder,
        });
        let (values, source) = (characters(&cache), Source::default());
        let content = Content::of("c");
        let keys = [
            (ValueKey::new("a"), ValueKey::new("a")),
            // two keys of one content
            (
                ValueKey::new("b").content(content),
                ValueKey::new("c").content(content),
            ),
        ];
        for (one, other) in &keys {
            let (first, second) = (source.make("x"), source.make("x"));
            join(values.insert(one, first), values.insert(other, second)).await;
            let last = source.runs();
            let here = values.get(one).await.map(|it| it.run);
            let there = reader.get(one).await.map(|it| it.run);
            assert_eq!((here, there), (Some(last), Some(last)), "memory: {memory}");
        }
    }
}

/// Both are written under the key, one of them under its content too.
#[tokio::test]
async fn nor_is_one_lost_beside_one_that_has_a_content() {
    let redis = Redis::start();
    let (here, there) = (process(&redis, |it| it), process(&redis, |it| it));
    let (values, reader) = (characters(&here), characters(&there));
    let source = Source::default();
    values.insert("first", source.make("first")).await; // there is a lease, and the scripts are known
    for turns in 0..60 {
        let id: &'static str = format!("{turns}").leak();
        let with_content = ValueKey::new(id).content(Content::of(id));
        let first = values.insert(&with_content, source.make("content"));
        let second = async {
            for _ in 0..turns % 20 {
                tokio::task::yield_now().await; // the first gets so far
            }
            values.insert(id, source.make("plain")).await
        };
        join(first, second).await;
        here.idle().await;
        let found = reader.get(id).await;
        assert_eq!(found.expect(id).id, "plain");
    }
}

#[tokio::test]
async fn an_insertion_outlives_a_load_that_is_still_being_written() {
    let redis = Redis::start();
    let (here, there) = (process(&redis, |it| it), process(&redis, |it| it));
    let (values, reader) = (characters(&here), characters(&there));
    let source = Source::default();
    values.insert("first", source.make("first")).await; // there is a lease, and the scripts are known
    for turns in 0..50 {
        let id: &'static str = format!("{turns}").leak();
        read(&values, &source, id).await;
        for _ in 0..turns % 10 {
            tokio::task::yield_now().await; // it gets so far
        }
        values.insert(id, source.make("given")).await;
        here.idle().await;
        let found = reader.get(id).await;
        assert_eq!(found.expect(id).id, "given");
    }
}

/// A store in which another process has filled each key by the time that a write is answered.
#[derive(Clone)]
struct Fences {
    asked: Calls,
    answers: Arc<Semaphore>,
    removed: Calls,
}

impl Store for Fences {
    fn get<'a>(&'a self, _: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async { Ok(None) })
    }

    fn put<'a>(&'a self, _: Record<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async {
            self.asked.count();
            self.answers.acquire().await.unwrap().forget();
            let why = "another one has filled it";
            Err(StoreError::new(StoreErrorKind::Fenced, why))
        })
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        if let Removal::Key(_) = removal {
            self.removed.count();
        }
        Box::pin(async { Ok(Removed::default()) })
    }
}

#[tokio::test]
async fn what_was_refused_as_too_late_is_not_taken_back_either() {
    let store = Fences {
        asked: Calls::default(),
        answers: Arc::new(Semaphore::new(0)),
        removed: Calls::default(),
    };
    let builder = Cache::builder().store(store.clone());
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    let values = settings(&cache).tag("t").build().unwrap();
    read(&values, &Source::default(), "a").await;
    eventually("a write", || async { store.asked.now() == 1 }).await;
    cache.invalidate(tag("t")).await.unwrap();
    store.answers.add_permits(1);
    cache.idle().await;
    assert_eq!(store.removed.now(), 0, "what lies there is the other one's");
}
