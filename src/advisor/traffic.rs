//! Rules 10 to 12: what the counters say, once there is enough.

use super::advice::Advice;
use super::facts::Facts;
use crate::outcome::{Bypass, Cause, Eviction, Refusal};
use crate::stats::Stats;

/// Fewer requests say nothing.
const ENOUGH: u64 = 100;
/// Why requests stand aside of which nobody expects to be cached: writes, what no policy
/// stores, all while the cache is off.
const ON_PURPOSE: [Bypass; 4] = [
    Bypass::Method,
    Bypass::NotCached,
    Bypass::NoPolicy,
    Bypass::Disabled,
];

pub(super) fn of_traffic(facts: &Facts) -> Vec<Advice> {
    let mut all = Vec::new();
    let total = &facts.total;
    let is_low = is_low(total, facts.hit_rate);
    if is_low {
        let what = format!(
            "the hit rate is {:.1} %, under {:.0} %",
            total.would_be_hit_rate() * 100.0,
            facts.hit_rate * 100.0
        );
        all.push(Advice::warning("hit-rate-low", what, cause(facts)));
    }
    // by all that was counted the whole may be well, and has fallen since
    let low = facts.low.iter();
    for low in low.filter(|low| !is_low || !low.endpoint.is_empty()) {
        let what = format!(
            "the hit rate was {:.1} %, under {:.0} %: {}",
            low.hit_rate * 100.0,
            low.wanted * 100.0,
            low.cause
        );
        let todo = "mend the cause, or ask for less by least_hit_rate";
        let name = Some(low.endpoint.as_str()).filter(|name| !name.is_empty());
        all.push(Advice::warning("hit-rate-low", what, todo).about(name));
    }
    for endpoint in &facts.endpoints {
        let name = Some(endpoint.endpoint.as_str()).filter(|name| !name.is_empty());
        if name.is_some()
            && let Some((what, todo)) = never_hits(&endpoint.stats)
        {
            all.push(Advice::hint("endpoint-never-hits", what, todo).about(name));
        }
    }
    let pushed = total.evictions.get(Eviction::Capacity);
    if pushed >= ENOUGH && pushed * 2 > total.stores && total.memory_capacity > 0 {
        let what = format!(
            "{pushed} of {} answers were pushed out of memory by others",
            total.stores
        );
        let todo = "give the memory tier more: it is smaller than what is asked for again";
        all.push(Advice::hint("memory-small", what, todo));
    }
    all
}

/// Whether enough requests have found too little.
fn is_low(stats: &Stats, least: f64) -> bool {
    stats.requests() - stats.bypasses >= ENOUGH && stats.would_be_hit_rate() < least
}

/// What to do about a low hit rate: its likeliest cause.
fn cause(facts: &Facts) -> &'static str {
    let (total, by) = (&facts.total, &facts.total.misses_by);
    let found = by.get(Cause::Observed); // and only observed
    let most = by.iter().filter(|(cause, _)| *cause != Cause::Observed);
    let most = most.max_by_key(|(_, n)| *n).map(|(cause, _)| cause);
    let evicted = facts
        .servers
        .iter()
        .filter_map(|server| server.evicted_keys);
    let evicted = evicted.sum::<u64>() + total.evictions.get(Eviction::Capacity);
    let refused = total.refusals - total.refusals_by.get(Refusal::Observed);
    if refused * 2 > total.misses.saturating_sub(found) {
        return "most answers may not be stored: see why under refusals";
    }
    match most {
        Some(Cause::Expired) => {
            "answers end before they are asked for again: give them a longer TTL"
        }
        Some(Cause::Invalidated) => {
            "answers are invalidated before they are asked for again: invalidate less at a time, by tags"
        }
        Some(Cause::Variant) => "answers vary on too much: name fewer fields in Vary, or hide them",
        Some(Cause::Release) => {
            "another release has filled the cache: it fills again by itself; a release that changes at each start never finds anything"
        }
        Some(Cause::Unknown) => {
            "entries are gone from Redis before their time: give it more room, see its maxmemory and evicted keys"
        }
        Some(Cause::StoreError) => "Redis does not answer: see its health",
        Some(Cause::Request | Cause::Authorization) => {
            "requests take nothing that is stored (no-cache, max-age, Authorization, a check of values): Policy::ttl heeds no request directives"
        }
        _ if evicted * 2 > total.misses => {
            "answers are pushed out before they are asked for again: give memory or Redis more room"
        }
        _ => {
            "keys are seldom asked for twice: look for a part of the key that always changes (a timestamp, a parameter that counts for nothing: ignore_params), or a release that was bumped"
        }
    }
}

fn never_hits(stats: &Stats) -> Option<(&'static str, &'static str)> {
    let observed = stats.misses_by.get(Cause::Observed);
    let found = stats.requests() - stats.misses - stats.bypasses + observed;
    let aside = ON_PURPOSE.map(|reason| stats.bypasses_by.get(reason));
    let meant = stats.requests().saturating_sub(aside.iter().sum());
    if found > 0 || meant < ENOUGH {
        return None;
    }
    Some(match (stats.misses, stats.stores) {
        (0, _) => (
            "no request takes part in caching",
            "see the reasons under bypasses; credentials need a scope, or ignore_credentials",
        ),
        (_, 0) => (
            "no answer may be stored",
            "see the reasons under refusals, or take the policy off this route",
        ),
        _ => (
            "answers are stored, and none was found again",
            "look for a part of the key that always changes, or give it a longer TTL",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::EndpointStats;

    fn facts(change: impl Fn(&mut Stats)) -> Facts {
        let mut total = Stats {
            hits_memory: 900,
            misses: 100,
            stores: 100,
            memory_capacity: 1,
            ..Stats::default()
        };
        change(&mut total);
        Facts {
            total,
            hit_rate: 0.6,
            ..Facts::default()
        }
    }

    fn rules(facts: &Facts) -> Vec<&'static str> {
        of_traffic(facts).iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn a_low_hit_rate_is_named_with_its_cause() {
        assert!(rules(&facts(|_| ())).is_empty());
        let low = |cause| {
            let facts = facts(|stats| {
                stats.hits_memory = 10;
                stats.misses_by.add(Cause::New, 40);
                stats.misses_by.add(cause, 60);
            });
            let [advice] = &of_traffic(&facts)[..] else {
                panic!("one advice")
            };
            assert_eq!(advice.rule, "hit-rate-low");
            advice.todo.clone()
        };
        assert!(low(Cause::Expired).contains("longer TTL"));
        assert!(low(Cause::Invalidated).contains("invalidated"));
        assert!(low(Cause::New).contains("always changes"));
        let few = facts(|stats| {
            stats.hits_memory = 0;
            stats.misses = 50;
        });
        assert!(rules(&few).is_empty(), "too few to say");
    }

    #[test]
    fn an_endpoint_that_never_hits_is_named_with_its_reason() {
        let of = |misses, bypasses, stores| {
            let mut stats = Stats::default();
            (stats.misses, stats.bypasses, stats.stores) = (misses, bypasses, stores);
            never_hits(&stats).map(|(what, _)| what)
        };
        assert!(of(200, 0, 200).unwrap().contains("found again"));
        assert!(of(200, 0, 0).unwrap().contains("may be stored"));
        assert!(of(0, 200, 0).unwrap().contains("takes part"));
        assert_eq!(of(20, 0, 20), None);
        let mut facts = facts(|_| ());
        let stats = Stats {
            misses: 200,
            ..Stats::default()
        };
        let one = EndpointStats {
            endpoint: "x".into(),
            namespace: false,
            stats,
        };
        facts.endpoints = vec![one];
        assert_eq!(rules(&facts), ["endpoint-never-hits"]);
    }

    #[test]
    fn what_is_not_to_be_cached_is_no_endpoint_that_never_hits() {
        for reason in ON_PURPOSE {
            let mut stats = Stats {
                bypasses: 500,
                ..Stats::default()
            };
            stats.bypasses_by.add(reason, 500);
            assert_eq!(never_hits(&stats), None, "{reason}");
            stats.bypasses += 100;
            stats.bypasses_by.add(Bypass::Credential, 100);
            let (_, todo) = never_hits(&stats).unwrap();
            assert!(todo.contains("credentials"), "{reason}: {todo}");
        }
    }

    #[test]
    fn a_memory_that_is_too_small_is_named() {
        let small = facts(|stats| {
            stats.stores = 200;
            stats.evictions.add(Eviction::Capacity, 150);
        });
        assert_eq!(rules(&small), ["memory-small"]);
    }
}
