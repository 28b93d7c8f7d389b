//! What is cached: a namespace for each kind, with its TTL, in the tiers that the
//! strategy names.

use std::time::Duration;

use larder::values::{Postcard, Tiers, Values, ValuesBuilder};
use larder::{Cache, ConfigError, days, hours};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub const SHORT: Duration = hours(1);
pub const MEDIUM: Duration = days(1);
pub const LONG: Duration = days(7);
pub const VERY_LONG: Duration = days(30);

/// A TTL by its name, as `CACHE_TTL` has it.
pub fn ttl_named(name: &str) -> Option<Duration> {
    match name.to_ascii_uppercase().as_str() {
        "SHORT" => Some(SHORT),
        "MEDIUM" => Some(MEDIUM),
        "LONG" => Some(LONG),
        "VERY_LONG" => Some(VERY_LONG),
        _ => None,
    }
}

/// Which tiers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Redis,
    Memory,
    Hybrid,
}

impl Strategy {
    /// By its name, as `CACHE_STRATEGY` has it.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "REDIS" => Some(Self::Redis),
            "MEMORY" => Some(Self::Memory),
            "HYBRID" => Some(Self::Hybrid),
            _ => None,
        }
    }

    fn tiers(self) -> Tiers {
        match self {
            Self::Redis => Tiers::Redis,
            Self::Memory => Tiers::Memory,
            Self::Hybrid => Tiers::All,
        }
    }
}

/// What the model says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub text: String,
    pub tokens: u32,
}

/// How a host of the show speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    pub name: String,
    pub phrases: Vec<String>,
    /// From 0 to 1, one for each mood.
    pub moods: Vec<(String, f32)>,
}

/// The scenes of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    pub scenes: Vec<String>,
}

#[derive(Clone)]
pub struct Kinds {
    pub ai_responses: Values<Answer>,
    pub voice_profiles: Values<Voice>,
    pub dialogue_patterns: Values<String>,
    pub joke_structures: Values<String>,
    pub validation_results: Values<bool>,
    pub episode_outlines: Values<Outline>,
}

impl Kinds {
    /// `ttl` is that of the model's answers, a week without.
    pub fn new(
        cache: &Cache,
        strategy: Strategy,
        ttl: Option<Duration>,
    ) -> Result<Self, ConfigError> {
        let ttl = ttl.unwrap_or(LONG);
        Ok(Self {
            ai_responses: json(cache, strategy, "ai_response").ttl(ttl).build()?,
            voice_profiles: compact(cache, strategy, "voice_profile")
                .ttl(VERY_LONG)
                .build()?,
            dialogue_patterns: json(cache, strategy, "dialogue_pattern")
                .ttl(LONG)
                .build()?,
            joke_structures: json(cache, strategy, "joke_structure").ttl(LONG).build()?,
            validation_results: json(cache, strategy, "validation_result")
                .ttl(MEDIUM)
                .build()?,
            episode_outlines: json(cache, strategy, "episode_outline")
                .ttl(MEDIUM)
                .build()?,
        })
    }
}

fn json<T>(cache: &Cache, strategy: Strategy, name: &str) -> ValuesBuilder<T>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    cache.values(name).tiers(strategy.tiers())
}

/// Complex objects are written compactly.
fn compact<T>(cache: &Cache, strategy: Strategy, name: &str) -> ValuesBuilder<T>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    cache.values_with(name, Postcard).tiers(strategy.tiers())
}
