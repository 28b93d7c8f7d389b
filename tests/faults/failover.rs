//! Another server takes over, or the same one without what it held (FAULTS 6, 7).

use std::time::Duration;

use larder::tag;

use super::*;
use crate::proxy::Way;

/// A replica of a server, in step with it.
async fn replica_of(primary: &Redis) -> Redis {
    let port = primary.port().to_string();
    let replica = Redis::start_with(&["--repl-diskless-sync-delay", "0"]);
    replica.command::<()>(&["REPLICAOF", "127.0.0.1", &port]);
    in_step(&replica).await;
    replica
}

async fn in_step(replica: &Redis) {
    eventually("it follows", || async {
        let info: String = replica.command(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    })
    .await;
}

#[tokio::test]
async fn a_promoted_replica_with_older_data_brings_nothing_back() {
    let (primary, proxy) = behind_proxy();
    let replica = replica_of(&primary).await;
    let site = Site::new();
    let (a, b) = (patient(&site, proxy.url()), patient(&site, proxy.url()));
    let alone = bare(&site, proxy.url());
    for process in [&a, &b, &alone] {
        comes_back(process).await;
    }
    eventually("the replica has all", || async {
        let acknowledged: u64 = primary.command(&["WAIT", "1", "100"]);
        acknowledged == 1 && !replica.entries().is_empty()
    })
    .await;
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]); // it hears of nothing any more
    site.write();
    // a primary that has lost its replica may not be one any more: it confirms nothing
    let told = a.cache.invalidate(tag("item:1")).await.unwrap_err();
    assert_eq!(told.kind(), larder::InvalidateErrorKind::Queued);
    assert!(!replica.entries().is_empty(), "the old entry is there");
    proxy.set(|rules| rules.to = replica.port());
    proxy.cut();
    for _ in 0..5 {
        for process in [&alone, &a, &b] {
            served(process, &site).await;
        }
    }
    for process in [&a, &b, &alone] {
        comes_back(process).await;
        served(process, &site).await;
    }
}

/// Two replicas: one confirms, the other has fallen behind and takes over. Who merges
/// tells it what it missed, and serves on what is still good.
#[tokio::test]
async fn who_merges_stays_warm_behind_a_replica_with_older_data() {
    let (mut primary, proxy) = behind_proxy();
    let (confirms, lags) = (replica_of(&primary).await, replica_of(&primary).await);
    let site = Site::new();
    let merging = || {
        let builder = builder(proxy.url()).on_failover(larder::Failover::Merge);
        let builder = builder.operation_timeout(PATIENT).memory(16 * MIB);
        site.with(builder.build().unwrap())
    };
    let (a, b) = (merging(), merging());
    for process in [&a, &b] {
        comes_back(process).await;
        assert_eq!(get(&process.app, "/items/2").await.text(), "v0");
        process.cache.idle().await;
    }
    eventually("the replica has both", || async {
        let acknowledged: u64 = primary.command(&["WAIT", "2", "100"]);
        acknowledged == 2 && lags.entries().len() == 2
    })
    .await;
    lags.command::<()>(&["REPLICAOF", "NO", "ONE"]); // it hears of nothing any more
    site.write();
    eventually("one replica confirms", || async {
        a.cache.invalidate(tag("item:1")).await.is_ok()
    })
    .await;
    assert_eq!(lags.entries().len(), 2, "the old entry is there");
    let port = lags.port().to_string();
    primary.kill();
    confirms.command::<()>(&["REPLICAOF", "127.0.0.1", &port]);
    in_step(&confirms).await;
    proxy.set(|rules| rules.to = lags.port());
    proxy.cut();
    // until the leases of the old primary are over
    let beats = lags.calls("evalsha");
    eventually("both have a lease of the new one", || async {
        for process in [&a, &b] {
            served(process, &site).await;
        }
        lags.calls("evalsha") > beats + 12
    })
    .await;
    for process in [&a, &b] {
        let reply = get(&process.app, "/items/2").await;
        assert_eq!((reply.hit(), reply.text()), (true, "v0"), "is served on");
    }
    // who knew nothing of it before
    let c = merging();
    comes_back(&c).await;
    served(&c, &site).await;
}

#[tokio::test]
async fn a_replica_that_takes_no_writes_is_a_redis_that_is_away_until_it_is_promoted() {
    let (primary, proxy) = behind_proxy();
    let replica = replica_of(&primary).await;
    let site = Site::new();
    let a = process(&site, proxy.url());
    comes_back(&a).await;
    proxy.set(|rules| rules.to = replica.port());
    proxy.cut();
    site.write();
    let told = a.cache.invalidate(tag("item:1")).await.unwrap_err();
    assert_eq!(told.kind(), larder::InvalidateErrorKind::Queued);
    let before = proxy.connections();
    for _ in 0..200 {
        served(&a, &site).await;
    }
    let made = proxy.connections() - before;
    assert!(made < 60, "{made} connections for 200 requests");
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    comes_back(&a).await;
    served(&a, &site).await;
}

/// Who is being promoted may send its clients away.
pub fn is_primary(redis: &Redis) -> bool {
    let info = redis.try_command::<String>(&["INFO", "replication"]);
    info.is_ok_and(|info| info.contains("role:master"))
}

/// A primary, its replica, and a sentinel that watches them.
struct Watched {
    primary: Redis,
    replica: Redis,
    sentinel: Redis,
    directory: std::path::PathBuf,
}

impl Watched {
    async fn start() -> Self {
        let primary = Redis::start();
        let replica = replica_of(&primary).await;
        let directory = std::env::temp_dir().join(format!(
            "larder-sentinel-{}-{}",
            std::process::id(),
            primary.port()
        ));
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("sentinel.conf");
        let monitor = format!(
            "sentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n",
            primary.port()
        );
        std::fs::write(&config, monitor).unwrap();
        let sentinel = Redis::start_sentinel(config.to_str().unwrap());
        eventually("it knows the replica", || async {
            let known: Vec<redis::Value> = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
            !known.is_empty()
        })
        .await;
        Self {
            primary,
            replica,
            sentinel,
            directory,
        }
    }

    fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn fails_over(how: impl Fn(&mut Redis)) {
    let mut watched = Watched::start().await;
    let site = Site::new();
    let (a, b) = (process(&site, watched.url()), bare(&site, watched.url()));
    comes_back(&a).await;
    comes_back(&b).await;
    how(&mut watched.primary);
    site.write();
    let _ = a.cache.invalidate(tag("item:1")).await; // told or kept
    // a Sentinel whose own timer has stood still judges nothing for half a minute
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    loop {
        served(&a, &site).await;
        assert_eq!(b.get().await.status, 200);
        b.cache.idle().await;
        if is_primary(&watched.replica) && b.get().await.hit() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no failover");
    }
    eventually("both serve what is new", || async {
        served(&a, &site).await;
        b.get().await.text() == "v1"
    })
    .await;
    eventually("it is kept there", || async {
        !watched.replica.entries().is_empty()
    })
    .await;
}

#[tokio::test]
async fn sentinel_names_another_primary_when_one_dies() {
    fails_over(Redis::kill).await;
}

#[tokio::test]
async fn sentinel_names_another_primary_when_one_hangs() {
    fails_over(|redis| redis.stop()).await;
}

#[tokio::test]
async fn a_sentinel_that_hangs_stops_nobody() {
    let watched = Watched::start().await;
    let site = Site::new();
    let a = process(&site, watched.url());
    comes_back(&a).await;
    watched.sentinel.stop();
    for _ in 0..20 {
        served(&a, &site).await;
    }
    assert!(a.get().await.hit(), "the connection is there");
    let started_without = process(&site, watched.url());
    for _ in 0..20 {
        served(&started_without, &site).await;
    }
    watched.sentinel.resume();
    comes_back(&started_without).await;
}

#[test]
fn who_asks_a_sentinel_on_a_runtime_that_is_not_driven_keeps_nobody_from_redis() {
    let (small, big) = crate::runtimes::runtimes();
    let watched = big.block_on(Watched::start());
    let proxy = Proxy::start(watched.sentinel.port());
    let url = proxy.url().replace("redis://", "redis+sentinel://");
    let a = process(&Site::new(), format!("{url}/main"));
    proxy.stall(Way::ToClient, 0);
    small.block_on(async {
        let app = a.app.clone();
        let asked = tokio::spawn(async move { crate::get(&app, "/items/1").await });
        eventually("it asks", || async { proxy.connections() > 0 }).await;
        asked.abort();
    });
    proxy.flow();
    big.block_on(comes_back(&a));
}
