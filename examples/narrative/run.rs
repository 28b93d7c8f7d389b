//! A month of visits, before and after a pre-warming. It shows what the cache is for.

use std::fmt;
use std::time::Duration;

use larder::WarmList;
use tokio::time::Instant;

use super::app::COST;
use super::narrator::Narrator;
use super::profile::{Chart, Profile, top};

/// The targets, and what a run has come to.
#[derive(Debug)]
pub struct Month {
    pub visits: usize,
    /// From 0 to 1: over 0.95, then 0.99.
    pub cold: f64,
    pub warmed: f64,
    /// Under 5 s.
    pub slowest: Duration,
    /// Under 100 ms, then 50 ms.
    pub p99: Duration,
    pub p99_warmed: Duration,
    pub errors: usize,
}

/// Visits `profiles` so many times each; then once more with `fresh` new ones, which
/// were pre-warmed.
pub async fn month(narrator: &Narrator, profiles: usize, times: usize) -> Month {
    let all = top(profiles * 2);
    let (first, later) = all.split_at(profiles);
    let mut took = Vec::new();
    let (cold, slowest, fallen) = visit(narrator, first, times, &mut took).await;
    let p99 = at(&mut took, 0.99);
    let name = |profile: &Profile| profile.system.clone();
    let list = WarmList::named(later.to_vec(), name);
    narrator
        .prewarm(list, Duration::from_millis(1))
        .report()
        .await;
    let mut took = Vec::new();
    let (warmed, _, more) = visit(narrator, later, times, &mut took).await;
    Month {
        visits: profiles * times * 2,
        cold,
        warmed,
        slowest,
        p99,
        p99_warmed: at(&mut took, 0.99),
        errors: fallen + more,
    }
}

/// The hit rate, the slowest visit, and how many saw a template.
async fn visit(
    narrator: &Narrator,
    profiles: &[Profile],
    times: usize,
    took: &mut Vec<Duration>,
) -> (f64, Duration, usize) {
    let (mut hits, mut fallen) = (0, 0);
    for time in 0..times {
        for (n, profile) in profiles.iter().enumerate() {
            let chart = Chart {
                user_id: format!("user-{n}-{}", time % 5),
                name: "Ada".to_owned(),
                birth: "1815-12-10".to_owned(),
                percentages: profile.percentages.clone(),
            };
            let began = Instant::now();
            let (_, narrative) = narrator.tell(&profile.system, &chart).await;
            took.push(began.elapsed());
            hits += usize::from(narrative.is_cached());
            fallen += usize::from(narrative.is_fallback());
        }
    }
    let slowest = took.iter().max().copied().unwrap_or_default();
    let rate = hits as f64 / (profiles.len() * times).max(1) as f64;
    (rate, slowest, fallen)
}

fn at(took: &mut [Duration], share: f64) -> Duration {
    took.sort();
    let place = (took.len() as f64 * share) as usize;
    took.get(place.min(took.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Dollars a month for so many users of five visits each.
pub fn cost(users: u32, hit_rate: f64) -> f64 {
    f64::from(users) * 5.0 * (1.0 - hit_rate) * COST
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |took: Duration| took.as_secs_f64() * 1_000.0;
        writeln!(
            f,
            "hit rate       {:>8.1} %, warmed {:.1} %  (over 95, then 99)",
            self.cold * 100.0,
            self.warmed * 100.0
        )?;
        writeln!(
            f,
            "p99            {:>8.2} ms, warmed {:.2} ms  (under 100, then 50)",
            ms(self.p99),
            ms(self.p99_warmed)
        )?;
        writeln!(
            f,
            "slowest        {:>8.2} s   (under 5)",
            self.slowest.as_secs_f64()
        )?;
        writeln!(
            f,
            "saw no story   {:>8}     of {}",
            self.errors, self.visits
        )?;
        writeln!(
            f,
            "cost a month      1,000   10,000  100,000 users  (under $20, $50, $500)"
        )?;
        for rate in [0.95, 0.98, 0.99] {
            let [a, b, c] = [1_000, 10_000, 100_000].map(|users| cost(users, rate));
            writeln!(
                f,
                "  at {:.0} %       {a:>8.2} {b:>8.2} {c:>8.2}",
                rate * 100.0
            )?;
        }
        Ok(())
    }
}
