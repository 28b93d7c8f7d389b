//! Redis Cluster: a primary that dies or hangs, slots that move (FAULTS 3, 6).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;
use crate::cluster_server::Cluster;

const ITEMS: u64 = 60;

fn uri(n: u64) -> String {
    format!("/items/{n}")
}

async fn fill(process: &Process) {
    for n in 0..ITEMS {
        assert_eq!(get(&process.app, &uri(n)).await.status, 200);
    }
    process.cache.idle().await;
}

/// How many of all items are found.
async fn hits(process: &Process) -> u64 {
    let mut hits = 0;
    for n in 0..ITEMS {
        let reply = get(&process.app, &uri(n)).await;
        assert_eq!(reply.status, 200);
        hits += u64::from(reply.hit());
    }
    process.cache.idle().await;
    hits
}

fn cluster_process(site: &Site, cluster: &Cluster) -> Process {
    let builder = Cache::builder().redis(cluster.url()).lease(SHORT * 5);
    let builder = builder.operation_timeout(Duration::from_millis(250));
    site.with(builder.build().unwrap())
}

/// Requests for all items, over and over, until it is dropped.
struct Load(Arc<AtomicBool>, tokio::task::JoinHandle<u64>);

impl Load {
    fn on(process: &Process) -> Self {
        let (app, over) = (process.app.clone(), Arc::new(AtomicBool::new(false)));
        let ending = Arc::clone(&over);
        let load = tokio::spawn(async move {
            let mut asked = 0;
            while !ending.load(Ordering::SeqCst) {
                let reply = get(&app, &uri(asked % ITEMS)).await;
                assert_eq!((reply.status.as_u16(), reply.text()), (200, "v0"));
                asked += 1;
            }
            asked
        });
        Self(over, load)
    }

    async fn end(self) -> u64 {
        self.0.store(true, Ordering::SeqCst);
        self.1.await.unwrap()
    }
}

/// Some primary goes away under load: no request fails, those of the others go on,
/// and hits come back with its replica.
async fn loses(victim: impl Fn(&Cluster) -> usize, how: impl Fn(&mut Redis)) {
    let mut cluster = Cluster::start(3, true).await;
    let site = Site::new();
    let a = cluster_process(&site, &cluster);
    eventually("all are found", || async {
        fill(&a).await;
        hits(&a).await == ITEMS
    })
    .await;
    let load = Load::on(&a);
    let victim = victim(&cluster);
    how(&mut cluster.nodes[victim]);
    eventually("its replica is promoted", || async {
        failover::is_primary(&cluster.nodes[victim + 3])
    })
    .await;
    eventually("all are found again", || async { hits(&a).await == ITEMS }).await;
    assert!(load.end().await > 0);
}

fn of_the_clock(cluster: &Cluster) -> usize {
    cluster.primary_of("api:!{clock}")
}

fn of_entries_alone(cluster: &Cluster) -> usize {
    (of_the_clock(cluster) + 1) % 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_with_the_clock_is_killed_under_load() {
    loses(of_the_clock, Redis::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_with_entries_is_killed_under_load() {
    loses(of_entries_alone, Redis::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_with_the_clock_hangs_under_load() {
    loses(of_the_clock, |redis| redis.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_with_entries_hangs_under_load() {
    loses(of_entries_alone, |redis| redis.stop()).await;
}

#[tokio::test]
async fn where_one_primary_hangs_the_others_answer() {
    let cluster = Cluster::start(3, false).await;
    let site = Site::new();
    let a = cluster_process(&site, &cluster);
    eventually("all are found", || async {
        fill(&a).await;
        hits(&a).await == ITEMS
    })
    .await;
    let hung = &cluster.nodes[of_entries_alone(&cluster)];
    let theirs = hung.entries().len() as u64;
    hung.stop();
    eventually(
        "it is left alone, and its entries alone are missed",
        || async {
            let found = hits(&a).await;
            open_for(&a.cache).await.is_some() && found == ITEMS - theirs
        },
    )
    .await;
    hung.resume();
    eventually("all are found again", || async {
        fill(&a).await;
        hits(&a).await == ITEMS
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_under_load() {
    let cluster = Cluster::start(3, false).await;
    let site = Site::new();
    let a = cluster_process(&site, &cluster);
    eventually("all are found", || async {
        fill(&a).await;
        hits(&a).await == ITEMS
    })
    .await;
    let slot = |name: &str| cluster.nodes[0].command(&["CLUSTER", "KEYSLOT", name]);
    let load = Load::on(&a);
    for name in cluster.nodes[of_entries_alone(&cluster)].entries() {
        let from = cluster.primary_of(&name);
        cluster.move_slot(slot(&name), from, (from + 1) % 3);
        assert_eq!(hits(&a).await, ITEMS, "{name} has moved");
    }
    // on another server it is another clock
    let from = of_the_clock(&cluster);
    cluster.move_slot(slot("{clock}"), from, (from + 1) % 3);
    eventually("all are found again", || async { hits(&a).await == ITEMS }).await;
    assert!(load.end().await > 0);
    a.cache.invalidate("api:it*").await.unwrap();
    for node in &cluster.nodes {
        assert!(node.entries().is_empty(), "every primary was scanned");
    }
}
