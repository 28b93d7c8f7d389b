//! Replies that are rare (FAULTS 6), said by the proxy in the server's place.

use super::*;

const SAID: [&str; 16] = [
    "READONLY You can't write against a read only replica.",
    "MOVED 3999 127.0.0.1:1",
    "ASK 3999 127.0.0.1:1",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "CLUSTERDOWN Hash slot not served",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the command",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "ERR max number of clients reached",
];

/// What is answered so.
#[derive(Debug, Clone, Copy)]
enum Where {
    Reads,
    Scripts,
    Everything,
}

impl Where {
    fn is(self, words: &[Vec<u8>]) -> bool {
        let name = words.first().map(|word| word.to_ascii_uppercase());
        let name = name.unwrap_or_default();
        match self {
            Self::Reads => name == b"GET",
            Self::Scripts => name.starts_with(b"EVAL"),
            Self::Everything => true,
        }
    }
}

#[tokio::test]
async fn no_reply_fails_a_request_and_all_are_survived() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let (a, memory) = (bare(&site, proxy.url()), process(&site, proxy.url()));
    for said in SAID {
        for place in [Where::Reads, Where::Scripts, Where::Everything] {
            comes_back(&a).await;
            comes_back(&memory).await;
            let reply = format!("-{said}\r\n").into_bytes();
            proxy.set(|rules| {
                rules.answer = Some(Box::new(move |words| {
                    place.is(words).then(|| reply.clone())
                }));
            });
            for process in [&a, &memory] {
                site.write();
                let told = process.cache.invalidate(larder::tag("item:1")).await;
                for _ in 0..8 {
                    let reply = process.get().await;
                    assert_eq!(reply.status, 200, "{said} {place:?}");
                    let version = site.version.load(Ordering::SeqCst);
                    let now = format!("v{version}");
                    assert_eq!(reply.text(), now, "{said} {place:?} {told:?}");
                }
            }
            proxy.set(|rules| rules.answer = None);
        }
    }
    comes_back(&a).await;
    served(&memory, &site).await;
}

#[tokio::test]
async fn replies_that_tell_of_an_outage_open_the_breaker_and_no_others_do() {
    for (said, opens) in [
        ("LOADING Redis is loading the dataset in memory", true),
        ("CLUSTERDOWN The cluster is down", true),
        ("MASTERDOWN Link with MASTER is down", true),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            false,
        ),
        ("MISCONF Redis is configured to save RDB snapshots", false),
        ("NOPERM this user has no permissions", false),
        ("BUSY Redis is busy running a script", false),
    ] {
        let (_redis, proxy) = behind_proxy();
        let site = Site::new();
        let a = bare(&site, proxy.url());
        comes_back(&a).await;
        let reply = format!("-{said}\r\n").into_bytes();
        proxy.set(|rules| rules.answer = Some(Box::new(move |_| Some(reply.clone()))));
        if opens {
            eventually("it opens", || async {
                served(&a, &site).await;
                open_for(&a.cache).await.is_some()
            })
            .await;
        } else {
            for _ in 0..30 {
                served(&a, &site).await;
            }
            assert_eq!(open_for(&a.cache).await, None, "{said}");
        }
    }
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_told_anew() {
    let redis = Redis::start();
    let site = Site::new();
    let a = patient(&site, redis.url());
    for _ in 0..5 {
        comes_back(&a).await;
        redis.command::<()>(&["SCRIPT", "FLUSH"]);
        site.write();
        a.cache.invalidate(larder::tag("item:1")).await.unwrap();
        served(&a, &site).await;
    }
    assert_eq!(a.cache.stats().store_errors, 0);
}

/// A reply that is none: the connection is of no use any more.
#[tokio::test]
async fn garbage_is_the_end_of_a_connection_and_of_nothing_else() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = bare(&site, proxy.url());
    for garbage in [
        "@\r\n",
        "$x\r\n",
        "*99999999999\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
    ] {
        comes_back(&a).await;
        let bytes = garbage.as_bytes().to_vec();
        proxy.set(|rules| rules.answer = Some(Box::new(move |_| Some(bytes.clone()))));
        for _ in 0..20 {
            served(&a, &site).await;
        }
        proxy.set(|rules| rules.answer = None);
    }
    comes_back(&a).await;
}

/// A reply that is lost: each answer is another question's from then on, and there always is
/// one, so that no breaker opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_out_of_step_is_given_up() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = bare(&site, proxy.url());
    comes_back(&a).await;
    let clients: Vec<_> = (0..6)
        .map(|n| {
            let app = a.app.clone();
            tokio::spawn(async move {
                loop {
                    let reply = get(&app, &format!("/items/{}", 2 + n)).await;
                    assert_eq!(reply.status, 200);
                }
            })
        })
        .collect();
    let mut push = Some(b">2\r\n+a\r\n+b\r\n".to_vec()); // in place of a reply
    proxy.set(|rules| {
        rules.answer = Some(Box::new(move |words| match Where::Reads.is(words) {
            true => push.take(),
            false => None,
        }));
    });
    eventually("it is out of step", || async {
        let store = a.cache.health().await.store;
        store.is_some_and(|store| store.error.is_some())
    })
    .await;
    comes_back(&a).await;
    assert!(clients.iter().all(|client| !client.is_finished()));
    clients.iter().for_each(|client| client.abort());
}
