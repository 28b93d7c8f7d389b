//! Settings from environment variables.

use std::collections::BTreeMap;
use std::env::VarError;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::settings::{Config, variable_name};
use super::units::{parse_duration, parse_size};
use crate::error::ConfigError;

impl Config {
    /// Settings from the environment alone; see [`with_env`](Self::with_env).
    ///
    /// # Errors
    ///
    /// As [`with_env`](Self::with_env).
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::default().with_env()
    }

    /// These settings, and what the environment says in their place. An empty
    /// variable counts as none.
    ///
    /// | variable | sets |
    /// |---|---|
    /// | `REDIS_URL` | `redis` |
    /// | `REDIS_HOST`, `REDIS_PORT` (6379), `REDIS_PASSWORD` | `redis`, where there is no `REDIS_URL` |
    /// | `CACHE_ENABLED` | `enabled`: `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off` |
    /// | `CACHE_MAX_MEMORY` | `memory`: `256MiB`, `2gb`, or bytes |
    /// | `CACHE_EVICTION_POLICY` | `eviction_policy`: `allkeys-lru`; it is compared with the server's, and never set there |
    /// | `CACHE_TTL_<NAME>` | the TTL of the endpoint, or of [`ttl`](Self::ttl): `5m`, or seconds |
    ///
    /// # Errors
    ///
    /// If a value makes no sense; the error names the variable.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        let ttls = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with(TTL).then_some((name, value.into_string()))
        });
        let mut named = Vec::new();
        for (name, value) in ttls {
            let value = value.map_err(|_| ConfigError::new(&name, "is not UTF-8"))?;
            named.push((name, value));
        }
        let variable = |name: &str| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(ConfigError::new(name, "is not UTF-8")),
        };
        self.with_variables(variable, named)
    }

    /// The same by variables from elsewhere than this process' environment, such as
    /// another file's.
    ///
    /// # Errors
    ///
    /// As [`with_env`](Self::with_env).
    pub fn with_vars<N, V>(
        self,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let vars: BTreeMap<String, String> = vars
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let ttls = vars.iter().filter(|(name, _)| name.starts_with(TTL));
        let ttls = ttls.map(|(name, value)| (name.clone(), value.clone()));
        self.with_variables(|name| Ok(vars.get(name).cloned()), ttls.collect())
    }

    fn with_variables(
        mut self,
        variable: impl Fn(&str) -> Result<Option<String>, ConfigError>,
        ttls: Vec<(String, String)>,
    ) -> Result<Self, ConfigError> {
        let get = |name: &str| -> Result<Option<String>, ConfigError> {
            Ok(variable(name)?.filter(|value| !value.trim().is_empty()))
        };
        if let Some(url) = get("REDIS_URL")? {
            self.redis = Some(url);
        } else if let Some(url) = redis_of_parts(get)? {
            self.redis = Some(url);
        }
        if let Some(text) = get("CACHE_ENABLED")? {
            self.enabled = Some(boolean("CACHE_ENABLED", &text)?);
        }
        if let Some(text) = get("CACHE_MAX_MEMORY")? {
            let bytes =
                parse_size(&text).map_err(|why| ConfigError::new("CACHE_MAX_MEMORY", why))?;
            self.memory = Some(bytes);
        }
        if let Some(policy) = get("CACHE_EVICTION_POLICY")? {
            self.eviction_policy = Some(policy.trim().to_owned());
        }
        for (name, text) in ttls {
            if text.trim().is_empty() {
                continue;
            }
            let ttl = parse_duration(&text).map_err(|why| ConfigError::new(&name, why))?;
            if ttl.is_zero() {
                return Err(ConfigError::new(&name, "a TTL of zero stores nothing"));
            }
            self.ttls.insert(variable_name(&name[TTL.len()..]), ttl);
        }
        Ok(self)
    }
}

const TTL: &str = "CACHE_TTL_";

fn redis_of_parts(
    get: impl Fn(&str) -> Result<Option<String>, ConfigError>,
) -> Result<Option<String>, ConfigError> {
    let (host, port) = (get("REDIS_HOST")?, get("REDIS_PORT")?);
    if host.is_none() && port.is_none() {
        return Ok(None);
    }
    let port: u16 = match port {
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| ConfigError::new("REDIS_PORT", format!("{text:?} is no port")))?,
        None => 6379,
    };
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    let host = host.trim();
    if host.contains(['/', '@', '?', '#', ' ']) {
        return Err(ConfigError::new(
            "REDIS_HOST",
            format!("{host:?} is no host name"),
        ));
    }
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"), // IPv6
        false => host.to_owned(),
    };
    let login = get("REDIS_PASSWORD")?.map_or_else(String::new, |password| {
        format!(":{}@", utf8_percent_encode(&password, NON_ALPHANUMERIC))
    });
    Ok(Some(format!("redis://{login}{host}:{port}")))
}

fn boolean(name: &str, text: &str) -> Result<bool, ConfigError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::new(
            name,
            format!("{text:?} is neither true nor false"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::default().with_vars(variables.iter().copied())
    }

    #[test]
    fn redis_comes_from_a_url_or_its_parts() {
        let redis = |variables: &[(&str, &str)]| config(variables).unwrap().redis;
        assert_eq!(redis(&[]), None);
        assert_eq!(redis(&[("REDIS_URL", "redis://a")]).unwrap(), "redis://a");
        assert_eq!(redis(&[("REDIS_HOST", "a")]).unwrap(), "redis://a:6379");
        let parts = [
            ("REDIS_HOST", "::1"),
            ("REDIS_PORT", "7"),
            ("REDIS_PASSWORD", "p@s:s"),
        ];
        assert_eq!(redis(&parts).unwrap(), "redis://:p%40s%3As@[::1]:7");
        let both = [("REDIS_URL", "redis://a"), ("REDIS_HOST", "b")];
        assert_eq!(redis(&both).unwrap(), "redis://a");
        assert_eq!(redis(&[("REDIS_URL", "")]), None);
    }

    #[test]
    fn ttls_are_found_by_name() {
        let config = config(&[("CACHE_TTL_SCENES", "1h"), ("CACHE_TTL_AI_X", "90")]).unwrap();
        assert_eq!(config.ttl("scenes"), Some(Duration::from_secs(3_600)));
        assert_eq!(config.ttl("ai.x"), Some(Duration::from_secs(90)));
        assert_eq!(config.ttl("other"), None);
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (name, value) in [
            ("REDIS_PORT", "70000"),
            ("REDIS_HOST", "a/b"),
            ("CACHE_ENABLED", "maybe"),
            ("CACHE_MAX_MEMORY", "much"),
            ("CACHE_TTL_X", "soon"),
            ("CACHE_TTL_X", "0"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert_eq!(error.setting(), name, "{error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = config(&[("REDIS_URL", "redis://:secret@a")]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
