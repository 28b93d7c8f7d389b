//! Events and spans. In a process of its own, for tests side by side share what
//! `tracing` knows of who listens.

mod support;

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Method, Request};
use axum::{Router, routing::get as on_get};
use bytes::Bytes;
use futures_util::FutureExt;
use larder::testing::{self, ManualClock, MemoryStore};
use larder::{
    Cache, Key, MIB, Policy, Record, Removal, Removed, Store, StoreFuture, audited_by, key,
    minutes, tag,
};
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use support::redis_server::Redis;
use support::{PATIENT, get, request, send};

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn who_listens_is_told() {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_env_filter("larder=info,handler=info")
        .with_ansi(false)
        .with_writer(lines.clone())
        .init();
    every_invalidation_and_switch_is_audited(&lines).await;
    lines.take();
    a_template_that_fails_is_told_with_its_route(&lines).await;
    lines.take();
    an_erasure_is_audited_once_it_has_ended(&lines).await;
    every_action_of_the_admin_router_is_audited(&lines).await;
    lines.take();
    a_request_that_is_no_hit_in_memory_is_a_span_with_its_fill_inside(&lines).await;
    an_invalidation_whose_caller_goes_away_is_audited(&lines).await;
    warming_whose_caller_goes_away_is_audited(&lines).await;
    a_switch_for_all_whose_caller_goes_away_is_audited(&lines).await;
    a_callback_that_panics_is_told_by_its_name_and_once(&lines).await;
    what_is_wrong_with_each_request_is_told_once(&lines).await;
}

async fn every_invalidation_and_switch_is_audited(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(1))
        .tag("user:{n}")
        .invalidates(tag("user:{n}"));
    let handler = on_get(|| async { "x" }).put(|| async {});
    let app = Router::new().route("/{n}", handler.layer(cache.layer(policy)));
    get(&app, "/ada").await;
    cache.invalidate("api:*").await.unwrap();
    let work = cache.invalidate(key("api:root:1"));
    audited_by("editor 7", work).await.unwrap();
    cache.invalidate(tag("user:ada").soft()).await.unwrap();
    send(&app, request(Method::PUT, "/ada", &[])).await;
    cache.set_enabled(false);
    cache.set_enabled_everywhere(true).await.unwrap();
    let text = lines.take();
    for line in [
        r#"who="call" action="invalidate" what=pattern api:* entries=1 result="ok""#,
        r#"who="editor 7" action="invalidate" what=key api:root:1 entries=0 result="ok""#,
        r#"who="call" action="soft-invalidate" what=group "#,
        r#"who="route" action="invalidate" what=group "#,
        r#"who="call" action="switch-off" what=this process"#,
        r#"action="switch-on""#,
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(!text.contains("ada"), "a tag may name a person:\n{text}");
}

/// A store that cannot look at all that it holds, and takes a moment to remove.
struct CannotErase(MemoryStore);

impl Store for CannotErase {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Bytes>> {
        self.0.get(key)
    }

    fn put<'a>(&'a self, record: Record<'a>) -> StoreFuture<'a, ()> {
        self.0.put(record)
    }

    fn remove<'a>(&'a self, removal: Removal<'a>) -> StoreFuture<'a, Removed> {
        Box::pin(async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            self.0.remove(removal).await
        })
    }
}

async fn an_erasure_is_audited_once_it_has_ended(lines: &Lines) {
    let store = || MemoryStore::new(ManualClock::new());
    let able = Cache::builder().store(store()).build().unwrap();
    let unable = Cache::builder().store(CannotErase(store()));
    let unable = unable.build().unwrap();
    for (cache, result) in [
        (&able, r#"entries=1 result="ok""#),
        (&unable, "this store cannot erase"),
    ] {
        let handler = on_get(|| async { "x" });
        let policy = Policy::ttl(minutes(1)).tag("user:{n}");
        let app = Router::new().route("/{n}", handler.layer(cache.layer(policy)));
        get(&app, "/ada").await;
        cache.idle().await;
        let work = audited_by("editor 7", cache.erase(tag("user:ada")));
        let done = work.await.is_ok();
        let text = lines.take();
        let audited = text.lines().filter(|line| line.contains("larder::audit"));
        let audited: Vec<&str> = audited.collect();
        assert_eq!((done, audited.len()), (result.contains("ok"), 1), "{text}");
        let start = r#"who="editor 7" action="erase" what=group "#;
        assert!(audited[0].contains(start), "{text}");
        assert!(audited[0].contains(result), "{text}");
        assert!(!text.contains("ada"), "a tag may name a person:\n{text}");
    }
}

async fn every_action_of_the_admin_router_is_audited(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|| async { "x" }).layer(cache.layer(Policy::ttl(minutes(1)).tag("ada")));
    let app = Router::new().route("/{n}", handler);
    let admin = larder::admin::router(&cache).open().warms(app.clone());
    let admin: Router = admin.build().unwrap();
    for (path, body) in [
        ("/warm", r#"{"targets":["/1","/2"],"host":"a.example"}"#),
        ("/invalidate", r#"{"tag":"ada"}"#),
        ("/invalidate", r#"{"everything":true,"soft":true}"#),
        ("/invalidate", r#"{"everything":true,"dry_run":true}"#),
        ("/enabled", r#"{"enabled":false}"#),
        ("/stats/reset", "{}"),
    ] {
        let request = Request::post(path)
            .header("host", "a.example")
            .header("content-type", "application/json");
        let answer = admin
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap());
        assert_eq!(answer.await.unwrap().status(), 200, "{path} {body}");
    }
    let text = lines.take();
    let audited = text.lines().filter(|line| line.contains("larder::audit"));
    let told: Vec<&str> = audited
        .filter_map(|line| line.split_once("audit: "))
        .map(|(_, told)| told.trim())
        .collect();
    let starts = [
        r#"who="admin" action="warm" what=targets entries=2 result="ok""#,
        r#"who="admin" action="invalidate" what=group "#,
        r#"who="admin" action="soft-invalidate" what=everything entries=0 result="ok""#,
        r#"who="admin" action="switch-off" what=this process entries=0 result="ok""#,
        r#"who="admin" action="reset-stats" what=this process entries=0 result="ok""#,
    ];
    assert_eq!(told.len(), starts.len(), "a dry run is no action:\n{text}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told}\nis not\n{start}");
    }
    assert!(told[1].ends_with(r#"entries=2 result="ok""#), "{}", told[1]);
    assert!(!text.contains("ada"), "a tag may name a person:\n{text}");
}

async fn a_request_that_is_no_hit_in_memory_is_a_span_with_its_fill_inside(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|| async { tracing::info!(target: "handler", "runs") });
    let app = Router::new().route("/a", handler.layer(cache.ttl(minutes(1))));
    get(&app, "/a").await;
    get(&app, "/a").await;
    let text = lines.take();
    let mut runs = text.lines().filter(|line| line.contains("handler: runs"));
    let line = runs.next().unwrap();
    assert!(line.contains("cache:fill{endpoint=\"a\"}:"), "{line}");
    assert!(runs.next().is_none());
}

async fn an_invalidation_whose_caller_goes_away_is_audited(lines: &Lines) {
    let store = CannotErase(MemoryStore::new(ManualClock::new()));
    for cache in [
        Cache::builder().memory(MIB).build().unwrap(),
        Cache::builder().store(store).build().unwrap(),
    ] {
        let handler = on_get(|| async { "x" });
        let policy = Policy::ttl(minutes(1)).tag("user:{n}");
        let app = Router::new().route("/{n}", handler.layer(cache.layer(policy)));
        get(&app, "/ada").await;
        cache.idle().await;
        lines.take();
        let work = audited_by("editor 7", cache.invalidate(tag("user:ada")));
        drop(work.now_or_never());
        cache.idle().await;
        let text = lines.take();
        let line = r#"who="editor 7" action="invalidate" what=group "#;
        assert_eq!(text.matches(line).count(), 1, "{text}");
        assert!(text.contains(r#"entries=1 result="ok""#), "{text}");
        let listed = cache.invalidations();
        assert_eq!((listed.len(), listed[0].removed), (1, Some(1)));
        assert_eq!(cache.stats().removed, 1);
    }
}

async fn warming_whose_caller_goes_away_is_audited(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let handler = on_get(|| async { "x" }).layer(cache.ttl(minutes(1)));
    let app = Router::new().route("/{n}", handler);
    let admin = larder::admin::router(&cache).open().warms(app);
    let admin: Router = admin.build().unwrap();
    let request = Request::post("/warm")
        .header("host", "a.example")
        .header("content-type", "application/json");
    let body = Body::from(r#"{"targets":["/1","/2"],"host":"a.example"}"#);
    let answer = admin.oneshot(request.body(body).unwrap()).now_or_never();
    assert!(answer.is_none());
    cache.idle().await;
    let text = lines.take();
    let line = r#"who="admin" action="warm" what=targets entries=2 result="ok""#;
    assert_eq!(text.matches(line).count(), 1, "{text}");
}

async fn a_callback_that_panics_is_told_by_its_name_and_once(lines: &Lines) {
    let (cache, clock) = testing::cache();
    let policy = Policy::ttl(minutes(1));
    let keyed = policy.clone().key(|_| panic!("no key"));
    let picky = policy.store_if(|_, _, _| panic!("no opinion"));
    let route = |policy| on_get(|| async { "x" }).layer(cache.layer(policy));
    let app = Router::new()
        .route("/keyed/{n}", route(keyed))
        .route("/picky/{n}", route(picky));
    let told = "a callback of the cache's configuration panicked";
    let times = |text: String| {
        let of = |name: &str| {
            let lines = text.lines().filter(|line| line.contains(told));
            lines.filter(|line| line.contains(name)).count()
        };
        (of(r#"callback="key""#), of(r#"callback="store_if""#))
    };
    for n in 0..20 {
        get(&app, &format!("/keyed/{n}")).await;
        get(&app, &format!("/picky/{n}")).await;
    }
    assert_eq!(times(lines.take()), (1, 1));
    clock.advance(minutes(1));
    get(&app, "/keyed/1").await;
    let text = lines.take();
    assert!(text.contains("times=20"), "{text}");
    assert_eq!(times(text), (1, 0));
}

/// Each of these is wrong with each request.
async fn what_is_wrong_with_each_request_is_told_once(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(1))
        .tag("character:{cid}")
        .invalidates(tag("character:{cid}"));
    let handler = on_get(|| async { "x" }).put(|| async { "x" });
    let app = Router::new()
        .route("/characters/{id}", handler)
        .layer(cache.layer(policy));
    for _ in 0..20 {
        get(&app, "/characters/7").await;
        send(&app, request(Method::PUT, "/characters/7", &[])).await;
    }
    let text = lines.take();
    for said in ["an answer is not stored", "a declared invalidation"] {
        assert_eq!(text.matches(said).count(), 1, "{said}: {text}");
    }
}

async fn a_switch_for_all_whose_caller_goes_away_is_audited(lines: &Lines) {
    let redis = Redis::start();
    let builder = Cache::builder().redis(redis.url());
    let cache = builder.operation_timeout(PATIENT).build().unwrap();
    lines.take();
    let work = audited_by("editor 7", cache.set_enabled_everywhere(false));
    assert!(work.now_or_never().is_none());
    cache.idle().await;
    let text = lines.take();
    let line = r#"who="editor 7" action="switch-off-everywhere" what=all processes"#;
    assert_eq!(text.matches(line).count(), 1, "{text}");
    assert!(!cache.is_enabled());
}

/// A layer of its own does not know its routes when it is made.
async fn a_template_that_fails_is_told_with_its_route(lines: &Lines) {
    let (cache, _clock) = testing::cache();
    let policy = Policy::ttl(minutes(1))
        .tag("character:{cid}")
        .invalidates(tag("character:{cid}"));
    let handler = on_get(|| async { "x" }).put(|| async { "x" });
    let app = Router::new()
        .route("/characters/{id}", handler)
        .layer(cache.layer(policy));
    get(&app, "/characters/7").await;
    send(&app, request(Method::PUT, "/characters/7", &[])).await;
    let told = lines.take();
    for said in ["an answer is not stored", "a declared invalidation"] {
        let line = told.lines().find(|line| line.contains(said));
        let line = line.unwrap_or_else(|| panic!("{said}: {told}"));
        for part in ["/characters/{id}", "character:{cid}"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
