//! Narratives: found, generated, or a template where that fails.

use std::time::Duration;

use larder::values::{CachedValue, ValueKey, Values};
use larder::{Cache, ConfigError, WarmList, Warming, days, tag};
use serde::{Deserialize, Serialize};

use super::profile::{Chart, Profile};
use super::standin::{StandIn, Unavailable};

/// In this process; Redis keeps them for a month.
pub const FRESH: Duration = days(7);
pub const KEPT: Duration = days(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Narrative {
    pub text: String,
}

/// A narrative that is addressed to somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub text: String,
}

#[derive(Clone)]
pub struct Narrator {
    pub cache: Cache,
    /// Of profiles, for all who share them.
    pub narratives: Values<Narrative>,
    /// Of users, each under a seed of its own.
    pub readings: Values<Reading>,
    pub generator: StandIn,
    /// Percentages are rounded down to a multiple of it.
    pub step: f64,
}

impl Narrator {
    pub fn new(cache: &Cache, generator: StandIn, step: f64) -> Result<Self, ConfigError> {
        let later = KEPT - FRESH;
        Ok(Self {
            cache: cache.clone(),
            narratives: cache
                .values::<Narrative>("narrative")
                .hashed_keys()
                .ttl(FRESH)
                .memory_ttl(FRESH)
                .stale_while_revalidate(later)
                .stale_if_error(later)
                .fallback(|_| Some(template()))
                .build()?,
            readings: cache
                .values::<Reading>("reading")
                .hashed_keys()
                .ttl(FRESH)
                .sharing(larder::values::Sharing::PerSeed)
                .build()?,
            generator,
            step,
        })
    }

    /// What is told to a user, and whether it was known. The user sees no error.
    pub async fn tell(&self, system: &str, chart: &Chart) -> (String, CachedValue<Narrative>) {
        let profile = Profile {
            system: system.to_owned(),
            percentages: chart.percentages.clone(),
        };
        let narrative = self.narrative(profile.clone()).await;
        if narrative.is_fallback() {
            return (addressed(chart, &narrative), narrative);
        }
        let about = profile.key(self.step).as_str().to_owned();
        let key = ValueKey::new(about).seed(format!("user:{}", chart.user_id));
        let text = addressed(chart, &narrative);
        let write = async move || Ok::<_, std::convert::Infallible>(Reading { text });
        let Ok(reading) = self.readings.get_or_try_insert_with(key, write).await;
        (reading.text.clone(), narrative)
    }

    async fn narrative(&self, profile: Profile) -> CachedValue<Narrative> {
        let (key, generator) = (profile.key(self.step), self.generator.clone());
        let load = async move || generate(&generator, &profile).await;
        let told = self.narratives.get_or_try_insert_with(key, load).await;
        match told {
            Ok(told) => told,
            // nothing is cached for it, and nothing stands in for it
            Err(Unavailable) => self.narratives.insert(ValueKey::never(), template()).await,
        }
    }

    /// Generates what is not fresh, one at a time, `every` so often.
    pub fn prewarm(&self, profiles: WarmList<Profile>, every: Duration) -> Warming {
        let (generator, step) = (self.generator.clone(), self.step);
        let load = move |profile: Profile| {
            let generator = generator.clone();
            async move { generate(&generator, &profile).await }
        };
        let key = move |profile: &Profile| profile.key(step);
        let warmup = self.cache.warm().concurrency(1).every(every);
        warmup.values_by(&self.narratives, profiles, key, load)
    }

    /// Erases all that is known of a user. How many entries that were.
    pub async fn forget(&self, user: &str) -> Result<u64, larder::InvalidateError> {
        let erased = self.cache.erase(tag(format!("user:{user}"))).await?;
        tracing::info!(target: "audit", removed = erased.removed(), "a user was erased");
        Ok(erased.removed())
    }
}

async fn generate(generator: &StandIn, profile: &Profile) -> Result<Narrative, Unavailable> {
    let most = profile.percentages.iter().max_by(|a, b| a.1.total_cmp(b.1));
    let most = most.map_or("nothing", |(name, _)| name.as_str());
    let text = format!("In the {} tradition, {most} leads. ", profile.system).repeat(20);
    generator.call(|_| Narrative { text }).await
}

fn addressed(chart: &Chart, narrative: &Narrative) -> String {
    format!("Dear {}, {}", chart.name, narrative.text)
}

fn template() -> Narrative {
    Narrative {
        text: "your story is being written; come back in a while.".to_owned(),
    }
}
