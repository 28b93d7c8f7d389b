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

use std::path::PathBuf;
use std::time::Duration;

use larder::config::Config;

/// Where the database lies: in the file that `DATABASE` names. Without it processes that share
/// a Redis share one beside other temporary files, and one alone keeps it in memory.
fn database_file(redis: bool) -> Option<PathBuf> {
    let named = std::env::var_os("DATABASE").filter(|name| !name.is_empty());
    let temporary = || redis.then(|| std::env::temp_dir().join("larder-characters.db"));
    named.map(PathBuf::from).or_else(temporary)
}

#[tokio::main]
async fn main() -> serve::Result<()> {
    serve::log();
    serve::known(&[])?;
    let port = serve::port()?;
    let config: Config = toml::from_str(app::CACHE_TOML)?;
    let config = config.with_env()?;
    let cache = config.builder()?.build()?;
    let redis = config.redis.is_some();
    let file = database_file(redis);
    let database = match &file {
        Some(file) => database::Database::seeded_file(file, 3_000)?,
        None => database::Database::seeded(3_000)?,
    };
    let upstream = upstream::Upstream::start(Duration::from_millis(300)).await?;
    let app = app::router(&cache, &config, database, &upstream)?;

    // nobody waits for it: the first requests are served meanwhile
    let warmup = cache.warm().host(&format!("127.0.0.1:{port}"));
    let run = warmup.requests(app.clone(), app::favourites());
    tokio::spawn(async move { println!("warmed: {}", run.report().await) });

    let shared = file.filter(|_| redis);
    serve::serve(app, &cache, |address| {
        app::usage(address, shared.as_deref())
    })
    .await?;
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
