//! [`Config`]: the settings of a cache as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Deserializer;

use super::named::Naming;
use super::units;
use crate::cache::{Cache, CacheBuilder};
use crate::error::ConfigError;
use crate::key::endpoint_of_route;
#[cfg(doc)]
use crate::policy::Policy;
use crate::policy::Routes;

/// The settings of a cache as data. Unknown fields are errors.
///
/// | field | form | default |
/// |---|---|---|
/// | `enabled` | boolean | `true` |
/// | `memory` | size: `"256MiB"`, or bytes | no memory tier |
/// | `redis` | URL, see [`CacheBuilder::redis`](crate::CacheBuilder) | no Redis tier |
/// | `prefix`, `release` | text | `api`, none |
/// | `max_body` | size | 1 MiB |
/// | `max_variants` | number | 128 |
/// | `operation_timeout` | duration: `"250ms"`, or seconds | 250 ms |
/// | `lease` | duration; how long memory is trusted without a word from Redis | 1.5 s |
/// | `eviction_policy` | the `maxmemory-policy` that Redis should have, such as `"allkeys-lru"` | any |
/// | `least_hit_rate` | from 0 to 1: less is warned of | 0.6 |
/// | `routes` | a table, see below | none |
///
/// `routes` has `default` (a policy), `except` (patterns that the default does not
/// cover) and `paths` (patterns and their policies). A policy is a TTL
/// (`"5m"`, or seconds), `"http"` ([`Policy::http`]) or a table with `ttl` or
/// `http = true`, `stale_while_revalidate`, `stale_if_error`, `revalidate`,
/// `targets`, `store_set_cookie`, `etag`, `jitter`, `adaptive` (`["30s", "1h"]`), `early`, `settle`, `coalesce`, `finish`, `wait`,
/// `soft_timeout`, `hard_timeout`,
/// `methods`, `max_request_body`, `precompress`, `unmatched`, `endpoint`, `tags`, `tag_fields`, `statuses`,
/// `negative_ttl`, `max_body`, `version`, `vary`, `only_params`,
/// `ignore_params`, `hide`, `ignore_credentials`, `override_cache_control`,
/// `client_cache`, `invalidates` (patterns, or `tag:`, `endpoint:`, `uri:` and a
/// name), `scope` (`"bearer"`, `"cookie:NAME"`, `"header:NAME"`),
/// `memory_only`. Each means what [`Policy`]'s method of that name says; its
/// other methods are for code alone. A table with neither `ttl` nor `http` nor
/// `negative_ttl` stores nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    remote = "Self",
    expecting = "settings of a cache"
)]
#[non_exhaustive]
pub struct Config {
    /// Whether the cache is on at first.
    pub enabled: Option<bool>,
    /// The memory tier's bound, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub memory: Option<u64>,
    /// The Redis tier's URL.
    pub redis: Option<String>,
    /// The first part of every key.
    pub prefix: Option<String>,
    /// The release of the application.
    pub release: Option<String>,
    /// The largest body that is stored, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub max_body: Option<u64>,
    /// How many variants of one resource are kept.
    pub max_variants: Option<usize>,
    /// How long one operation of Redis may take.
    #[serde(deserialize_with = "units::duration")]
    pub operation_timeout: Option<Duration>,
    /// How long this process trusts what it holds without a word from Redis.
    #[serde(deserialize_with = "units::duration")]
    pub lease: Option<Duration>,
    /// The `maxmemory-policy` that Redis should have.
    pub eviction_policy: Option<String>,
    /// The least hit rate that is well, from 0 to 1.
    pub least_hit_rate: Option<f64>,
    /// The route table.
    routes: Option<Routes>,
    /// `CACHE_TTL_<NAME>`, by name.
    #[serde(skip)]
    pub(super) ttls: BTreeMap<String, Duration>,
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Naming::of(from, "routes"))
    }
}

impl Config {
    /// A builder with these settings.
    ///
    /// # Errors
    ///
    /// If a setting needs a feature that is left out. What is out of range, or cannot work
    /// together, is found by [`CacheBuilder::build`]; one that is not `enabled` needs no tier.
    pub fn builder(&self) -> Result<CacheBuilder, ConfigError> {
        let mut builder = Cache::builder();
        if let Some(enabled) = self.enabled {
            builder = builder.enabled(enabled);
        }
        if let Some(memory) = self.memory {
            builder = builder.memory(memory);
        }
        if let Some(url) = &self.redis {
            builder = crate::cache::with_redis(builder, url)?;
        }
        if let Some(prefix) = &self.prefix {
            builder = builder.prefix(prefix);
        }
        if let Some(release) = &self.release {
            builder = builder.release(release);
        }
        if let Some(bytes) = self.max_body {
            let bytes = usize::try_from(bytes)
                .map_err(|_| ConfigError::new("max_body", "larger than this machine's memory"))?;
            builder = builder.max_body(bytes);
        }
        if let Some(most) = self.max_variants {
            builder = builder.max_variants(most);
        }
        if let Some(timeout) = self.operation_timeout {
            builder = builder.operation_timeout(timeout);
        }
        if let Some(lease) = self.lease {
            builder = builder.lease(lease);
        }
        if let Some(policy) = &self.eviction_policy {
            builder = builder.expect_eviction_policy(policy);
        }
        if let Some(rate) = self.least_hit_rate {
            builder = builder.least_hit_rate(rate);
        }
        Ok(builder)
    }

    /// The route table, with the TTLs that the environment sets: every row of
    /// endpoint `character`, named or by its pattern, gets `CACHE_TTL_CHARACTER`, and so
    /// does a default that names that endpoint. A variable that reaches none of them is told at info
    /// level: it is for code that asks for its [`ttl`](Self::ttl), or misspelt.
    #[must_use]
    pub fn routes(&self) -> Option<Routes> {
        let mut routes = self.routes.clone()?;
        let mut unknown: BTreeSet<&str> = self.ttls.keys().map(String::as_str).collect();
        let rows = routes.rows.iter_mut().map(|(pattern, policy)| {
            let name = policy.endpoint.clone();
            (name.or_else(|| Some(endpoint_of_route(pattern))), policy)
        });
        let default = routes.default.iter_mut();
        let default = default.map(|policy| (policy.endpoint.clone(), policy));
        for (name, policy) in rows.chain(default) {
            let Some(name) = name.map(|name| variable_name(&name)) else {
                continue;
            };
            if let (Some(ttl), Some(_)) = (self.ttls.get(&name), policy.ttl) {
                policy.ttl = Some(*ttl);
                unknown.remove(&*name);
            }
        }
        for name in unknown {
            tracing::info!(target: "larder", "CACHE_TTL_{name} sets no TTL: no row of the route table that has one is of that endpoint");
        }
        Some(routes)
    }

    /// What `CACHE_TTL_<NAME>` says, for a policy written in code. Case does
    /// not matter, and `.` and `-` are `_`.
    #[must_use]
    pub fn ttl(&self, name: &str) -> Option<Duration> {
        self.ttls.get(&variable_name(name)).copied()
    }
}

/// A name as it stands in an environment variable.
pub(super) fn variable_name(name: &str) -> String {
    name.to_ascii_uppercase().replace(['.', '-'], "_")
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("enabled", &self.enabled)
            .field("memory", &self.memory)
            // a URL may hold a password
            .field("redis", &self.redis.as_ref().map(|_| "..."))
            .field("prefix", &self.prefix)
            .field("release", &self.release)
            .field("max_body", &self.max_body)
            .field("max_variants", &self.max_variants)
            .field("operation_timeout", &self.operation_timeout)
            .field("lease", &self.lease)
            .field("eviction_policy", &self.eviction_policy)
            .field("least_hit_rate", &self.least_hit_rate)
            .field("routes", &self.routes)
            .field("ttls", &self.ttls)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_form_is_told_the_form() {
        for (text, form) in [
            ("5", "settings of a cache"),
            (
                r#"{"routes": [1]}"#,
                "a table with default, except and paths",
            ),
            (
                r#"{"routes": {"paths": []}}"#,
                "patterns and their policies",
            ),
        ] {
            let error = serde_json::from_str::<Config>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(form), "{text}: {error}");
            assert!(!error.contains("struct"), "{text}: {error}");
        }
    }

    #[test]
    fn all_that_is_set_is_shown_but_for_the_url() {
        let text = r#"{"redis": "redis://:secret@h", "eviction_policy": "allkeys-lru", "least_hit_rate": 0.5}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let shown = format!("{config:?}");
        for field in [
            "eviction_policy: Some(\"allkeys-lru\")",
            "least_hit_rate: Some(0.5)",
        ] {
            assert!(shown.contains(field), "{shown}");
        }
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_environment_sets_the_ttl_of_every_row_of_an_endpoint() {
        let rows = r#"
            [routes.paths]
            "/system/status" = 5
            "/users" = 5
            "/users/{id}" = { ttl = 5 }
            "/a" = { ttl = 5, endpoint = "users" }
            "/b/status" = { ttl = 5, endpoint = "own" }
            "/none/users" = { negative_ttl = 5, endpoint = "users" }
            [routes.default]
            ttl = 5
            endpoint = "rest"
        "#;
        let mut config: Config = toml::from_str(rows).unwrap();
        for (name, minutes) in [
            ("SYSTEM_STATUS", 1),
            ("USERS", 2),
            ("B_STATUS", 3),
            ("REST", 4),
        ] {
            config
                .ttls
                .insert(name.into(), Duration::from_secs(minutes * 60));
        }
        let routes = config.routes().unwrap();
        let default = routes.default.unwrap().ttl;
        assert_eq!(default, Some(Duration::from_secs(240)));
        let rows = routes.rows.into_iter();
        let ttls: BTreeMap<String, Option<u64>> = rows
            .map(|(pattern, policy)| (pattern, policy.ttl.map(|ttl| ttl.as_secs())))
            .collect();
        let ttl = |pattern: &str| ttls[pattern];
        assert_eq!(ttl("/system/status"), Some(60));
        assert_eq!(["/users", "/users/{id}", "/a"].map(ttl), [Some(120); 3]);
        assert_eq!((ttl("/b/status"), ttl("/none/users")), (Some(5), None));
    }
}
