//! A value that is given while it is invalidated.

use std::error::Error;
use std::sync::{Arc, Mutex, mpsc};

use larder::values::{Codec, Json};
use larder::{Cache, tag};
use tokio::sync::Semaphore;

use crate::NotThere;
use crate::proxy::{Proxy, Way};
use crate::support::redis_server::Redis;
use crate::support::{PATIENT, eventually};

/// Writes one value only once an invalidation, which its process cannot hear yet, has ended.
struct Held {
    proxy: Arc<Proxy>,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Codec<u64> for Held {
    fn name(&self) -> &'static str {
        "json"
    }

    fn encode(&self, value: &u64) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        self.proxy.flow();
        self.ended.lock().unwrap().recv()?;
        Json.encode(value)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, Box<dyn Error + Send + Sync>> {
        Json.decode(bytes)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_is_invalidated_while_it_is_given_gives_no_way_to_a_load_that_began_before() {
    let redis = Redis::start();
    let proxy = Arc::new(Proxy::start(redis.port()));
    let process = |url: String| {
        let builder = Cache::builder().redis(url).lease(PATIENT / 2);
        builder.operation_timeout(PATIENT).build().unwrap()
    };
    let (here, there) = (process(proxy.url()), process(redis.url()));
    let third = process(redis.url());
    let (tell, ended) = mpsc::channel();
    let held = Held {
        proxy: Arc::clone(&proxy),
        ended: Mutex::new(ended),
    };
    let gives = here.values_with("number", held).tag("x").build().unwrap();
    let number = |cache: &Cache| cache.values::<u64>("number").tag("x").build().unwrap();
    let loads = number(&there);
    assert!(gives.get("a").await.is_none() && loads.get("a").await.is_none());
    assert!(number(&third).get("a").await.is_none());
    let rows = |with: &str| -> usize {
        let rows: Vec<String> = redis.command(&["HVALS", "api:!{clock}"]);
        rows.iter().filter(|row| row.contains(with)).count()
    };
    assert!(third.invalidate("api:other:*").await.is_ok()); // the clock is young no more
    eventually("all listen", || async {
        let (_, n): (String, u64) = redis.command(&["PUBSUB", "NUMSUB", "api:!clock"]);
        n == 3 && rows(" 1 ") == 3
    })
    .await;
    proxy.stall(Way::ToClient, 0);
    let done = tokio::spawn(async move {
        let done = third.invalidate(tag("x")).await;
        tell.send(()).unwrap();
        done.map(drop)
    });
    eventually("only one has not heard", || async { rows(" 2 ") == 2 }).await;
    let gate = Arc::new(Semaphore::new(0));
    let (values, opens) = (loads.clone(), Arc::clone(&gate));
    let load = tokio::spawn(async move {
        let load = move || async move {
            opens.acquire().await.unwrap().forget();
            Ok::<_, NotThere>(1)
        };
        values.get_or_try_insert_with("a", load).await.map(drop)
    });
    let lock = "api:!lock:{number:a}".to_owned();
    eventually("it loads", || async { redis.keys().contains(&lock) }).await;
    gives.insert("a", 2).await;
    done.await.unwrap().unwrap();
    gate.add_permits(1);
    load.await.unwrap().unwrap();
    there.idle().await;
    let found = loads.get("a").await;
    assert_ne!(found.as_deref(), Some(&1));
}
