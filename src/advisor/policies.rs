//! Rules 6 to 9 and 13: what policies say, and what becomes of it in entries.

use std::time::Duration;

use super::advice::Advice;
use super::facts::{PolicyFacts, Sampled};

const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// Fewer entries say nothing of an endpoint.
const ENOUGH: u64 = 10;

pub(crate) fn of_policies(policies: &[PolicyFacts]) -> Vec<Advice> {
    let mut all = Vec::new();
    for policy in policies {
        let place = policy.place.as_deref();
        if policy.ttl.is_some_and(|ttl| ttl > YEAR) {
            let what = "answers are fresh for more than a year";
            let todo =
                "give the policy a TTL that ends, so that a forgotten invalidation is not for ever";
            all.push(Advice::hint("policy-endless", what, todo).about(place));
        }
        if policy.shares_private {
            let what = "answers that handlers mark private or no-store are stored and shared (override_cache_control)";
            let todo = "leave override_cache_control out, or give the policy a scope or a vary that tells users apart";
            all.push(Advice::warning("policy-shares-private", what, todo).about(place));
        }
        if policy.shares_cookies {
            let what = "answers that set a cookie are stored, and everybody gets that cookie (store_set_cookie)";
            let todo =
                "leave store_set_cookie out, unless no cookie of these answers is one user's";
            all.push(Advice::warning("policy-shares-cookies", what, todo).about(place));
        }
    }
    all
}

pub(super) fn of_samples(sampled: &[Sampled]) -> Vec<Advice> {
    let mut all = Vec::new();
    for of in sampled {
        let endpoint = Some(of.endpoint.as_str());
        if of.entries >= ENOUGH && of.never_stale * 2 > of.entries {
            let what = "the policy serves stale answers, and the answers forbid it (must-revalidate and its like)";
            let todo = "take must-revalidate, proxy-revalidate, no-cache or s-maxage out of the answers, or the stale windows out of the policy";
            all.push(Advice::hint("policy-stale-forbidden", what, todo).about(endpoint));
        }
        if of.entries >= ENOUGH && of.plain > 0 && of.coded * 10 > of.plain * 9 {
            let what = format!(
                "what is coded beforehand has {} % of the size of the bodies",
                of.coded * 100 / of.plain
            );
            let todo =
                "leave precompress out of this policy: the bodies are coded already, or too small";
            all.push(Advice::hint("codings-do-not-pay", what, todo).about(endpoint));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::clock::{days, minutes};
    use crate::policy::{Policy, Scope};

    fn rules(policy: &Policy) -> Vec<&'static str> {
        let all = of_policies(&[PolicyFacts::of(policy, Some("/x"), &[AUTHORIZATION])]);
        assert!(all.iter().all(|a| a.subject.as_deref() == Some("/x")));
        all.iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn a_policy_that_shares_what_it_should_not_is_named() {
        let plain = Policy::ttl(minutes(5));
        assert!(rules(&plain).is_empty());
        let overrides = plain.override_cache_control();
        assert_eq!(rules(&overrides), ["policy-shares-private"]);
        assert!(rules(&overrides.clone().scope(Scope::bearer())).is_empty());
        assert!(rules(&overrides.clone().vary(["Authorization"])).is_empty());
        let other = overrides.vary(["accept-language"]);
        assert_eq!(rules(&other), ["policy-shares-private"]);
        let cookies = Policy::http().store_set_cookie();
        assert_eq!(rules(&cookies), ["policy-shares-cookies"]);
    }

    #[test]
    fn a_ttl_without_an_end_in_sight_is_named() {
        assert!(rules(&Policy::ttl(days(365))).is_empty());
        assert_eq!(rules(&Policy::ttl(days(3_650))), ["policy-endless"]);
    }

    fn sampled(never_stale: u64, coded: u64) -> Vec<&'static str> {
        let of = Sampled {
            endpoint: "x".into(),
            entries: 20,
            never_stale,
            plain: 1_000,
            coded,
        };
        of_samples(&[of]).iter().map(|a| a.rule).collect()
    }

    #[test]
    fn stale_windows_that_answers_forbid_and_codings_that_save_nothing_are_named() {
        assert!(sampled(5, 300).is_empty());
        assert_eq!(sampled(15, 300), ["policy-stale-forbidden"]);
        assert_eq!(sampled(0, 950), ["codings-do-not-pay"]);
    }
}
