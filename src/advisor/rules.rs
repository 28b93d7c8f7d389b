//! The way through all rules.

use super::advice::Advice;
use super::facts::Facts;
use super::policies::{of_policies, of_samples};
use super::servers::of_servers;
use super::traffic::of_traffic;

/// All that the rules say, what matters most first.
pub(crate) fn advise(facts: &Facts) -> Vec<Advice> {
    let mut all = of_servers(&facts.servers, facts.eviction_policy.as_deref());
    all.extend(of_policies(&facts.policies));
    all.extend(of_samples(&facts.sampled));
    all.extend(of_traffic(facts));
    all.sort_by_key(|advice| advice.level);
    all
}
