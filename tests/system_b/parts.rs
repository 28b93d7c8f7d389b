//! What a key is made of, and who shares what lies under it.

use larder::days;
use serde_json::{Value, json};

use crate::support::ask;
use crate::{API, systems, wanted};

#[tokio::test]
async fn b1_four_strategies_share_and_live_as_they_say() {
    for system in systems().await {
        for (strategy, id, shares, life) in [
            ("once", "none", true, 365),
            ("per_playthrough", "playthrough_id", false, 90),
            ("per_player", "player_id", false, 180),
        ] {
            let mine = wanted(json!({"strategy": strategy}));
            let others = wanted(json!({"strategy": strategy, id: "other"}));
            assert!(!system.generate(&mine).await.1 && system.generate(&mine).await.1);
            assert_eq!(system.generate(&others).await.1, shares, "{strategy}");
            let ttl = system.post("/cache/check", &mine).await["ttl_seconds"].as_u64();
            let (ttl, life) = (ttl.unwrap(), days(life).as_secs());
            assert!(ttl <= life && ttl > life - 60, "{strategy}: {ttl}");
        }
        let always = wanted(json!({"strategy": "always"}));
        let before = system.calls();
        assert!(!system.generate(&always).await.1 && !system.generate(&always).await.1);
        assert_eq!(system.calls(), before + 2, "{}", system.tiers.name);
        // without its seed nobody can tell whose it is
        let nobodys = wanted(json!({"strategy": "per_player", "player_id": null}));
        assert!(!system.generate(&nobodys).await.1 && !system.generate(&nobodys).await.1);
    }
}

#[tokio::test]
async fn b2_keys_are_the_literal_names() {
    for system in systems().await {
        let all = [
            (
                json!({"operation_type": "text_to_video", "purpose": "gap_fill", "from_scene": "scene_001", "to_scene": "scene_002"}),
                "generation:text_to_video|gap_fill|scene_001|scene_002|once|v1",
            ),
            (
                json!({"strategy": "per_playthrough"}),
                "generation:npc_response|dialogue|scene_010|none|per_playthrough|pt:abc123|v1",
            ),
            (
                json!({"operation_type": "transition", "purpose": "mood_shift", "from_scene": "scene_005", "to_scene": "scene_006", "strategy": "per_player"}),
                "generation:transition|mood_shift|scene_005|scene_006|per_player|player:42|v1",
            ),
            (
                json!({"purpose": "a|b:c"}),
                "generation:npc_response|a%7Cb:c|scene_010|none|once|v1",
            ),
        ];
        for (more, name) in all {
            let wanted = wanted(more);
            system.generate(&wanted).await;
            let checked = system.post("/cache/check", &wanted).await;
            assert_eq!(checked["cache_key"], name, "{}", system.tiers.name);
            if let Some(redis) = &system.tiers.redis {
                let keys = redis.entries();
                assert!(keys.iter().any(|key| key == name), "{name}: {keys:?}");
            }
        }
        let checked = wanted(json!({"strategy": "always"}));
        assert_eq!(
            system.post("/cache/check", &checked).await["cache_key"],
            Value::Null
        );
        // an empty or overlong part is refused by name, never cut
        for part in [String::new(), "x".repeat(300)] {
            let bad = wanted(json!({"purpose": part}));
            let answer = ask(&system.app, "POST", API, Some(bad)).await;
            assert_eq!(answer.status, 422);
            assert!(answer.body.starts_with(b"purpose: "), "{:?}", answer.body);
        }
    }
}

#[tokio::test]
async fn b3_a_new_version_leaves_the_old_ones_behind() {
    for system in systems().await {
        let (old, _) = system.generate(&wanted(json!({}))).await;
        let (new, cached) = system.generate(&wanted(json!({"version": 2}))).await;
        assert!(new != old && !cached, "{}", system.tiers.name);
        assert_eq!(system.generate(&wanted(json!({}))).await, (old, true));
    }
}

#[tokio::test]
async fn b4_two_keys_one_computation() {
    for system in systems().await {
        let params = json!({"canonical_params": {"mood": "calm", "length": 3}});
        let (one, _) = system.generate(&wanted(params)).await;
        let other =
            json!({"purpose": "greeting", "canonical_params": {"length": 3, "mood": "calm"}});
        let other = wanted(other);
        let checked = system.post("/cache/check", &other).await;
        assert_eq!(
            (&checked["cached"], checked["generation_id"].as_str()),
            (&json!(true), Some(&*one))
        );
        assert_eq!(
            system.generate(&other).await,
            (one, true),
            "{}",
            system.tiers.name
        );
        assert_eq!(system.calls(), 1, "{}", system.tiers.name);
        let different = json!({"canonical_params": {"mood": "tense", "length": 3}});
        assert!(!system.generate(&wanted(different)).await.1);
        if let Some(redis) = &system.tiers.redis {
            let keys = redis.keys();
            let aliases = keys
                .iter()
                .filter(|key| key.starts_with("generation:hash:"));
            let hash = |key: &String| key.len() == "generation:hash:".len() + 64;
            assert!(
                aliases.clone().count() == 2 && aliases.clone().all(hash),
                "{keys:?}"
            );
        }
    }
}
