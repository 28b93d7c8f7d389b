//! Redis that is away, and work behind the requests.

use larder::config::Config;
use larder::minutes;
use serde_json::json;

use crate::app::Studio;
use crate::support::{PATIENT, ask, eventually, tiers};
use crate::{QUERY, studio, systems};

#[tokio::test]
async fn c1_a_redis_that_is_gone_means_uncached_and_no_errors() {
    for system in systems().await {
        let mut system = system;
        let uri = "/projects/p1/scenes/s1";
        system.scene(uri).await;
        let Some(redis) = &mut system.tiers.redis else {
            continue; // memory alone cannot go
        };
        redis.kill();
        for _ in 0..3 {
            assert_eq!(ask(&system.app, "GET", uri, None).await.status, 200);
        }
        let update = Some(json!({"code": "<New/>"}));
        assert_eq!(ask(&system.app, "PUT", uri, update).await.status, 204);
        let answer = ask(&system.app, "GET", uri, None).await;
        assert_eq!(answer.json()["code"], "<New/>");
        assert!(system.tiers.cache.stats().store_errors > 0);
    }
}

#[tokio::test]
async fn c6_an_opened_project_is_warmed_and_nobody_waits() {
    for tiers in tiers().await {
        // one whose queries never end in a test's time
        let hung = studio(&tiers.cache, &Config::default(), minutes(10));
        let open = async |studio: &Studio| {
            let app = studio.router();
            let open =
                tokio::spawn(async move { ask(&app, "POST", "/projects/p1/open", None).await });
            tokio::time::timeout(PATIENT, open).await
        };
        let answer = open(&hung).await.expect("it waits for no query").unwrap();
        assert_eq!(answer.status, 202, "{}", tiers.name);
    }
    for tiers in tiers().await {
        let studio = studio(&tiers.cache, &Config::default(), QUERY);
        let app = studio.router();
        let answer = ask(&app, "POST", "/projects/p1/open", None).await;
        assert_eq!(answer.status, 202);
        let scenes = &studio.cached.scenes;
        eventually("all are warm", || async {
            let keys = (1..=10).map(|scene| format!("p1:s{scene}"));
            let found = futures_util::future::join_all(keys.map(|key| scenes.contains(key)));
            found.await.into_iter().all(|found| found)
        })
        .await;
        assert!(
            studio.cached.lists.contains("p1:scenes").await,
            "{}",
            tiers.name
        );
        // one that is not there fails, and is only reported
        let report = studio.warm("p1").await.unwrap().report().await;
        assert_eq!(
            (report.fresh, report.failed.len()),
            (10, 0),
            "{}",
            tiers.name
        );
        assert_eq!(
            ask(&app, "POST", "/projects/none/open", None).await.status,
            202
        );
    }
}
