//! A game's backend that caches what an AI generates: once for all, for each
//! playthrough, for each player, or never; on Redis where `REDIS_URL` is set.
//!
//! `cargo run --release --example generation`, or `-- play` for a playthrough and its
//! figures

mod app;
mod run;
#[path = "../shared/serve.rs"]
mod serve;
#[path = "../shared/standin.rs"]
#[allow(dead_code, reason = "each example uses its part")]
mod standin;
mod wanted;

use std::time::Duration;

use larder::config::Config;
use standin::StandIn;

#[tokio::main]
async fn main() -> serve::Result<()> {
    serve::log();
    let word = serve::known(&["play"])?;
    let config: Config = toml::from_str("memory = \"64MiB\"")?;
    let config = config.with_env()?;
    let cache = config.builder()?.least_hit_rate(0.6).build()?;
    let generator = StandIn::new(seconds()?);
    let game = app::Game::new(&cache, generator)?;
    if word.is_none() {
        serve::serve(game.router(), &cache, usage).await?;
        let (stats, calls) = (cache.stats(), game.generator.calls());
        println!(
            "hit rate {:.4}; {calls} generated, {} saved",
            stats.hit_rate(),
            stats.calls_saved
        );
        return Ok(());
    }
    match run::play(&game, 2, 5, 10).await {
        Ok(played) => println!("{played}"),
        Err(error) => return Err(format!("{error:?}").into()),
    }
    cache.shutdown().await;
    Ok(())
}

/// How long a generation takes: `GENERATOR_SECONDS`, by default 1.
fn seconds() -> serve::Result<Duration> {
    let Ok(text) = std::env::var("GENERATOR_SECONDS") else {
        return Ok(Duration::from_secs(1));
    };
    let seconds = text.trim().parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(seconds)) => Ok(seconds),
        _ => Err(format!("GENERATOR_SECONDS={text}: no number of seconds").into()),
    }
}

fn usage(address: &str) -> String {
    let api = format!("{address}/api/v1/generations");
    let json = "-H 'content-type: application/json' -d";
    let wanted = r#"'{"operation_type":"text_to_video","purpose":"gap_fill","from_scene":"scene_001","to_scene":"scene_002","strategy":"once"}'"#;
    format!(
        "Generations on {address}. Try:

  curl -X POST {api} {json} {wanted}      # twice
  curl -X POST {api}/cache/check {json} {wanted}
  curl -X POST {api}/cache/warmup {json} '{{\"playthrough_id\":\"p1\",\"scene_ids\":[\"s1\",\"s2\",\"s3\"]}}'
  curl -X DELETE '{api}/cache/generation%3Atext_to_video%7Cgap_fill%7Cscene_001%7Cscene_002%7Conce%7Cv1'
  curl {api}/cache/stats
  curl {address}/api/health/redis"
    )
}
