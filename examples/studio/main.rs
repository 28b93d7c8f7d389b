//! A video studio: scenes from a database, decisions of a model, compiled
//! components, all of them typed values; on Redis where `REDIS_URL` or `REDIS_HOST`
//! is set.
//!
//! `cargo run --release --example studio`, or `-- day` for a day's work and its figures

mod app;
mod cached;
mod database;
mod metrics;
mod model;
mod run;
#[path = "../shared/serve.rs"]
mod serve;
#[path = "../shared/sqlite.rs"]
mod sqlite;
#[path = "../shared/standin.rs"]
#[allow(dead_code, reason = "each example uses its part")]
mod standin;

use std::time::Duration;

use larder::config::Config;
use standin::StandIn;

#[tokio::main]
async fn main() -> serve::Result<()> {
    serve::log();
    let word = serve::known(&["day"])?;
    let config: Config = toml::from_str("memory = \"64MiB\"")?;
    let config = config.with_env()?;
    let cache = config.builder()?.least_hit_rate(0.8).build()?;
    let database = database::Database::seeded(5, Duration::from_millis(20))?;
    let model = StandIn::new(Duration::from_millis(800));
    let compiler = StandIn::new(Duration::from_millis(300));
    let studio = app::Studio::new(&cache, &config, database, (model, compiler))?;
    if word.is_some() {
        println!("{}", run::day(&studio, 5, 30).await);
        cache.shutdown().await;
        return Ok(());
    }
    let app = match std::env::var("ADMIN_TOKEN") {
        Ok(token) => studio.router_with_page(&token)?,
        Err(_) => studio.router(),
    };
    serve::serve(app, &cache, usage).await?;
    let figures = studio.metrics.figures(&cache);
    println!(
        "hit rate {} % of {}",
        figures.hit_rate(),
        figures.hits + figures.misses
    );
    Ok(())
}

fn usage(address: &str) -> String {
    format!(
        "The studio on {address}. Try:

  curl -i {address}/projects/p1/scenes/s1              # twice: x-cached
  curl -i -X POST {address}/projects/p1/open           # warms its scenes
  curl -X POST {address}/projects/p1/decide -H 'content-type: application/json' -d '{{\"prompt\":\"add a chart\"}}'
  curl -X POST {address}/projects/p1/scenes/s1/build
  curl {address}/api/admin/cache-stats
  {address}/admin/cache in a browser, where ADMIN_TOKEN is set"
    )
}
