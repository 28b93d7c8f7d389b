//! Narratives of charts: expensive to generate, cached for a week in the process and
//! for a month in Redis, sealed there, and never missing.
//!
//! `cargo run --release --example narrative` serves them;
//! `-- prewarm [FILE]` generates those that are asked for most, for cron to run nightly;
//! `-- month` visits them for a while and prints the figures.

mod app;
mod narrator;
mod profile;
#[path = "../shared/progress.rs"]
mod progress;
mod run;
#[path = "../shared/serve.rs"]
mod serve;
#[path = "../shared/standin.rs"]
#[allow(dead_code, reason = "each example uses its part")]
mod standin;

use std::process::ExitCode;
use std::time::Duration;

use larder::config::Config;
use larder::{Encryption, WarmList};
use narrator::Narrator;
use profile::Profile;
use standin::StandIn;

#[tokio::main]
async fn main() -> serve::Result<ExitCode> {
    serve::log();
    let config: Config = toml::from_str("memory = \"64MiB\"")?;
    let config = config.with_env()?;
    let mut builder = config.builder()?;
    if let Ok(key) = std::env::var("NARRATIVE_KEY") {
        builder = builder.encryption(Encryption::new(1, read_key(&key)?));
    }
    let cache = builder.build()?;
    let step = match std::env::var("NARRATIVE_STEP") {
        Ok(text) => read_step(&text)?,
        Err(_) => 0.5,
    };
    let latency = match std::env::args().nth(1).as_deref() {
        Some("month") => Duration::from_millis(150), // of a long month
        _ => Duration::from_secs(3),
    };
    let narrator = Narrator::new(&cache, StandIn::new(latency), step)?;
    let mut args = std::env::args().skip(1);
    let code = match args.next().as_deref() {
        Some("prewarm") => prewarm(&narrator, args.next()).await?,
        Some("month") => {
            print!("{}", run::month(&narrator, 50, 150).await);
            ExitCode::SUCCESS
        }
        None => {
            serve::serve(app::router(&narrator), &cache, usage).await?;
            ExitCode::SUCCESS
        }
        Some(other) => return Err(format!("{other}: prewarm, month, or nothing").into()),
    };
    cache.shutdown().await;
    Ok(code)
}

fn read_step(text: &str) -> Result<f64, String> {
    let step = text.parse().ok().filter(|step| *step > 0.0);
    step.ok_or_else(|| format!("NARRATIVE_STEP={text}: a number above 0"))
}

/// 64 hexadecimal digits.
fn read_key(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "NARRATIVE_KEY: 64 hexadecimal digits".to_owned();
    let digits = |at: usize| text.get(2 * at..2 * at + 2).filter(|_| text.len() == 64);
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits(at).ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
    }
    Ok(key)
}

/// The top 100, or those of a file with one as JSON on each line. Fails if one could
/// not be generated; the others are there all the same.
async fn prewarm(narrator: &Narrator, file: Option<String>) -> serve::Result<ExitCode> {
    let list = match file {
        Some(file) => {
            let text =
                std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
            WarmList::parse(&text, |line| serde_json::from_str::<Profile>(line))
        }
        None => WarmList::named(profile::top(100), |profile| {
            serde_json::to_string(profile).unwrap_or_default()
        }),
    };
    if narrator.cache.health().await.store.is_none() {
        eprintln!("without REDIS_URL what is generated goes with this process");
    }
    let bar = progress::bar(list.len());
    let run = narrator.prewarm(list, Duration::from_secs(1));
    let report = progress::follow(&bar, run, |line| println!("{line}")).await;
    println!("{report}");
    for failure in &report.failed {
        println!("  {}: {}: {}", failure.at, failure.name, failure.why);
    }
    Ok(match report.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn usage(address: &str) -> String {
    format!(
        "Narratives on {address}. Try:

  curl -X POST {address}/narrative/western -H 'content-type: application/json' -H 'x-user-id: 7' \\
    -d '{{\"user_id\":\"7\",\"name\":\"Ada\",\"birth\":\"1815-12-10\",\"percentages\":{{\"fire\":32.4,\"earth\":67.6}}}}'   # twice
  curl {address}/narrative/stats
  curl {address}/narrative/analytics
  curl -X DELETE {address}/narrative/user/7"
    )
}
