//! Rules 1 to 5: what the servers say of themselves. What one does not say is
//! nothing to warn of. Each rule speaks once, however many primaries there are.

use super::advice::Advice;
use crate::inspect::Server;

pub(crate) fn of_servers(servers: &[Server], expected: Option<&str>) -> Vec<Advice> {
    let any = |is: fn(&Server) -> bool| servers.iter().any(is);
    let mut all = Vec::new();
    if any(|server| server.max_memory == Some(0)) {
        all.push(Advice::warning(
            "server-unbounded",
            "Redis has no bound on its memory",
            "set maxmemory, as in `maxmemory 2gb`, and maxmemory-policy allkeys-lru",
        ));
    }
    if any(|server| server.eviction_policy.as_deref() == Some("noeviction")) {
        all.push(Advice::warning(
            "server-noeviction",
            "a full Redis refuses to store (noeviction)",
            "set maxmemory-policy allkeys-lru, so that what is not asked for goes first",
        ));
    }
    if let Some(expected) = expected
        && let Some(other) = servers
            .iter()
            .filter_map(|server| server.eviction_policy.as_deref())
            .find(|policy| *policy != expected)
    {
        all.push(Advice::warning(
            "server-eviction-policy",
            format!("Redis evicts by {other}, and {expected} is expected"),
            "change maxmemory-policy of the server, or CACHE_EVICTION_POLICY",
        ));
    }
    if any(|server| server.last_save_ok == Some(false) && server.stops_writes == Some(true)) {
        all.push(Advice::warning(
            "server-writes-stopped",
            "Redis refuses writes, for its last snapshot failed",
            "make room on its disk, or set stop-writes-on-bgsave-error no: a cache can lose what it holds",
        ));
    }
    let always = |server: &Server| {
        server.append_only == Some(true) && server.append_fsync.as_deref() == Some("always")
    };
    if servers.iter().any(always) {
        all.push(Advice::warning(
            "server-fsync-always",
            "each write to Redis waits for its disk (appendfsync always)",
            "set appendfsync everysec, or appendonly no",
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `maxmemory 2gb`, `allkeys-lru`, `save 900 1`, `300 10`, `60 10000`, and what
    /// these imply.
    fn recommended() -> Server {
        Server {
            max_memory: Some(2 << 30),
            eviction_policy: Some("allkeys-lru".into()),
            last_save_ok: Some(true),
            stops_writes: Some(true),
            saves: Some(true),
            append_only: Some(false),
            append_fsync: Some("everysec".into()),
            ..Server::default()
        }
    }

    fn rules(change: impl Fn(&mut Server), expected: Option<&str>) -> Vec<&'static str> {
        let mut server = recommended();
        change(&mut server);
        let all = of_servers(&[recommended(), server], expected);
        all.iter().map(|advice| advice.rule).collect()
    }

    #[test]
    fn the_recommended_settings_are_met_with_silence() {
        assert!(rules(|_| (), None).is_empty());
        assert!(rules(|_| (), Some("allkeys-lru")).is_empty());
        assert!(of_servers(&[Server::default()], Some("allkeys-lru")).is_empty());
    }

    #[test]
    fn each_setting_that_fails_a_cache_is_named() {
        assert_eq!(
            rules(|s| s.max_memory = Some(0), None),
            ["server-unbounded"]
        );
        let none = |s: &mut Server| s.eviction_policy = Some("noeviction".into());
        assert_eq!(rules(none, None), ["server-noeviction"]);
        assert_eq!(
            rules(|_| (), Some("allkeys-lfu")),
            ["server-eviction-policy"]
        );
        let failed = |s: &mut Server| s.last_save_ok = Some(false);
        assert_eq!(rules(failed, None), ["server-writes-stopped"]);
        let always = |s: &mut Server| {
            s.append_only = Some(true);
            s.append_fsync = Some("always".into());
        };
        assert_eq!(rules(always, None), ["server-fsync-always"]);
        let unused = |s: &mut Server| s.append_fsync = Some("always".into());
        assert!(rules(unused, None).is_empty(), "there is no such file");
    }
}
