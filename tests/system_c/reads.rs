//! What is read through the cache, under which keys, and what ends it.

use larder::{minutes, seconds};
use serde_json::json;

use crate::support::ask;
use crate::systems;

#[tokio::test]
async fn c2_keys_are_what_they_were() {
    for system in systems().await {
        system.scene("/projects/p1/scenes/s1").await;
        system.get("/projects/p1/scenes").await;
        system.decide("add a chart").await;
        ask(&system.app, "POST", "/projects/p1/scenes/s1/build", None).await;
        system.get("/users/7/preferences").await;
        system.tiers.cache.idle().await;
        let cached = &system.studio.cached;
        let ttl = cached.preferences.ttl("7:preferences").await.unwrap();
        assert!(
            ttl > minutes(59) && ttl <= seconds(3_600),
            "the default: {ttl:?}"
        );
        assert!(cached.scenes.contains("p1:s1").await && cached.lists.contains("p1:scenes").await);
        let Some(redis) = &system.tiers.redis else {
            continue;
        };
        let keys = redis.entries();
        for key in [
            "scene:p1:s1",
            "project:p1:scenes",
            "component:s1:1",
            "user:7:preferences",
        ] {
            assert!(keys.iter().any(|known| known == key), "{key}: {keys:?}");
        }
        let hash = keys.iter().find_map(|key| key.strip_prefix("ai:decision:"));
        let hash = hash.unwrap_or_else(|| panic!("{keys:?}"));
        let digits = hash.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hash.len() == 64 && digits, "SHA-256: {hash}");
    }
}

#[tokio::test]
async fn c3_a_scene_is_read_through_and_an_update_reaches_its_list_too() {
    for system in systems().await {
        let (uri, list) = ("/projects/p1/scenes/s1", "/projects/p1/scenes");
        assert_eq!(system.scene(uri).await, (false, "<Scene/>".into()));
        assert_eq!(system.scene(uri).await, (true, "<Scene/>".into()));
        for _ in 0..2 {
            assert_eq!(system.get("/projects/p1/scenes/none").await.status, 404);
        }
        assert!(!system.studio.cached.scenes.contains("p1:none").await);
        assert_eq!(system.get(list).await.json().as_array().unwrap().len(), 10);
        system.tiers.cache.idle().await;

        let update = Some(json!({"code": "<New/>"}));
        assert_eq!(ask(&system.app, "PUT", uri, update).await.status, 204);
        assert!(!system.studio.cached.lists.contains("p1:scenes").await);
        assert_eq!(system.scene(uri).await, (false, "<New/>".into()));
        system.scene("/projects/p2/scenes/s1").await;
        assert_eq!(ask(&system.app, "DELETE", uri, None).await.status, 204);
        assert_eq!(system.get(uri).await.status, 404);
        assert_eq!(system.get(list).await.json().as_array().unwrap().len(), 9);
        assert!(
            system.scene("/projects/p2/scenes/s1").await.0,
            "another project's stays"
        );
    }
}

#[tokio::test]
async fn c4_a_decision_is_cached_by_what_matters_and_checked_before_use() {
    for system in systems().await {
        let calls = || system.studio.model.0.calls();
        let edit = system.decide("edit the first").await;
        assert_eq!(edit, json!({"action": "edit", "scene": "s1"}));
        // a scene's code is none of what it depends on
        let update = Some(json!({"code": "<New/>"}));
        ask(&system.app, "PUT", "/projects/p1/scenes/s5", update).await;
        assert_eq!(system.decide("edit the first").await, edit);
        assert_eq!(calls(), 1, "{}", system.tiers.name);
        assert_ne!(system.decide("add one").await, edit);
        assert_eq!(calls(), 2, "{}", system.tiers.name);
        // the scene that it would edit goes, and another one comes in its place
        let place = "/projects/p1/scenes/s1";
        ask(&system.app, "DELETE", place, None).await;
        let new = Some(json!({"id": "s0", "kind": "intro"}));
        ask(&system.app, "POST", "/projects/p1/scenes", new).await;
        let other = system.decide("edit the first").await;
        assert_eq!(other, json!({"action": "edit", "scene": "s0"}));
        assert_eq!(calls(), 3, "{}: the same key, replaced", system.tiers.name);
        assert_eq!(system.decide("edit the first").await, other);
        assert_eq!(calls(), 3, "{}", system.tiers.name);
    }
}

#[tokio::test]
async fn c5_only_a_successful_build_is_cached() {
    for system in systems().await {
        let compile = async || {
            let uri = "/projects/p1/scenes/s1/build";
            let answer = ask(&system.app, "POST", uri, None).await;
            system.tiers.cache.idle().await;
            answer.json()["success"].as_bool().unwrap()
        };
        let calls = || system.studio.compiler.calls();
        assert!(compile().await && compile().await);
        assert_eq!(calls(), 1, "{}", system.tiers.name);
        let broken = Some(json!({"code": "<Scene"}));
        ask(&system.app, "PUT", "/projects/p1/scenes/s1", broken).await;
        assert!(!compile().await && !compile().await);
        assert_eq!(calls(), 3, "{}: each time anew", system.tiers.name);
    }
}
