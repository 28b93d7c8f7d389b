//! The URL forms: `redis[s]://`, `unix://`, `redis[s]+cluster://a,b`,
//! `redis+sentinel://a,b/service[/database]`.

use std::time::Duration;

use redis::RedisResult;

use super::connect::Connect;
use super::single::Single;
use super::{cluster, sentinel, tls};
use crate::error::ConfigError;

/// The parts of a `redis+sentinel://` URL. User and password are Redis', not
/// the sentinels'.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SentinelUrl {
    /// `redis://host:port` each.
    pub(super) sentinels: Vec<String>,
    pub(super) service: String,
    pub(super) database: i64,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Reads a URL. An error never repeats it, for it may hold a password.
pub(super) fn open(url: &str, timeout: Duration) -> Result<Box<dyn Connect>, ConfigError> {
    let bad = |why: &str| ConfigError::new("redis", why);
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("not a URL such as redis://127.0.0.1:6379"));
    };
    if scheme.starts_with("rediss") {
        tls::prepare().map_err(bad)?;
    }
    match scheme.split_once('+') {
        Some((_, "cluster")) => cluster::prepare().map_err(bad)?,
        Some((_, "sentinel")) => sentinel::prepare().map_err(bad)?,
        _ => {}
    }
    let opened = match scheme {
        "redis" | "rediss" | "unix" | "redis+unix" => single(url, timeout),
        "redis+cluster" => cluster::open(nodes("redis", rest), timeout),
        "rediss+cluster" => cluster::open(nodes("rediss", rest), timeout),
        "redis+sentinel" => sentinel::open(sentinel_url(rest).map_err(bad)?, timeout),
        _ => {
            return Err(bad(
                "the scheme is none of redis, rediss, unix, redis+cluster, rediss+cluster, redis+sentinel",
            ));
        }
    };
    opened.map_err(|error| {
        // its text names parts of the URL at most, never the password
        ConfigError::new("redis", format!("not of the form {}", form(scheme))).because(error)
    })
}

fn form(scheme: &str) -> &'static str {
    match scheme {
        "unix" | "redis+unix" => "unix:///path[?db=1]",
        "redis+cluster" | "rediss+cluster" => "redis+cluster://[user:password@]host:port,host:port",
        "redis+sentinel" => "redis+sentinel://[user:password@]host:port/service[/database]",
        _ => {
            "redis://[user:password@]host[:port][/database], with what is no letter or digit of a password percent-encoded"
        }
    }
}

fn single(url: &str, timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    Ok(Box::new(Single::new(url, timeout)?))
}

/// `user:password@a:1,b:2` as one URL for each node.
fn nodes(scheme: &str, rest: &str) -> Vec<String> {
    let (login, hosts) = match rest.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), rest),
    };
    let hosts = hosts.trim_end_matches('/').split(',');
    hosts
        .map(|host| format!("{scheme}://{login}{host}"))
        .collect()
}

fn sentinel_url(rest: &str) -> Result<SentinelUrl, &'static str> {
    let (login, rest) = match rest.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    let form =
        "redis+sentinel:// has the form redis+sentinel://host:port,host:port/service[/database]";
    let mut parts = rest.split('/');
    let (hosts, service) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if hosts.is_empty() || service.is_empty() {
        return Err(form);
    }
    let database = parts.next().map_or(Ok(0), str::parse).map_err(|_| form)?;
    let decode = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        (!text.is_empty()).then(|| text.into_owned())
    };
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decode(user), decode(password)),
        None => (None, None),
    };
    Ok(SentinelUrl {
        sentinels: nodes("redis", hosts),
        service: service.to_owned(),
        database,
        user,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_url_names_its_nodes() {
        assert_eq!(
            nodes("redis", "user:pass@a:1,b:2"),
            ["redis://user:pass@a:1", "redis://user:pass@b:2"]
        );
        assert_eq!(nodes("rediss", "a:1/"), ["rediss://a:1"]);
    }

    #[test]
    fn a_sentinel_url_names_sentinels_service_and_login() {
        let url = sentinel_url(":p%40ss@a:1,b:2/main/3").unwrap();
        assert_eq!(url.sentinels, ["redis://a:1", "redis://b:2"]);
        assert_eq!((url.service.as_str(), url.database), ("main", 3));
        assert_eq!((url.user, url.password), (None, Some("p@ss".into())));
        for bad in ["", "a:1", "a:1/", "/main", "a:1/main/x"] {
            assert!(sentinel_url(bad).is_err(), "{bad}");
        }
    }

    #[cfg(not(any(feature = "cluster", feature = "sentinel")))]
    #[test]
    fn a_missing_feature_is_named() {
        for (url, feature) in [
            ("redis+cluster://a:1,b:2", "`cluster`"),
            ("redis+sentinel://a:1/main", "`sentinel`"),
        ] {
            let error = open(url, Duration::from_secs(1)).err().unwrap();
            assert!(error.to_string().contains(feature), "{error}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_it() {
        for bad in [
            "secret",
            "http://u:secret@x",
            "redis://u:secret@",
            "redis://:secret@h:port",
        ] {
            let error = open(bad, Duration::from_secs(1)).err().unwrap();
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let text = format!("{error} {source:?}");
            assert_eq!(error.setting(), "redis");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
