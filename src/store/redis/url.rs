//! The URL forms: `redis[s]://`, `unix://`, `redis[s]+cluster://a,b`,
//! `redis+sentinel://a,b/service[/database]`.

use std::time::Duration;

use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult};

use super::connect::Connect;
use super::nodes::{nodes, sentinel_url};
use super::single::Single;
use super::{cluster, sentinel, tls};
use crate::error::ConfigError;

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
        "redis+cluster" => cluster(nodes("redis", rest), timeout),
        "rediss+cluster" => cluster(nodes("rediss", rest), timeout),
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
    check(url)?;
    Ok(Box::new(Single::new(url, timeout)?))
}

/// Of a cluster, by its nodes' URLs.
fn cluster(nodes: Vec<String>, timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    for node in &nodes {
        if check(node)? != 0 {
            return Err(unusable("a cluster has database 0 alone"));
        }
    }
    cluster::open(nodes, timeout)
}

/// The database of a URL at which a server can be.
fn check(url: &str) -> RedisResult<i64> {
    let info = url.into_connection_info()?;
    let port = match info.addr() {
        ConnectionAddr::Tcp(_, port) => Some(*port),
        ConnectionAddr::TcpTls { port, .. } => Some(*port),
        _ => None,
    };
    if matches!(info.addr(), ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if host.contains(','))
    {
        return Err(unusable(
            "several hosts are of redis+cluster:// or redis+sentinel://",
        ));
    }
    match (port, info.redis_settings().db()) {
        (Some(0), _) => Err(unusable("no server has port 0")),
        (_, database) if database < 0 => Err(unusable("databases are numbers from 0")),
        (_, database) => Ok(database),
    }
}

fn unusable(why: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn no_server_is_at_port_0_or_has_a_database_below_0() {
        let mut bad = vec!["redis://h:0", "redis://h/-1", "redis://:p@h:0/1"];
        bad.extend(["redis://a,b", "redis://:p@a,b:6379/1"]); // each is a name of no host
        if cfg!(feature = "cluster") {
            bad.extend(["redis+cluster://a:1,b:0", "redis+cluster://a:1,b:1/3"]);
        }
        if cfg!(feature = "sentinel") {
            bad.push("redis+sentinel://a:1/main/-1");
        }
        for bad in bad {
            let error = open(bad, Duration::from_secs(1)).err();
            let error = error.unwrap_or_else(|| panic!("{bad} was taken"));
            assert_eq!(error.setting(), "redis");
        }
        for good in ["redis://h", "redis://h/15", "unix:///tmp/redis.sock?db=1"] {
            assert!(open(good, Duration::from_secs(1)).is_ok(), "{good}");
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
