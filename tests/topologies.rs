//! Redis Cluster, Sentinel, TLS, and Valkey where it is installed: real ones.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get as on_get;
use larder::values::{Content, ValueKey};
use larder::{Cache, Policy, endpoint, minutes, tag, uri};
use support::redis_server::{Redis, free_port};
use support::{Calls, eventually, get};
use tokio::sync::Semaphore;

fn app(cache: &Cache) -> Router {
    let calls = Calls::default();
    let handler = on_get(move || async move { format!("answer {}", calls.count()) });
    let policy = Policy::ttl(minutes(5)).tag("all").tag("one:{id}");
    Router::new().route("/items/{id}", handler.layer(cache.layer(policy)))
}

/// Fills, hits and every kind of invalidation, through one cache.
async fn works(cache: &Cache, primaries: u64) {
    let app = app(cache);
    let fill = async || {
        for n in 0..50 {
            get(&app, &format!("/items/{n}")).await;
        }
        cache.idle().await;
        for n in 0..50 {
            let reply = get(&app, &format!("/items/{n}")).await;
            assert!(reply.hit(), "{n}: {}", reply.cache_status());
        }
    };
    fill().await;
    for (selector, removed) in [
        (tag("one:7"), 1),
        (uri("/items/7"), 1),
        (tag("all"), 50),
        (endpoint("items"), 50),
        ("api:it*".into(), 50),
    ] {
        let done = cache.invalidate(&selector).await.unwrap();
        assert_eq!(done.removed(), removed, "{selector:?}");
        assert!(!get(&app, "/items/7").await.hit(), "{selector:?}");
        fill().await;
    }
    let erased = cache.erase(tag("all")).await.unwrap();
    assert_eq!((erased.store, erased.primaries), (50, primaries), "erased");
    fill().await;
}

/// What bears a tag leaves the groups of every primary, also where its own group was lost.
async fn erases(cache: &Cache, nodes: &[Redis]) {
    let app = app(cache);
    for n in 0..50 {
        get(&app, &format!("/items/{n}")).await;
    }
    cache.idle().await;
    let groups = |node: &Redis| node.command::<Vec<String>>(&["KEYS", "api:!group:*"]);
    for node in nodes {
        for group in groups(node) {
            if node.command::<u64>(&["ZCARD", &group]) == 50 {
                node.command::<()>(&["DEL", &group]);
            }
        }
    }
    let erased = cache.erase(tag("all")).await.unwrap();
    assert_eq!(erased.store, 50);
    for node in nodes {
        assert_eq!(groups(node), [""; 0]);
    }
}

/// What is inserted is not overwritten by a load of another process that began before.
async fn overtakes(url: &str) {
    let (here, there) = (cache(url), cache(url));
    let values = |cache: &Cache| cache.values::<String>("given").build().unwrap();
    let (given, loaded) = (values(&here), values(&there));
    for n in 0..6 {
        let key = ValueKey::new(format!("{n}"));
        let key = match n % 2 {
            0 => key,
            _ => key.content(Content::of(format!("{n}"))), // its lock lies elsewhere
        };
        let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let loading = {
            let (loaded, key, begun, gate) =
                (loaded.clone(), key.clone(), begun.clone(), gate.clone());
            tokio::spawn(async move {
                let load = move || async move {
                    begun.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, std::convert::Infallible>("loaded".to_owned())
                };
                loaded
                    .get_or_try_insert_with(key, load)
                    .await
                    .unwrap()
                    .to_string()
            })
        };
        begun.acquire().await.unwrap().forget();
        given.insert(key.clone(), "given".to_owned()).await;
        gate.add_permits(1);
        assert_eq!(loading.await.unwrap(), "loaded");
        there.idle().await;
        let found = values(&cache(url)).get(key).await.unwrap();
        assert_eq!(*found, "given", "{n}");
    }
}

/// Of two processes one fills, and the other one waits to be told.
async fn wakes(url: &str, nodes: &[&Redis]) {
    let (gate, calls) = (Arc::new(Semaphore::new(0)), Calls::default());
    let ask = |path: &'static str| {
        let (gate, calls) = (Arc::clone(&gate), calls.clone());
        let handler = on_get(move || async move {
            calls.count();
            gate.acquire().await.unwrap().forget();
            "answer"
        });
        let layer = cache(url).layer(Policy::ttl(minutes(5)));
        let app = Router::new().route("/wakes/{id}", handler.layer(layer));
        tokio::spawn(async move { get(&app, path).await })
    };
    let subscribers = || nodes.iter().map(|node| node.waiters()).sum::<u64>();
    for (turn, path) in ["/wakes/1", "/wakes/2", "/wakes/3"].into_iter().enumerate() {
        let first = ask(path);
        eventually("one fills", || async { calls.now() == turn + 1 }).await;
        let second = ask(path);
        eventually("the other listens", || async { subscribers() > 0 }).await;
        gate.add_permits(1);
        for reply in [first.await.unwrap(), second.await.unwrap()] {
            assert_eq!(reply.text(), "answer");
        }
        assert_eq!(calls.now(), turn + 1);
        eventually("nobody listens", || async { subscribers() == 0 }).await;
    }
}

/// Of two processes one gets an answer that nobody may store, and the other one such as
/// may be: from then on both share them.
async fn shares_again(url: &str, nodes: &[&Redis]) {
    let (private, calls) = (Arc::new(AtomicBool::new(true)), Calls::default());
    let process = || {
        let (private, calls) = (Arc::clone(&private), calls.clone());
        let handler = on_get(move || async move {
            let run = calls.count();
            let private = private.load(Ordering::SeqCst);
            let said = if private { "no-store" } else { "max-age=60" };
            ([("cache-control", said)], format!("answer {run}"))
        });
        let cache = cache(url);
        let layer = cache.layer(Policy::ttl(minutes(5)));
        let app = Router::new().route("/again/{id}", handler.layer(layer));
        (cache, app)
    };
    let ((a, app_a), (b, app_b)) = (process(), process());
    let marks = || {
        let names = nodes.iter().flat_map(|node| node.keys());
        names.filter(|name| name.contains(":!lock:")).count()
    };
    for path in ["/again/1", "/again/2", "/again/3"] {
        private.store(true, Ordering::SeqCst);
        get(&app_a, path).await;
        a.idle().await;
        assert_eq!(marks(), 1, "nobody waits");
        private.store(false, Ordering::SeqCst);
        get(&app_b, path).await;
        b.idle().await;
        assert_eq!(marks(), 0, "one could be stored");
        assert!(get(&app_a, path).await.hit());
        for app in [&app_b, &app_a] {
            a.invalidate(uri(path)).await.unwrap();
            let before = calls.now();
            let asked: Vec<_> = (0..10)
                .map(|_| {
                    let app = app.clone();
                    tokio::spawn(async move { get(&app, path).await.status })
                })
                .collect();
            for status in asked {
                assert_eq!(status.await.unwrap(), 200);
            }
            assert_eq!(calls.now(), before + 1, "one fill");
            a.idle().await;
            b.idle().await;
        }
    }
}

fn cache(url: impl Into<String>) -> Cache {
    let builder = Cache::builder()
        .redis(url)
        .operation_timeout(Duration::from_secs(2));
    builder.build().unwrap()
}

/// A directory of one test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("larder-{name}-{}-{}", std::process::id(), free_port());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {text} {errors}"
    );
    text
}

#[tokio::test]
async fn a_cluster_of_three_primaries() {
    let scratch = Scratch::new("cluster");
    let node = |n: usize| {
        let file = scratch.path(&format!("nodes-{n}.conf"));
        Redis::start_with(&["--cluster-enabled", "yes", "--cluster-config-file", &file])
    };
    let nodes: Vec<Redis> = (0..3).map(node).collect();
    // every third of the slots to one of them, and all of them introduced to each other
    for (node, slots) in nodes
        .iter()
        .zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
    {
        node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
        for other in &nodes {
            node.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]);
        }
    }
    for node in &nodes {
        eventually("the cluster is whole", || async {
            let info: String = node.command(&["CLUSTER", "INFO"]);
            let whole = info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3");
            let slots: redis::Value = node.command(&["CLUSTER", "SLOTS"]);
            whole && matches!(slots, redis::Value::Array(ranges) if ranges.len() == 3)
        })
        .await;
    }
    let hosts: Vec<String> = nodes[..2]
        .iter()
        .map(|n| format!("127.0.0.1:{}", n.port()))
        .collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    works(&cache(&url), 3).await;
    erases(&cache(&url), &nodes).await;
    overtakes(&url).await;
    for node in &nodes {
        assert!(!node.entries().is_empty(), "entries lie on every primary");
    }
    wakes(&url, &nodes.iter().collect::<Vec<_>>()).await;
    shares_again(&url, &nodes.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_server_alone() {
    let redis = Redis::start();
    shares_again(&redis.url(), &[&redis]).await;
}

/// Which has met no other, and does not know its own host.
#[tokio::test]
async fn a_cluster_of_one() {
    let scratch = Scratch::new("alone");
    let file = scratch.path("nodes.conf");
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-config-file", &file]);
    node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is whole", || async {
        let info: String = node.command(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok")
    })
    .await;
    let cache = cache(format!("redis+cluster://localhost:{}", node.port()));
    works(&cache, 1).await;
    let health = cache.health().await.store.unwrap();
    assert!(
        health.round_trip.is_some() && health.listening,
        "{health:?}"
    );
}

#[tokio::test]
async fn behind_sentinel() {
    let scratch = Scratch::new("sentinel");
    let primary = Redis::start();
    let config = scratch.path("sentinel.conf");
    let monitor = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 2000\n",
        primary.port()
    );
    std::fs::write(&config, monitor).unwrap();
    let sentinel = Redis::start_sentinel(&config);
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    works(&cache(&url), 1).await;
    overtakes(&url).await;
    wakes(&url, &[&primary]).await;
    let unknown = cache(format!(
        "redis+sentinel://127.0.0.1:{}/other",
        sentinel.port()
    ));
    assert_eq!(
        get(&app(&unknown), "/items/1").await.detail(),
        "store-error"
    );
}

/// Certificates are trusted through the environment, so the client runs in a
/// process of its own: this test, called again.
#[tokio::test]
async fn by_tls() {
    if let Ok(url) = std::env::var("LARDER_TEST_TLS_URL") {
        return works(&cache(url), 1).await;
    }
    let scratch = Scratch::new("tls");
    certificates(&scratch.0);
    let port = free_port().to_string();
    let (cert, key) = (scratch.path("server.crt"), scratch.path("server.key"));
    let redis = Redis::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let untrusted = cache(format!("rediss://localhost:{port}"));
    assert_eq!(
        get(&app(&untrusted), "/items/1").await.detail(),
        "store-error"
    );
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["by_tls", "--exact", "--nocapture"])
        .env("LARDER_TEST_TLS_URL", format!("rediss://localhost:{port}"))
        .env("SSL_CERT_FILE", scratch.path("ca.crt"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert!(!redis.entries().is_empty());
}

/// An authority, and a certificate of its for this host.
fn certificates(at: &Path) {
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\n";
    std::fs::write(at.join("names"), names).unwrap();
    let openssl = |line: &str| {
        let in_place = |word: &str| match word.strip_prefix('@') {
            Some(file) => at.join(file).to_string_lossy().into_owned(),
            None => word.to_owned(),
        };
        let words: Vec<String> = line.split_whitespace().map(in_place).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run("openssl", &words);
    };
    let new_key = "-newkey rsa:2048 -nodes -keyout";
    openssl(&format!(
        "req -x509 {new_key} @ca.key -out @ca.crt -days 2 -subj /CN=ca"
    ));
    openssl(&format!(
        "req {new_key} @server.key -out @server.csr -subj /CN=localhost"
    ));
    openssl(
        "x509 -req -in @server.csr -CA @ca.crt -CAkey @ca.key -CAcreateserial \
         -out @server.crt -days 2 -extfile @names",
    );
}
