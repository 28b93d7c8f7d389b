//! How far a run has come, on a terminal: a bar, and above it a line for each step.
//! Where there is no terminal (cron, a pipe) the lines alone.

use indicatif::{ProgressBar, ProgressStyle};
use larder::{WarmReport, Warming};

/// A bar for so many steps.
pub fn bar(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Tells of one step more.
pub fn step(bar: &ProgressBar, line: &str, print: impl FnOnce(&str)) {
    bar.suspend(|| print(line));
    bar.inc(1);
}

/// Follows a run to its end.
#[allow(dead_code, reason = "each example uses its part")]
pub async fn follow(bar: &ProgressBar, mut run: Warming, print: impl Fn(&str)) -> WarmReport {
    while let Some(done) = run.next().await {
        step(bar, &done.to_string(), &print);
    }
    bar.finish_and_clear();
    run.report().await
}
