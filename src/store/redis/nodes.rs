//! The parts of URLs that name several nodes.

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

/// `user:password@a:1,b:2` as one URL for each node.
pub(super) fn nodes(scheme: &str, rest: &str) -> Vec<String> {
    let (login, hosts) = match rest.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), rest),
    };
    let hosts = hosts.trim_end_matches('/').split(',');
    hosts
        .map(|host| format!("{scheme}://{login}{host}"))
        .collect()
}

pub(super) fn sentinel_url(rest: &str) -> Result<SentinelUrl, &'static str> {
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
    if database < 0 {
        return Err(form);
    }
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
}
