//! A playthrough: scenes are entered again and again, by several players. It shows
//! what the cache is for.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::app::{Failure, Game, Warmup};
use super::wanted::{Strategy, Wanted};

/// The goal, and what a run has come to.
#[derive(Debug)]
pub struct Played {
    /// From 0 to 1; the goal is 0.8.
    pub hit_rate: f64,
    pub generated: u64,
    pub saved: u64,
    pub first: Duration,
    pub cached: Duration,
}

/// Plays some scenes so many times, with one playthrough a player.
pub async fn play(game: &Game, players: u32, scenes: u32, times: u32) -> Result<Played, Failure> {
    let scene_ids: Vec<String> = (1..=scenes).map(|n| format!("scene_{n:03}")).collect();
    let warmup = Warmup {
        playthrough_id: "p1".to_owned(),
        scene_ids: scene_ids.clone(),
    };
    game.warm(&warmup).report().await;
    let (mut first, mut cached) = (Duration::ZERO, Vec::new());
    for time in 0..times {
        for player in 1..=players {
            for scene in &scene_ids {
                for strategy in [Strategy::Once, Strategy::PerPlaythrough] {
                    let began = Instant::now();
                    game.generate(wanted(scene, strategy, player)).await?;
                    match time {
                        0 => first = first.max(began.elapsed()),
                        _ => cached.push(began.elapsed()),
                    }
                }
            }
        }
    }
    cached.sort();
    let stats = game.cache.stats();
    Ok(Played {
        hit_rate: stats.hit_rate(),
        generated: game.generator.calls(),
        saved: stats.calls_saved,
        first,
        cached: cached.get(cached.len() / 2).copied().unwrap_or_default(),
    })
}

pub fn wanted(scene: &str, strategy: Strategy, player: u32) -> Wanted {
    Wanted {
        operation_type: "npc_response".to_owned(),
        purpose: "dialogue".to_owned(),
        from_scene: Some(scene.to_owned()),
        to_scene: None,
        canonical_params: json!({"mood": "calm"}),
        strategy,
        playthrough_id: Some(format!("p{player}")),
        player_id: Some(player.to_string()),
        version: 1,
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "hit rate   {:>9.1} %  (goal 80, alert under 60)",
            self.hit_rate * 100.0
        )?;
        writeln!(
            f,
            "generated  {:>9}    saved {}",
            self.generated, self.saved
        )?;
        let cached = self.cached.as_secs_f64() * 1_000.0;
        writeln!(
            f,
            "first      {:>9.0} ms",
            self.first.as_secs_f64() * 1_000.0
        )?;
        write!(f, "cached     {cached:>9.3} ms")
    }
}
