//! The facts for the advisor, and when it speaks by itself: of policies when their
//! layers are made, of servers when they are first reached (of a hit rate that falls:
//! `stats/low.rs`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;
use tokio::runtime::Handle;

use super::builder::CacheBuilder;
use super::engine::Engine;
use super::handle::Cache;
use crate::advisor::{
    Advice, AdviceLevel, Facts, PolicyFacts, Sampled, advise, of_policies, of_servers,
};
use crate::error::ConfigError;
use crate::policy::freshness::Rules;
use crate::policy::{Policy, Routes};
use crate::stats::Stats;

/// More policies are not remembered.
const MOST_POLICIES: usize = 1_000;
/// Entries in memory that are looked at.
const SAMPLE: usize = 2_000;

/// What is to be well.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) eviction_policy: Option<String>,
    pub(super) hit_rate: f64,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            eviction_policy: None,
            hit_rate: 0.6,
        }
    }
}

impl Expected {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // servers to come may know more of these forms
        let known = |policy: &String| {
            let mut kinds = ["allkeys-", "volatile-"].into_iter();
            let of = kinds.find_map(|kind| policy.strip_prefix(kind));
            let letters = |of: &str| !of.is_empty() && of.bytes().all(|b| b.is_ascii_lowercase());
            policy == "noeviction" || of.is_some_and(letters)
        };
        if let Some(policy) = self.eviction_policy.as_ref().filter(|p| !known(p)) {
            let why = format!(
                "{policy:?} is no name of an eviction policy: noeviction, or of the form allkeys-lru, volatile-lru"
            );
            return Err(ConfigError::new("eviction_policy", why));
        }
        match (0.0..=1.0).contains(&self.hit_rate) {
            true => Ok(()),
            false => Err(ConfigError::new(
                "least_hit_rate",
                format!("{} is not from 0 to 1", self.hit_rate),
            )),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Advisor {
    expected: Expected,
    policies: Mutex<Vec<PolicyFacts>>,
    /// The servers were looked at once.
    begun: AtomicBool,
}

impl Advisor {
    pub(super) fn new(expected: Expected) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    fn policies(&self) -> MutexGuard<'_, Vec<PolicyFacts>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down a policy, and says what there is to say of it.
    pub(crate) fn learn(&self, policy: &Policy, place: Option<&str>, credentials: &[HeaderName]) {
        let facts = PolicyFacts::of(policy, place, credentials);
        let mut policies = self.policies();
        if policies.len() >= MOST_POLICIES || policies.contains(&facts) {
            return;
        }
        policies.push(facts.clone());
        drop(policies);
        of_policies(&[facts]).iter().for_each(log);
    }

    pub(crate) fn learn_all(&self, routes: &Routes, credentials: &[HeaderName]) {
        for (pattern, policy) in &routes.rows {
            self.learn(policy, Some(pattern), credentials);
        }
        if let Some(policy) = &routes.default {
            self.learn(policy, Some("default"), credentials);
        }
    }
}

fn log(advice: &Advice) {
    let Advice {
        rule, what, todo, ..
    } = advice;
    let subject = advice.subject.as_deref().unwrap_or_default();
    match advice.level {
        AdviceLevel::Warning => tracing::warn!(target: "larder", rule, subject, todo, "{what}"),
        AdviceLevel::Hint => tracing::info!(target: "larder", rule, subject, todo, "{what}"),
    }
}

impl Engine {
    /// Redis has answered: says once what there is to say of it.
    pub(super) fn advise_at_start(self: &Arc<Self>, runtime: &Handle) {
        if self.advisor.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let engine = Arc::clone(self);
        self.tasks.spawn(runtime, async move {
            let Some(pulse) = &engine.pulse else { return };
            let expected = engine.advisor.expected.eviction_policy.as_deref();
            match pulse.fence.servers().await {
                Ok(servers) => of_servers(&servers, expected).iter().for_each(log),
                Err(error) => {
                    tracing::debug!(target: "larder", %error, "the servers do not say how they are")
                }
            }
        });
    }

    /// The hit rate that is well, of all endpoints together.
    pub(super) fn least_hit_rate(&self) -> f64 {
        self.advisor.expected.hit_rate
    }

    fn facts(&self, stats: Stats) -> Facts {
        let expected = self.advisor.expected.clone();
        Facts {
            servers: Vec::new(),
            eviction_policy: expected.eviction_policy,
            hit_rate: expected.hit_rate,
            policies: self.advisor.policies().clone(),
            total: stats,
            endpoints: self.counters.by_endpoint(),
            sampled: self.samples(),
            low: self.counters.low.known(),
        }
    }

    /// What some of the entries in memory say.
    fn samples(&self) -> Vec<Sampled> {
        let mut by_endpoint: BTreeMap<String, Sampled> = BTreeMap::new();
        let mut left = SAMPLE;
        self.memory.each(|held| {
            let entry = &held.entry;
            let family = entry.key.as_str().split(':').nth(1).unwrap_or_default();
            let name = family.split('@').next().unwrap_or_default();
            let of = by_endpoint.entry(name.to_owned()).or_default();
            of.entries += 1;
            of.never_stale += u64::from(entry.rules.has(Rules::NEVER_STALE));
            of.plain += (entry.body.len() * held.coded.len()) as u64;
            of.coded += held
                .coded
                .iter()
                .map(|coded| coded.len() as u64)
                .sum::<u64>();
            left -= 1;
            left > 0
        });
        for (name, counts) in self.counters.list() {
            if let Some(of) = by_endpoint.get_mut(&*name)
                && !counts.serves_stale()
            {
                of.never_stale = 0;
            }
        }
        let named = by_endpoint.into_iter();
        named
            .map(|(endpoint, of)| Sampled { endpoint, ..of })
            .collect()
    }
}

impl Cache {
    /// What could be better, and what to do about it: of the Redis servers, of the
    /// policies and of what this process has counted. What matters most comes first; empty
    /// where nothing is to be said. Servers that do not answer are left out.
    ///
    /// The same is logged by itself: of policies when their layers are made, of servers
    /// when they are first reached, and of a hit rate when it falls under
    /// [`least_hit_rate`](CacheBuilder::least_hit_rate).
    ///
    /// ```
    /// # async fn look(cache: larder::Cache) {
    /// for advice in cache.advice().await {
    ///     println!("{}: {}. {}", advice.rule, advice.what, advice.todo);
    /// }
    /// # }
    /// ```
    pub async fn advice(&self) -> Vec<Advice> {
        let mut facts = self.engine.facts(self.stats());
        facts.servers = self.servers().await.unwrap_or_default();
        advise(&facts)
    }
}

impl CacheBuilder {
    /// The `maxmemory-policy` that Redis should have, such as `allkeys-lru`: the advisor
    /// says where it has another one. larder never changes it. What is neither `noeviction` nor
    /// of the form `allkeys-..` or `volatile-..` is refused. Default: any.
    pub fn expect_eviction_policy(mut self, policy: impl Into<String>) -> Self {
        self.expected.eviction_policy = Some(policy.into());
        self
    }

    /// The least hit rate that is well, from 0 to 1, of all endpoints together; of one alone
    /// its [policy](Policy::least_hit_rate) says it. A minute with at least a hundred
    /// requests and less than that is logged as a warning with the likeliest cause, once
    /// until it is well again, and stands in [`Cache::low_hit_rates`] and in the
    /// [advice](Cache::advice). Default: 0.6; 0 is never.
    pub fn least_hit_rate(mut self, rate: f64) -> Self {
        self.expected.hit_rate = rate;
        self
    }
}
