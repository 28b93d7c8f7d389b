//! A season is written: some episodes, each of them read again and again. It shows
//! what the cache is for.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::app::Writers;
use super::material;
use super::standin::Unavailable;

/// The targets, and what a run has come to.
#[derive(Debug)]
pub struct Season {
    /// Under 5 minutes.
    pub episode: Duration,
    /// Over 60 %.
    pub hit_rate: f64,
    /// Under 10 ms.
    pub cached: Duration,
    /// At least 200, with a model that takes 2 to 5 s.
    pub speed_up: f64,
    /// Against one scene after the other; up to 3.
    pub parallel: f64,
    /// Scenes that were written at a time, at most.
    pub at_once: u64,
    /// Bytes in memory, and the bound.
    pub memory: (u64, u64),
    /// Of the model: its outlines and scenes.
    pub calls: u64,
    pub saved: u64,
}

/// So many cached calls are timed; the median counts.
const AGAIN: usize = 100;

pub async fn season(
    writers: &Writers,
    (episodes, scenes): (usize, usize),
    told: impl Fn(String) + Copy,
) -> Result<Season, Unavailable> {
    let (mut longest, mut parallel) = (Duration::ZERO, 0.0_f64);
    for episode in 1..=episodes {
        let title = format!("episode {episode}");
        let began = Instant::now();
        writers.write(&title, scenes, told).await?;
        let took = began.elapsed();
        longest = longest.max(took);
        let alone = writers.client.latency() * u32::try_from(scenes + 1).unwrap_or(u32::MAX);
        parallel = parallel.max(alone.as_secs_f64() / took.as_secs_f64());
        // it is read through thrice more, as its editors do
        for scene in (1..=scenes).cycle().take(3 * scenes) {
            let ask = material::ask(&writers.kinds, &format!("{title}, scene {scene}")).await;
            writers.client.complete(&ask).await?;
        }
    }
    let mut cached = Vec::new();
    for scene in (1..=scenes).cycle().take(AGAIN) {
        let ask = material::ask(&writers.kinds, &format!("episode 1, scene {scene}")).await;
        let began = Instant::now();
        writers.client.complete(&ask).await?;
        cached.push(began.elapsed());
    }
    cached.sort();
    let cached = cached[cached.len() / 2];
    let (stats, calls) = (writers.cache.stats(), writers.client.calls());
    Ok(Season {
        episode: longest,
        hit_rate: 100.0 * (1.0 - calls as f64 / writers.client.usage().requests as f64),
        cached,
        speed_up: writers.client.latency().as_secs_f64() / cached.as_secs_f64().max(1e-9),
        parallel,
        at_once: writers.client.most_at_once(),
        memory: (stats.memory_bytes, stats.memory_capacity),
        calls,
        saved: stats.calls_saved,
    })
}

impl fmt::Display for Season {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, bound) = self.memory;
        let cached = self.cached.as_secs_f64() * 1_000.0;
        writeln!(
            f,
            "longest episode {:>9.1} s   (under 300)",
            self.episode.as_secs_f64()
        )?;
        writeln!(f, "hit rate        {:>9.1} %   (over 60)", self.hit_rate)?;
        writeln!(f, "cached call     {cached:>9.3} ms  (under 10)")?;
        writeln!(
            f,
            "speed-up        {:>9.0} x   (at least 200)",
            self.speed_up
        )?;
        writeln!(
            f,
            "in parallel     {:>9.1} x   ({} at a time)",
            self.parallel, self.at_once
        )?;
        writeln!(f, "memory          {held:>9} B   of {bound}")?;
        write!(
            f,
            "calls           {:>9}     saved {}",
            self.calls, self.saved
        )
    }
}
