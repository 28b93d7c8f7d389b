//! Which TTL an endpoint should have: a pure decision from how often refreshed
//! bodies really change, and from the hit rate.
//!
//! 1. Fewer than [`ENOUGH`] refreshes say nothing.
//! 2. Of `n` refreshes, `t` apart in the mean, `x` found another body. Changes are
//!    taken for a Poisson process; its rate is estimated by
//!    `-ln((n - x + 0.5) / (n + 0.5)) / t`, which is nearly unbiased for few
//!    observations too (Cho and Garcia-Molina, "Estimating frequency of change",
//!    ACM TOIT 3(3), 2003, 4.2).
//! 3. The TTL that fits is the one by whose end one answer in ten has changed.
//! 4. It is shortened to that at once, but not to less than a quarter of the present
//!    one; it is lengthened only where the hit rate leaves something to gain (below
//!    95 %), and to four times the present one at most: what lies so far out has not
//!    been observed.

use std::time::Duration;

/// Refreshes before a decision.
pub(crate) const ENOUGH: u32 = 20;
/// The share of answers that may have changed by the end of their TTL.
const OUTDATED: f64 = 0.1;
/// A hit rate at which a longer TTL gains nothing worth its risk.
const GOOD: f64 = 0.95;
/// How much a TTL changes in one step.
const STEP: f64 = 4.0;

/// What was observed of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Observed {
    /// Answers that took the place of an earlier one which had ended.
    pub(crate) refreshes: u32,
    /// Those with another body.
    pub(crate) changed: u32,
    /// The mean time between two answers.
    pub(crate) apart: Duration,
    /// The TTL under which that was observed.
    pub(crate) ttl: Duration,
    /// From 0 to 1.
    pub(crate) hit_rate: f64,
}

/// The TTL that fits what was observed; none where that is too little.
pub(crate) fn fitting(seen: &Observed) -> Option<Duration> {
    if seen.refreshes < ENOUGH || seen.apart.is_zero() || seen.ttl.is_zero() {
        return None;
    }
    let (n, x) = (f64::from(seen.refreshes), f64::from(seen.changed));
    let rate = -((n - x + 0.5) / (n + 0.5)).ln() / seen.apart.as_secs_f64();
    let present = seen.ttl.as_secs_f64();
    let fits = match rate > 0.0 {
        true => -(1.0 - OUTDATED).ln() / rate,
        false => f64::INFINITY, // it never changed
    };
    let next = match fits < present {
        true => fits.max(present / STEP),
        false if seen.hit_rate < GOOD => fits.min(present * STEP),
        false => present,
    };
    Some(Duration::from_secs_f64(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(changed: u32, ttl: u64, hit_rate: f64) -> Observed {
        Observed {
            refreshes: 100,
            changed,
            apart: Duration::from_secs(ttl),
            ttl: Duration::from_secs(ttl),
            hit_rate,
        }
    }

    #[test]
    fn few_observations_propose_nothing() {
        let few = Observed {
            refreshes: ENOUGH - 1,
            ..seen(5, 60, 0.5)
        };
        assert_eq!(fitting(&few), None);
    }

    #[test]
    fn what_never_changes_lives_longer_where_that_gains_something() {
        assert_eq!(fitting(&seen(0, 60, 0.5)), Some(Duration::from_secs(240)));
        assert_eq!(fitting(&seen(0, 60, 0.99)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_changes_often_lives_shorter_whatever_the_hit_rate() {
        for rate in [0.1, 0.99] {
            // each refresh found something new: a quarter at a time
            assert_eq!(fitting(&seen(100, 60, rate)), Some(Duration::from_secs(15)));
            let half = fitting(&seen(50, 60, rate)).unwrap();
            assert_eq!(half, Duration::from_secs(15), "a half is far too many");
        }
    }

    #[test]
    fn the_fitting_ttl_is_the_one_by_which_a_tenth_has_changed() {
        let fits = fitting(&seen(10, 600, 0.5)).unwrap().as_secs_f64();
        assert!((fits - 600.0).abs() < 10.0, "{fits}");
        let fits = fitting(&seen(20, 600, 0.5)).unwrap().as_secs_f64();
        assert!((fits - 284.0).abs() < 10.0, "{fits}");
        let fits = fitting(&seen(5, 600, 0.5)).unwrap().as_secs_f64();
        assert!((fits - 1_230.0).abs() < 30.0, "{fits}");
    }
}
