//! The admin page over a cache with traffic: routes of different kinds, and visitors
//! that ask for them. `/metrics` is for Prometheus.
//!
//! `cargo run --release --example dashboard -- [--endpoints 12] [--rate 200] [--redis URL] [--port 3000] [--token TEXT]`

mod app;
mod traffic;

use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use larder::{Cache, MIB, admin};
use metrics_exporter_prometheus::PrometheusBuilder;

type Failure = Box<dyn Error + Send + Sync>;

struct Args {
    endpoints: usize,
    /// Requests a second.
    rate: u32,
    redis: Option<String>,
    port: u16,
    token: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let args = read(std::env::args().skip(1))?;
    let mut builder = Cache::builder().memory(16 * MIB);
    if let Some(url) = &args.redis {
        // a debug build on a busy machine is slower than the default of 250 ms
        builder = builder.redis(url).operation_timeout(Duration::from_secs(2));
    }
    let cache = builder.build()?;
    let app = app::router(&cache, args.endpoints);
    let admin = admin::router(&cache).token(&args.token).warms(app.clone());
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let counted = cache.clone();
    let metrics = get(move || {
        counted.publish_metrics(); // as it is now, not five seconds ago
        std::future::ready(prometheus.render())
    });
    let whole: Router = app
        .clone()
        .nest("/admin/cache", admin.build()?)
        .route("/metrics", metrics);

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", args.port)).await?;
    let address = listener.local_addr()?;
    println!("page   http://{address}/admin/cache");
    println!("token  {}", args.token);
    println!("metrics for Prometheus: http://{address}/metrics");
    println!("an endpoint to try: http://{address}/characters/1");
    tokio::spawn(traffic::run(app, args.endpoints, args.rate));
    let end = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::select! {
        served = axum::serve(listener, whole) => served?,
        () = end => cache.shutdown().await,
    }
    Ok(())
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Args, Failure> {
    let mut args = Args {
        endpoints: 12,
        rate: 200,
        redis: std::env::var("REDIS_URL")
            .ok()
            .filter(|url| !url.is_empty()),
        port: 3000,
        token: "only-for-the-example".to_owned(),
    };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option}: no value"))?;
        match option.as_str() {
            "--endpoints" => args.endpoints = number(&option, &value)?,
            "--rate" => args.rate = number(&option, &value)?,
            "--port" => args.port = number(&option, &value)?,
            "--redis" => args.redis = Some(value),
            "--token" => args.token = value,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    match args.endpoints {
        1..=1_000 => Ok(args),
        _ => Err("--endpoints: from 1 to 1000".into()),
    }
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, Failure> {
    value
        .parse()
        .map_err(|_| format!("{option}: {value:?} is no number that fits").into())
}
