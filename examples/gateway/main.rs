//! A caching reverse proxy: larder between a hyper server and a pooled hyper
//! client.
//!
//! `cargo run --release --example gateway -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:3000`
//!
//! ```text
//! client -> server -> front -> larder's layer -> proxy -> origin
//! ```
//!
//! What belongs to one connection is taken off on both sides of the cache, so
//! that nothing that the origin does not see decides what is stored.

mod args;
mod fields;
mod front;
mod proxy;
mod server;
mod settings;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, Command};
use front::Front;
use larder::Cache;
use proxy::Proxy;
use tokio::net::TcpListener;
use tower::Layer;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(Command::Run(args)) => args,
        Ok(Command::Help) => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("gateway: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: &Args) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (cache, layer) = settings::cache(args)?;
    let proxy = Proxy::new(args.origin.clone(), args.timeout);
    let service = Front::new(layer.layer(proxy));

    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("--listen {}: {error}", args.listen))?;
    let signal = stop_signal()?;
    println!("listening on http://{}", listener.local_addr()?);
    server::serve(listener, service, signal).await;
    finish(&cache).await;
    Ok(())
}

/// What was answered last reaches Redis too, and no process waits for this one any more.
async fn finish(cache: &Cache) {
    if tokio::time::timeout(server::GRACE, cache.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("what was answered last may not have been stored");
    }
}

/// Ends with SIGTERM or ctrl-c. From here on neither ends the process by itself.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        let terminated = terminate.recv();
        #[cfg(not(unix))]
        let terminated = std::future::pending::<Option<()>>();
        tokio::select! {
            _ = terminated => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    })
}
