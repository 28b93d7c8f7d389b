//! Connections, figures, warming, TTLs that adapt.

use std::time::Duration;

use larder::{MIB, minutes};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, ask, eventually, get};
use crate::{app, on, system, systems_of, systems_with_memory};

#[tokio::test]
async fn a8_connections_are_pooled_and_redis_is_shared_and_watched() {
    for system in systems_with_memory().await {
        for round in 0..3 {
            system
                .warm(&["/checkpoints", "/samplers", "/schedulers"])
                .await;
            system.warm(&["/characters/1"]).await;
            system.cache.invalidate("api:*").await.unwrap();
            assert_eq!(system.upstream.calls(), 3 * (round + 1));
        }
        assert_eq!(
            system.upstream.connections(),
            1,
            "nine calls, one connection"
        );
        let shown = ask(&system.app, "GET", "/cache/stats", None).await.json();
        assert!(shown["misses"].as_u64().unwrap() > 0, "{shown}");
        assert!(
            shown["endpoints"]["character"]["misses"].is_u64(),
            "{shown}"
        );
        let Some(redis) = &system.redis else { continue };
        let server = &shown["redis"][0];
        for field in ["keyspace_hits", "keyspace_misses", "used_memory"] {
            assert!(server[field].is_u64(), "{field}: {shown}");
        }
        let clients: String = redis.command(&["CLIENT", "LIST"]);
        let ours = clients.lines().filter(|line| !line.contains("cmd=client"));
        assert!(
            ours.count() <= 2,
            "one for commands, one to listen:\n{clients}"
        );
    }
}

#[tokio::test]
async fn a9_warmed_at_the_start_before_anybody_asks() {
    for system in systems_with_memory().await {
        let warmup = system.cache.warm().host("a.example");
        let run = warmup.requests(system.app.clone(), app::favourites());
        let report = run.report().await;
        assert!(report.is_complete() && report.filled == 25, "{report:?}");
        let calls = system.upstream.calls();
        for uri in app::favourites() {
            assert!(get(&system.app, &uri).await.hit(), "{uri}");
        }
        assert_eq!(system.upstream.calls(), calls);
    }
}

/// What is warmed takes as long as it likes: who asks meanwhile is served.
#[tokio::test]
async fn a9_warming_delays_no_first_request() {
    for system in systems_of(minutes(10)).await {
        let warmup = system.cache.warm().host("a.example").concurrency(3);
        let run = warmup.requests(system.app.clone(), app::favourites());
        eventually("it waits for the other service", || async {
            system.upstream.calls() > 0
        })
        .await;
        for uri in ["/characters/150", "/characters/1", "/platform/status"] {
            let asked = tokio::time::timeout(PATIENT, get(&system.app, uri)).await;
            assert_eq!(asked.expect("nobody waits").status, 200, "{uri}");
        }
        run.cancel();
    }
}

#[tokio::test]
async fn a9_large_objects_are_compressed_and_ttls_are_proposed() {
    let redis = Redis::start();
    let clock = larder::testing::ManualClock::new();
    let cache = on(&redis)
        .memory(16 * MIB)
        .clock(std::sync::Arc::new(clock.clone()));
    let system = system(cache, None).await;
    system.warm(&["/characters"]).await;
    let body = get(&system.app, "/characters").await.body.len();
    let key = redis
        .entries()
        .into_iter()
        .find(|key| key.starts_with("api:character:"))
        .unwrap();
    let stored: usize = redis.command(&["STRLEN", &key]);
    assert!(body > 1_024 && stored < body, "{stored} of {body}");
    for _ in 0..25 {
        system.warm(&["/characters/1"]).await;
        clock.advance(Duration::from_secs(301));
    }
    let shown = ask(&system.app, "GET", "/cache/stats", None).await.json();
    let proposed = shown["ttls"]["character"]["proposed"].as_f64().unwrap();
    assert!(proposed > 300.0, "it never changes: {shown}");
}

/// Two processes by one file: what the one writes the other reads, and neither fills it anew.
#[tokio::test]
async fn processes_that_share_a_redis_share_the_database() {
    let file = std::env::temp_dir().join(format!("larder-{}.db", std::process::id()));
    let open = || crate::database::Database::seeded_file(&file, 10).unwrap();
    let (one, other) = (open(), open());
    assert!(one.rename(7, "Ada".to_owned()).await.unwrap());
    let found = other.show(7).await.unwrap().unwrap();
    let again = open().show(7).await.unwrap().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((&*found.name, &*again.name), ("Ada", "Ada"));
}
