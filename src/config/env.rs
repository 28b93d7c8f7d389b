//! Settings from environment variables.

use std::collections::BTreeMap;
use std::env::VarError;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::settings::{Config, variable_name};
use super::units::{parse_duration, parse_size};
use super::url;
use crate::cache::{Cache, with_redis};
use crate::error::ConfigError;
use crate::policy::positive;

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
    /// | `REDIS_HOST`, `REDIS_PORT` (6379) | `redis`, where there is no `REDIS_URL`: host and port in the place of a file's, whose other parts stay. A port without a host or a file's URL is one of this host (127.0.0.1); one of the form `tcp://..`, as Kubernetes sets it, asks for nothing |
    /// | `REDIS_PASSWORD` | the password in that URL: in the place of a file's own, or of none; one that stands in `REDIS_URL` counts more |
    /// | `CACHE_ENABLED` | `enabled`: `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off` |
    /// | `CACHE_MAX_MEMORY` | `memory`: `256MiB`, `2gb` (2,000,000,000), or bytes |
    /// | `CACHE_EVICTION_POLICY` | `eviction_policy`: `allkeys-lru`; it is compared with the server's, and never set there |
    /// | `CACHE_TTL_<NAME>` | the TTL of the endpoint in the [route table](Self::routes), or of [`ttl`](Self::ttl): `5m`, or seconds; `M` is months |
    ///
    /// # Errors
    ///
    /// If a value makes no sense, or two variables are of one endpoint and differ; the error names
    /// the variable.
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
        self.redis = redis_url(self.redis, get)?;
        if let (Some(_), Some(url)) = (get("REDIS_URL")?, &self.redis) {
            // a feature that is left out is told of where it is needed
            if let Ok(builder) = with_redis(Cache::builder(), url) {
                named("REDIS_URL", builder.build())?;
            }
        }
        if let Some(text) = get("CACHE_ENABLED")? {
            self.enabled = Some(boolean("CACHE_ENABLED", &text)?);
        }
        if let Some(text) = get("CACHE_MAX_MEMORY")? {
            let bytes =
                parse_size(&text).map_err(|why| ConfigError::new("CACHE_MAX_MEMORY", why))?;
            named("CACHE_MAX_MEMORY", Cache::builder().memory(bytes).check())?;
            self.memory = Some(bytes);
        }
        if let Some(policy) = get("CACHE_EVICTION_POLICY")? {
            let policy = policy.trim();
            let builder = Cache::builder().expect_eviction_policy(policy);
            named("CACHE_EVICTION_POLICY", builder.check())?;
            self.eviction_policy = Some(policy.to_owned());
        }
        self.ttls_from(ttls)
    }
}

impl Config {
    fn ttls_from(mut self, variables: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let mut read: BTreeMap<String, (String, Duration)> = BTreeMap::new();
        for (name, text) in variables {
            if text.trim().is_empty() {
                continue;
            }
            let bad = |why: String| Err(ConfigError::new(&name, why));
            let of = variable_name(&name[TTL.len()..]);
            if of.is_empty() {
                return bad(format!("names no endpoint, as {TTL}USERS does"));
            }
            let ttl = parse_duration(&text).map_err(|why| ConfigError::new(&name, why))?;
            positive(&name, Some(ttl))?;
            if let Some((other, _)) = read.get(&of).filter(|(_, other)| *other != ttl) {
                return bad(format!(
                    "{other} is of the same endpoint, and says otherwise"
                ));
            }
            read.insert(of, (name, ttl));
        }
        let ttls = read.into_iter().map(|(of, (_, ttl))| (of, ttl));
        self.ttls.extend(ttls);
        Ok(self)
    }
}

const TTL: &str = "CACHE_TTL_";

/// What a builder says of what a variable sets: of the variable, and not of the field.
fn named<T>(variable: &str, said: Result<T, ConfigError>) -> Result<(), ConfigError> {
    said.map(drop).map_err(|error| error.of(variable))
}

/// The URL that the environment asks for, over a file's.
fn redis_url(
    file: Option<String>,
    get: impl Fn(&str) -> Result<Option<String>, ConfigError>,
) -> Result<Option<String>, ConfigError> {
    // a file that it was read from ends in a newline
    let password =
        get("REDIS_PASSWORD")?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    if let Some(url) = get("REDIS_URL")?.map(|url| url.trim().to_owned()) {
        // the one that stands in it is meant for it
        return Ok(Some(match &password {
            Some(password) if !url::has_password(&url) => url::with_password(&url, password),
            _ => url,
        }));
    }
    let host = get("REDIS_HOST")?.map(|text| host(text.trim()));
    let (host, port) = (host.transpose()?, port(get("REDIS_PORT")?)?);
    let url = match (file, host, port) {
        (file, None, None) => file,
        (None, host, port) => {
            let host = host.as_deref().unwrap_or("127.0.0.1");
            Some(format!("redis://{host}:{}", port.unwrap_or(6379)))
        }
        (Some(file), host, port) => {
            let name = if host.is_some() {
                "REDIS_HOST"
            } else {
                "REDIS_PORT"
            };
            let moved = url::moved(&file, host.as_deref(), port);
            let why = "the file's `redis` is no URL of one server: set REDIS_URL";
            Some(moved.ok_or_else(|| ConfigError::new(name, why))?)
        }
    };
    Ok(match (url, password) {
        (Some(url), Some(password)) => Some(url::with_password(&url, &password)),
        (url, _) => url,
    })
}

/// As it stands in a URL.
fn host(text: &str) -> Result<String, ConfigError> {
    let not_in_one =
        |c: char| matches!(c, '/' | '@' | '?' | '#' | ',') || c <= ' ' || c.is_control();
    if text.contains(not_in_one) {
        let why = format!("{text:?} is no host name");
        return Err(ConfigError::new("REDIS_HOST", why));
    }
    let brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let bare = brackets.unwrap_or(text);
    if !bare.contains(':') {
        return Ok(text.to_owned());
    }
    let address = bare.split('%').next().unwrap_or_default(); // without its zone
    match address.parse::<Ipv6Addr>() {
        Ok(_) => Ok(format!("[{bare}]")),
        Err(_) => {
            let why = format!("{text:?} is no host name: a port goes into REDIS_PORT");
            Err(ConfigError::new("REDIS_HOST", why))
        }
    }
}

/// None where it is a link that Kubernetes has made of a service: it puts one of each into
/// every process.
fn port(text: Option<String>) -> Result<Option<u16>, ConfigError> {
    let Some(text) = text.filter(|text| !text.trim().starts_with("tcp://")) else {
        return Ok(None);
    };
    let port = text.trim().parse().ok().filter(|port| *port != 0);
    let why = || ConfigError::new("REDIS_PORT", format!("{text:?} is no port"));
    port.map(Some).ok_or_else(why)
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
        assert_eq!(
            redis(&[("REDIS_HOST", "[::1]")]).unwrap(),
            "redis://[::1]:6379"
        );
        let lines = [("REDIS_URL", " redis://a\n"), ("REDIS_PASSWORD", " p\r\n")];
        assert_eq!(redis(&lines).unwrap(), "redis://:%20p@a");
        assert_eq!(redis(&[("REDIS_URL", "")]), None);
    }

    #[test]
    fn what_is_beside_a_url_changes_its_parts_alone() {
        let redis = |file: &str, variables: &[(&str, &str)]| {
            let mut config = Config::default();
            config.redis = Some(file.to_owned());
            let config = config.with_vars(variables.iter().copied());
            config.map(|config| config.redis.unwrap())
        };
        let file = "rediss://app:old@prod.example:6380/2";
        let service = ("REDIS_PORT", "tcp://10.96.0.1:6379");
        for (file, variables, url) in [
            (file, &[service][..], file),
            (
                file,
                &[("REDIS_PORT", "7")],
                "rediss://app:old@prod.example:7/2",
            ),
            (
                file,
                &[("REDIS_HOST", "b"), service],
                "rediss://app:old@b:6380/2",
            ),
            (
                file,
                &[("REDIS_PASSWORD", "n:w")],
                "rediss://app:n%3Aw@prod.example:6380/2",
            ),
            ("redis://a", &[("REDIS_PASSWORD", "p")], "redis://:p@a"),
            (
                "redis+cluster://a,b",
                &[("REDIS_PASSWORD", "p")],
                "redis+cluster://:p@a,b",
            ),
            (
                "unix:///run/redis.sock",
                &[("REDIS_PASSWORD", "p")],
                "unix:///run/redis.sock?pass=p",
            ),
            (
                "unix:///run/redis.sock?pass=old&db=1",
                &[("REDIS_PASSWORD", "n&w")],
                "unix:///run/redis.sock?db=1&pass=n%26w",
            ),
        ] {
            assert_eq!(redis(file, variables).unwrap(), url, "{variables:?}");
        }
        let several = redis("redis+cluster://a,b", &[("REDIS_HOST", "c")]).unwrap_err();
        assert_eq!(several.setting(), "REDIS_HOST", "{several}");
        let alone = |variables: &[(&str, &str)]| config(variables).unwrap().redis;
        assert_eq!(alone(&[service]), None);
        let url = alone(&[("REDIS_PORT", "7")]).unwrap();
        assert_eq!(url, "redis://127.0.0.1:7");
        assert_eq!(alone(&[("REDIS_PASSWORD", "p")]), None);
        let (url, password) = (("REDIS_URL", "redis://a"), ("REDIS_PASSWORD", "p"));
        assert_eq!(alone(&[url, password]).unwrap(), "redis://:p@a");
        let own = ("REDIS_URL", "redis://:own@a");
        assert_eq!(alone(&[own, password]).unwrap(), "redis://:own@a");
        let host = ("REDIS_HOST", "a");
        assert_eq!(alone(&[host, service]).unwrap(), "redis://a:6379");
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
            ("REDIS_PORT", "0"),
            ("REDIS_HOST", "a,b"),
            ("REDIS_HOST", "a\nb"),
            ("CACHE_TTL_", "5m"),
            ("REDIS_HOST", "a/b"),
            ("REDIS_HOST", "a:6380"),
            ("REDIS_HOST", "[::1]:6380"),
            ("CACHE_MAX_MEMORY", "0"),
            ("CACHE_MAX_MEMORY", "1"),
            ("CACHE_EVICTION_POLICY", "lru"),
            ("CACHE_MAX_MEMORY", "99999999999TiB"),
            ("CACHE_MAX_MEMORY", "18446744073709551616"),
            ("CACHE_TTL_X", "1ns"),
            ("CACHE_TTL_X", "200 years"),
            ("CACHE_TTL_X", "99999999999999"),
            ("CACHE_ENABLED", "maybe"),
            ("CACHE_MAX_MEMORY", "much"),
            ("CACHE_TTL_X", "soon"),
            ("CACHE_TTL_X", "0"),
        ] {
            let error = config(&[(name, value)]).unwrap_err();
            assert_eq!(error.setting(), name, "{error}");
        }
        if cfg!(feature = "redis") {
            for url in ["localhost:6379", "redis://h:0", "http://h"] {
                let error = config(&[("REDIS_URL", url)]).unwrap_err();
                assert_eq!(error.setting(), "REDIS_URL", "{error}");
            }
        }
    }

    /// Which of them came last would be chance.
    #[test]
    fn two_variables_of_one_name_are_refused_where_they_differ() {
        let both = |other| config(&[("CACHE_TTL_A_B", "5m"), ("CACHE_TTL_a-b", other)]);
        let error = both("6m").unwrap_err().to_string();
        assert!(error.contains("CACHE_TTL_A_B"), "{error}");
        let same = both("300").unwrap();
        assert_eq!(same.ttl("a.b"), Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = config(&[("REDIS_URL", "redis://:secret@a")]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
