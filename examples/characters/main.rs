//! A web API over SQLite whose responses are cached: the TTLs in one table,
//! queries as typed values, writes that invalidate, an outbound client behind the same
//! layer, Redis where `REDIS_URL` is set.
//!
//! `cargo run --release --example characters`

mod app;
mod database;
mod helpers;
#[path = "../shared/serve.rs"]
mod serve;
#[path = "../shared/sqlite.rs"]
mod sqlite;
mod upstream;

use std::time::Duration;

use larder::config::Config;

#[tokio::main]
async fn main() -> serve::Result<()> {
    serve::log();
    serve::known(&[])?;
    let port = serve::port()?;
    let config: Config = toml::from_str(app::CACHE_TOML)?;
    let config = config.with_env()?;
    let cache = config.builder()?.build()?;
    let database = database::Database::seeded(3_000)?;
    let upstream = upstream::Upstream::start(Duration::from_millis(300)).await?;
    let app = app::router(&cache, &config, database, &upstream)?;

    // nobody waits for it: the first requests are served meanwhile
    let warmup = cache.warm().host(&format!("127.0.0.1:{port}"));
    let run = warmup.requests(app.clone(), app::favourites());
    tokio::spawn(async move { println!("warmed: {}", run.report().await) });

    let redis = config.redis.is_some();
    serve::serve(app, &cache, |address| app::usage(address, redis)).await?;
    let stats = cache.stats();
    println!(
        "{:.1} % hits of {} requests; {} calls saved, {:.1} s of work",
        stats.hit_rate() * 100.0,
        stats.requests(),
        stats.calls_saved,
        stats.time_saved.as_secs_f64()
    );
    Ok(())
}
