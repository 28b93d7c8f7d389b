//! One generation for all who wait, and warming.

use std::time::Duration;

use larder::{Cache, seconds};
use serde_json::{Value, json};

use crate::app::Game;
use crate::standin::StandIn;
use crate::support::{PATIENT, SHORT, ask, tiers};
use crate::{API, systems, wanted};

#[tokio::test]
async fn b8_a_hundred_callers_on_two_instances_generate_once() {
    let slow = Duration::from_millis(400);
    for tiers in tiers().await {
        let generator = StandIn::new(slow);
        let mut apps = vec![Game::new(&tiers.cache, generator.clone()).unwrap().router()];
        if let Some(redis) = &tiers.redis {
            let other = Cache::builder().redis(redis.url()).lease(SHORT);
            let other = other.operation_timeout(PATIENT).build().unwrap();
            apps.push(Game::new(&other, generator.clone()).unwrap().router());
        }
        let callers = (0..100).map(|n| {
            let app = apps[n % apps.len()].clone();
            async move { ask(&app, "POST", API, Some(wanted(json!({})))).await.json() }
        });
        let answers = futures_util::future::join_all(callers).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer["generation_id"] == "gen_0001")
        );
        assert_eq!(generator.calls(), 1, "{}", tiers.name);
    }
}

#[tokio::test(start_paused = true)]
async fn b8_a_generator_of_twelve_seconds_is_waited_for() {
    let (cache, _clock) = larder::testing::cache();
    let game = Game::new(&cache, StandIn::new(seconds(12))).unwrap();
    let app = game.router();
    let callers = (0..100).map(|_| ask(&app, "POST", API, Some(wanted(json!({})))));
    let answers = futures_util::future::join_all(callers).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(game.generator.calls(), 1);
}

#[tokio::test]
async fn b9_a_warmup_tells_its_progress() {
    for system in systems().await {
        let uri = format!("{API}/cache/warmup");
        let scenes = json!({"playthrough_id": "p1", "scene_ids": ["s1", "s2", "", "s3", "s4"]});
        let answer = ask(&system.app, "POST", &uri, Some(scenes)).await;
        let lines = std::str::from_utf8(&answer.body).unwrap().lines();
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let filled = lines
            .iter()
            .filter(|line| line["warmed"] == "filled")
            .count();
        assert_eq!((lines.len(), filled), (4, 2), "{lines:?}");
        assert!(lines.iter().all(|line| line["total"] == 4), "{lines:?}");
        system.tiers.cache.idle().await;
        let warmed = wanted(json!({
            "operation_type": "transition", "purpose": "scene_change", "from_scene": "s3", "to_scene": "s4",
            "strategy": "per_playthrough", "playthrough_id": "p1",
        }));
        assert!(system.generate(&warmed).await.1, "{}", system.tiers.name);
    }
}
