//! The parts of a Redis URL that the environment changes.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Scheme, login, servers, and what follows them.
fn split(url: &str) -> Option<(&str, Option<&str>, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // a password may hold a slash that is not written as it should be
    let end = rest.rfind('@').map_or(end, |at| {
        let behind = &rest[at + 1..];
        at + 1 + behind.find(['/', '?', '#']).unwrap_or(behind.len())
    });
    let (servers, behind) = rest.split_at(end);
    let (login, servers) = match servers.rsplit_once('@') {
        Some((login, servers)) => (Some(login), servers),
        None => (None, servers),
    };
    Some((scheme, login, servers, behind))
}

fn is_socket(scheme: &str) -> bool {
    matches!(scheme, "unix" | "redis+unix")
}

pub(super) fn has_password(url: &str) -> bool {
    match split(url) {
        Some((scheme, _, _, behind)) if is_socket(scheme) => behind.contains("pass="),
        Some((_, login, ..)) => login.is_some_and(|login| login.contains(':')),
        None => false,
    }
}

/// The same with a password. What is no URL stays as it is: it is refused as that.
pub(super) fn with_password(url: &str, password: &str) -> String {
    let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
    let Some((scheme, login, servers, behind)) = split(url) else {
        return url.to_owned();
    };
    if is_socket(scheme) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let others = query.split('&');
        let others = others.filter(|part| !part.is_empty() && !part.starts_with("pass="));
        let mut query: Vec<&str> = others.collect();
        let pass = format!("pass={password}");
        query.push(&pass);
        return format!("{path}?{}", query.join("&"));
    }
    let user = login.map_or("", |login| login.split(':').next().unwrap_or_default());
    format!("{scheme}://{user}:{password}@{servers}{behind}")
}

/// The same on another host or port, where it names one server.
pub(super) fn moved(url: &str, host: Option<&str>, port: Option<u16>) -> Option<String> {
    let (scheme, login, server, behind) = split(url)?;
    if !matches!(scheme, "redis" | "rediss") {
        return None;
    }
    // behind the brackets of an IPv6 address
    let colon = server.rfind(':').filter(|at| server.rfind(']') < Some(*at));
    let (own_host, own_port) = server.split_at(colon.unwrap_or(server.len()));
    let host = host.unwrap_or(own_host);
    let port = port.map_or_else(|| own_port.to_owned(), |port| format!(":{port}"));
    let login = login.map_or_else(String::new, |login| format!("{login}@"));
    Some(format!("{scheme}://{login}{host}{port}{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_moved_with_all_else_that_it_says() {
        for (url, moved_to) in [
            ("redis://a", "redis://h:1"),
            ("redis://[::1]/3", "redis://h:1/3"),
            (
                "redis://[::1]:9?protocol=resp3",
                "redis://h:1?protocol=resp3",
            ),
            ("rediss://u:p@a:9/2", "rediss://u:p@h:1/2"),
        ] {
            assert_eq!(moved(url, Some("h"), Some(1)).unwrap(), moved_to, "{url}");
        }
        assert_eq!(
            moved("redis://[::1]", None, Some(1)).unwrap(),
            "redis://[::1]:1"
        );
        assert_eq!(
            moved("redis://a:9", Some("h"), None).unwrap(),
            "redis://h:9"
        );
        assert_eq!(moved("unix:///a", Some("h"), None), None);
        assert_eq!(moved("a", Some("h"), None), None);
    }

    #[test]
    fn a_password_is_put_where_there_is_none() {
        assert_eq!(
            with_password("redis://u@a/1", "p/@"),
            "redis://u:p%2F%40@a/1"
        );
        assert!(has_password("redis://:p@a") && !has_password("redis://u@a"));
        assert!(has_password("unix:///a?db=1&pass=x") && !has_password("unix:///a?db=1"));
        assert_eq!(
            with_password("unix:///a?db=1", "p"),
            "unix:///a?db=1&pass=p"
        );
    }
}
