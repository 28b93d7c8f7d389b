//! What is cached, under which keys, and for how long: one namespace for each kind.

use larder::config::Config;
use larder::values::Values;
use larder::{Cache, ConfigError, hours, minutes, seconds};
use serde::{Deserialize, Serialize};

use super::database::{Preferences, Scene};

/// What the model decided to do with a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Decision {
    Add { kind: String },
    Edit { scene: String },
}

/// A compiled component, or why it could not be compiled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    pub success: bool,
    pub output: String,
}

#[derive(Clone)]
pub struct Cached {
    /// `scene:<project>:<scene>`
    pub scenes: Values<Scene>,
    /// `project:<project>:scenes`
    pub lists: Values<Vec<String>>,
    /// `ai:decision:<hash>`
    pub decisions: Values<Decision>,
    /// `component:<scene>:<version>`
    pub components: Values<Build>,
    /// `user:<id>:preferences`
    pub preferences: Values<Preferences>,
}

impl Cached {
    /// With the TTLs that `CACHE_TTL_SCENES`, `CACHE_TTL_AI` and
    /// `CACHE_TTL_COMPONENTS` say, else the studio's own; what has none lives an hour.
    pub fn new(cache: &Cache, config: &Config) -> Result<Self, ConfigError> {
        let ttl = |name: &str, default| config.ttl(name).unwrap_or(default);
        Ok(Self {
            scenes: cache
                .values::<Scene>("scene")
                .ttl(ttl("scenes", seconds(3_600)))
                .tags_of(|_, scene| vec![project(&scene.project)])
                .build()?,
            lists: cache
                .values::<Vec<String>>("project")
                .ttl(ttl("scenes", seconds(3_600)))
                .tags_of(|key, _| vec![project(key.trim_end_matches(":scenes"))])
                .build()?,
            decisions: cache
                .values::<Decision>("ai:decision")
                .ttl(ttl("ai", minutes(30)))
                .build()?,
            components: cache
                .values::<Build>("component")
                .ttl(ttl("components", hours(24)))
                .store_if(|_, build| build.success)
                .build()?,
            preferences: cache.values::<Preferences>("user").build()?,
        })
    }
}

/// The tag that a project's scenes and its list share.
pub fn project(id: &str) -> String {
    format!("project:{id}")
}
