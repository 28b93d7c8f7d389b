//! Serving a router on the loopback until ctrl-c.

use std::error::Error;
use std::io::IsTerminal;

use axum::Router;
use larder::Cache;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Events as `RUST_LOG` asks for them, on standard error; warnings without it.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let ansi = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).with_ansi(ansi).init();
}

/// Where to serve: `PORT`, by default 3000.
pub fn port() -> Result<u16> {
    let Ok(text) = std::env::var("PORT") else {
        return Ok(3000);
    };
    let port = text.trim().parse();
    port.map_err(|_| format!("PORT={text}: no port, which is a number up to 65535").into())
}

/// Refuses a word that the program does not know: it would do something else.
#[allow(dead_code, reason = "each example uses its part")]
pub fn known(words: &[&str]) -> Result<Option<String>> {
    match std::env::args().nth(1) {
        Some(word) if !words.contains(&&*word) => {
            let known = match words {
                [] => "no argument is known".to_owned(),
                words => format!("{}, or nothing", words.join(", ")),
            };
            Err(format!("{word}: {known}").into())
        }
        word => Ok(word),
    }
}

/// Serves on [`port`], and tells where by `usage`.
pub async fn serve(app: Router, cache: &Cache, usage: impl Fn(&str) -> String) -> Result<()> {
    let port = port()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("port {port}: {error}; choose another with PORT=.."))?;
    println!("{}", usage(&format!("http://{}", listener.local_addr()?)));
    let end = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    cache.shutdown().await; // what was answered last reaches Redis too
    Ok(())
}
