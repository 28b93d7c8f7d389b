//! Operations, progress and figures.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use crate::client::Ask;
use crate::kinds::LONG;
use crate::standin::StandIn;
use crate::support::ask;
use crate::support::terminal::Terminal;
use crate::{client, progress, run, systems, systems_with, voice};

#[tokio::test]
async fn e7_every_operation_is_there() {
    for system in systems() {
        let get = async |uri: &str| ask(&system.app, "GET", uri, None).await;
        assert_eq!(get("/voices/robin").await.status, 404);
        ask(&system.app, "PUT", "/voices/robin", Some(voice())).await;
        assert_eq!(get("/voices/robin").await.status, 200, "set, get");
        let gone = ask(&system.app, "DELETE", "/voices/robin", None).await;
        assert_eq!(
            gone.json(),
            json!({"deleted": 1}),
            "delete on {}",
            system.name
        );
        assert_eq!(get("/voices/robin").await.status, 404);

        let asked = json!({"prompt": "a joke"});
        system.complete(asked.clone()).await;
        system.complete(json!({"prompt": "another"})).await;
        let known = async || {
            let asked = Some(asked.clone());
            ask(&system.app, "GET", "/cache/ai_response", asked)
                .await
                .json()
        };
        let shown = known().await;
        let ttl = shown["ttl"].as_u64().unwrap();
        assert!(
            shown["exists"] == true && ttl > LONG.as_secs() - 60,
            "exists, ttl: {shown}"
        );
        let cleared = ask(&system.app, "DELETE", "/cache/ai_response", None).await;
        assert_eq!(
            cleared.json(),
            json!({"deleted": 2}),
            "clear on {}",
            system.name
        );
        assert_eq!(known().await, json!({"exists": false, "ttl": null}));

        let health = get("/cache/health").await.json();
        let redis = system.redis.as_ref().map(|_| true);
        assert_eq!(health["redis"], json!(redis), "{health}");
        let stats = get("/cache/stats").await.json();
        for field in [
            "hits", "misses", "sets", "deletes", "errors", "total", "hit_rate",
        ] {
            assert!(stats[field].is_number(), "{field}: {stats}");
        }
        assert_eq!(
            (&stats["sets"], &stats["deletes"]),
            (&json!(3), &json!(3)),
            "{stats}"
        );
        // the crate's own are serializable as they are
        assert!(serde_json::to_value(system.writers.cache.stats()).is_ok());
    }
}

#[tokio::test]
async fn e8_the_client_says_whether_it_was_cached() {
    for system in systems() {
        for _ in 0..4 {
            system.complete(json!({"prompt": "a joke"})).await;
        }
        let usage = ask(&system.app, "GET", "/usage", None).await.json();
        assert_eq!(
            (&usage["requests"], &usage["cached"]),
            (&json!(4), &json!(3)),
            "{usage}"
        );
        assert_eq!(usage["hit_rate"], 0.75, "{}: {usage}", system.name);
        // caching is the caller's to enable
        let plain = client::AiClient::new(StandIn::new(Duration::ZERO));
        for _ in 0..2 {
            let told = plain.complete(&Ask::new("a joke")).await.unwrap();
            assert!(!told.cached);
        }
        assert_eq!(plain.calls(), 2);
    }
}

#[tokio::test]
async fn e9_three_scenes_at_a_time_with_progress() {
    for system in systems_with(Duration::from_millis(100)) {
        let (steps, terminal) = (Mutex::new(Vec::new()), Terminal::default());
        let bar = progress::bar(6);
        bar.set_draw_target(terminal.target());
        let told = |step: String| {
            progress::step(&bar, &step, |line| {
                steps.lock().unwrap().push(line.to_owned())
            });
        };
        let episode = system.writers.write("pilot", 6, told).await.unwrap();
        assert_eq!(
            (episode.script.len(), episode.written),
            (6, 6),
            "{}",
            system.name
        );
        assert_eq!(system.writers.client.most_at_once(), 3, "{}", system.name);
        let steps = steps.into_inner().unwrap();
        assert_eq!(steps.len(), 6);
        let shown = terminal.shown();
        for n in 1..=6 {
            assert!(shown.contains(&format!(" {n}/6 ")), "{n}: {shown}");
        }
        assert!(
            steps[5].starts_with("6/6 ") && steps[5].ends_with("filled"),
            "{steps:?}"
        );
        let again = system.writers.write("pilot", 6, |_| ()).await.unwrap();
        assert_eq!((again.known, system.calls()), (6, 7), "{}", system.name);
    }
}

#[tokio::test]
async fn e10_the_monitor_names_the_slowest_phase() {
    for system in systems_with(Duration::from_millis(50)) {
        for n in 0..3 {
            system
                .complete(json!({"prompt": format!("joke {n}")}))
                .await;
            system
                .complete(json!({"prompt": format!("joke {n}")}))
                .await;
        }
        let shown = ask(&system.app, "GET", "/performance", None).await.json();
        assert_eq!(shown["bottleneck"], "fill", "{}: {shown}", system.name);
        let phases = &shown["milliseconds"]["ai_response"];
        assert!(phases["fill"].as_f64().unwrap() >= 45.0, "{shown}");
        assert!(phases["miss"].as_f64().unwrap() >= 45.0, "{shown}");
    }
}

#[tokio::test]
async fn e11_a_season_meets_its_targets() {
    // a model as fast as they come: the times have a hundredfold to spare
    let seasons = systems_with(Duration::from_secs(2))
        .into_iter()
        .map(|system| async move {
            let system = system; // its server too
            let season = run::season(&system.writers, (1, 6), |_| ()).await.unwrap();
            let name = system.name;
            assert!(
                season.episode < Duration::from_secs(300),
                "{name}: {season}"
            );
            assert!(season.hit_rate > 60.0, "{name}: {season}");
            assert!(
                season.cached < Duration::from_millis(10),
                "{name}: {season}"
            );
            assert!(season.speed_up >= 200.0, "{name}: {season}");
            assert!(
                season.parallel > 1.2 && season.at_once == 3,
                "{name}: {season}"
            );
            assert!(season.memory.0 <= season.memory.1, "{name}: {season}");
            assert_eq!(season.calls, 7, "{name}: an outline and its scenes, once");
        });
    futures_util::future::join_all(seasons).await;
}
