//! System B, the generations of a game, driven through the example's own router, on
//! memory and on Redis.

#[path = "../../examples/generation/app.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod app;
mod fills;
mod health;
mod looks;
mod parts;
#[path = "../../examples/generation/run.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod run;
#[path = "../../examples/shared/standin.rs"]
#[allow(dead_code, unreachable_pub, reason = "the examples'")]
mod standin;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../examples/generation/wanted.rs"]
#[allow(dead_code, unreachable_pub, reason = "the example's")]
mod wanted;

use std::time::Duration;

use app::Game;
use axum::Router;
use serde_json::{Value, json};
use standin::StandIn;
use support::{Tiers, ask, tiers};

struct System {
    game: Game,
    app: Router,
    tiers: Tiers,
}

fn system(tiers: Tiers, latency: Duration) -> System {
    let game = Game::new(&tiers.cache, StandIn::new(latency)).unwrap();
    let app = game.router();
    System { game, app, tiers }
}

async fn systems() -> Vec<System> {
    let all = tiers().await.into_iter();
    all.map(|tiers| system(tiers, Duration::ZERO)).collect()
}

const API: &str = "/api/v1/generations";

impl System {
    async fn post(&self, path: &str, json: &Value) -> Value {
        let answer = ask(
            &self.app,
            "POST",
            &format!("{API}{path}"),
            Some(json.clone()),
        )
        .await;
        assert_eq!(answer.status, 200, "{path} {json} on {}", self.tiers.name);
        self.tiers.cache.idle().await;
        answer.json()
    }

    /// Generates: the id, and whether it was cached.
    async fn generate(&self, wanted: &Value) -> (String, bool) {
        let made = self.post("", wanted).await;
        let id = made["generation_id"].as_str().unwrap().to_owned();
        (id, made["cached"].as_bool().unwrap())
    }

    fn calls(&self) -> u64 {
        self.game.generator.calls()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is written in place")]
fn wanted(more: Value) -> Value {
    let mut wanted = json!({
        "operation_type": "npc_response", "purpose": "dialogue", "from_scene": "scene_010",
        "strategy": "once", "playthrough_id": "abc123", "player_id": "42", "version": 1,
    });
    let fields = wanted.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    wanted
}
