//! A script generator that calls a language model: answers, outlines and voices as
//! typed values, in memory, in Redis, or in both (`CACHE_STRATEGY`).
//!
//! `cargo run --release --example episodes` writes a season and prints its figures;
//! `-- serve` serves it.

mod app;
mod client;
mod keys;
mod kinds;
mod material;
#[path = "../shared/progress.rs"]
mod progress;
mod run;
#[path = "../shared/serve.rs"]
mod serve;
#[path = "../shared/standin.rs"]
#[allow(dead_code, reason = "each example uses its part")]
mod standin;

use std::time::Duration;

use kinds::Strategy;
use larder::config::Config;
use larder::{Outage, days};
use standin::StandIn;

#[tokio::main]
async fn main() -> serve::Result<()> {
    serve::log();
    let word = serve::known(&["serve"])?;
    let config: Config = toml::from_str("memory = \"64MiB\"")?;
    let config = config.with_env()?;
    let redis = config.redis.is_some();
    // when Redis fails, memory serves on for so long
    let cache = config
        .builder()?
        .on_outage(Outage::Serve(days(1)))
        .build()?;
    let named = std::env::var("CACHE_STRATEGY").unwrap_or_else(|_| "HYBRID".to_owned());
    let strategy = match Strategy::named(&named) {
        Some(Strategy::Redis) if !redis => {
            return Err("CACHE_STRATEGY=REDIS needs REDIS_URL".into());
        }
        Some(strategy) => strategy,
        None => return Err(format!("CACHE_STRATEGY={named}: REDIS, MEMORY or HYBRID").into()),
    };
    let model = StandIn::new(Duration::from_secs(2));
    let ttl = match std::env::var("CACHE_TTL") {
        Ok(name) => Some(
            kinds::ttl_named(&name)
                .ok_or_else(|| format!("CACHE_TTL={name}: SHORT, MEDIUM, LONG or VERY_LONG"))?,
        ),
        Err(_) => None,
    };
    let writers = app::Writers::new(&cache, (strategy, ttl), model)?;
    if word.is_some() {
        return serve::serve(writers.router(), &cache, usage).await;
    }
    let (episodes, scenes) = (3, 6);
    let bar = progress::bar(episodes * scenes);
    let told = |step: String| progress::step(&bar, &step, |line| println!("{line}"));
    let season = run::season(&writers, (episodes, scenes), told).await?;
    bar.finish_and_clear();
    println!("{season}");
    let usage = writers.client.usage();
    println!(
        "client          {:>9}     requests, {} cached, {} tokens paid for",
        usage.requests, usage.cached, usage.tokens
    );
    cache.shutdown().await;
    Ok(())
}

fn usage(address: &str) -> String {
    format!(
        "Scripts on {address}. Try:

  curl -X POST {address}/complete -H 'content-type: application/json' -d '{{\"prompt\":\"a joke\"}}'   # twice
  curl -X POST {address}/episodes -H 'content-type: application/json' -d '{{\"title\":\"pilot\",\"scenes\":6}}'
  curl {address}/usage
  curl {address}/performance"
    )
}
