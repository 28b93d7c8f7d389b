//! A web API over SQLite whose responses are cached: the TTLs in one table,
//! writes that invalidate, Redis where `REDIS_URL` is set.
//!
//! `cargo run --release --example characters`

mod app;
mod database;

use std::error::Error;

use larder::config::Config;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let config: Config = toml::from_str(app::CACHE_TOML)?;
    let config = config.with_env()?;
    let cache = config.builder()?.build()?;
    let database = database::Database::seeded(3_000)?;
    let app = app::router(&cache, &config, database)?;

    let port: u16 = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("port {port}: {error}; choose another with PORT=.."))?;
    let address = listener.local_addr()?;
    println!(
        "{}",
        app::usage(&format!("http://{address}"), config.redis.is_some())
    );
    let end = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    cache.idle().await; // what was answered last reaches Redis too
    Ok(())
}
