//! What changes something.

use axum::Router;
use axum::routing::get as on_get;
use larder::{Cache, MIB, admin, minutes};
use serde_json::json;

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, eventually, get};
use crate::{READER, TOKEN, app, memory, post, read, site};

#[tokio::test]
async fn invalidation_by_each_selector_answers_with_its_counts() {
    let (cache, app) = memory();
    for body in [
        json!({"tag": "user:7"}),
        json!({"endpoint": "users"}),
        json!({"uri": "/users/7"}),
        json!({"pattern": "api:users:*"}),
        json!({"everything": true}),
    ] {
        get(&app, "/users/7").await;
        let answer = post(&app, "/invalidate", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["removed"], 1, "{body}");
        assert_eq!(cache.stats().memory_entries, 0);
    }
    get(&app, "/users/7").await;
    let key = read(&app, "/entries").await.json()["entries"][0]["key"].clone();
    let answer = post(&app, "/invalidate", &json!({"key": key})).await;
    assert_eq!(answer.json()["removed"], 1);
    let gone = read(&app, &format!("/entry?key={}", key.as_str().unwrap())).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_tag_of_a_cache_with_tenants_needs_one_and_is_told_so() {
    let cache = Cache::builder().memory(MIB).tenant(|_| None);
    let app = app(&cache.build().unwrap());
    let answer = post(&app, "/invalidate", &json!({"tag": "a"})).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains(r#"\"tenant\""#), "{}", answer.text);
    let named = json!({"tag": "a", "tenant": "t"});
    assert_eq!(post(&app, "/invalidate", &named).await.status, 200);
}

#[tokio::test]
async fn a_reset_begins_the_counters_anew_and_nothing_else() {
    let (cache, app) = memory();
    for _ in 0..3 {
        get(&app, "/users/7").await;
    }
    post(&app, "/invalidate", &json!({"tag": "nothing"})).await;
    let fresh = post(&app, "/stats/reset", &json!({})).await.json();
    for field in ["hits_memory", "misses", "stores", "invalidations"] {
        assert_eq!(fresh[field], 0, "{field}");
    }
    assert_eq!(
        (&fresh["misses_by"], &fresh["memory_entries"]),
        (&json!({}), &json!(1))
    );
    assert_eq!(fresh["latency"]["miss"]["count"], 0);
    for _ in 0..10 {
        get(&app, "/users/7").await;
    }
    let stats = cache.stats();
    assert_eq!(
        (stats.hits_memory, stats.misses, stats.hit_rate()),
        (10, 0, 1.0)
    );
    assert_eq!(cache.endpoint_stats()[0].stats.hits_memory, 10);
    assert_eq!(cache.recent().await.day.requests(), 13, "windows go on");
}

#[tokio::test]
async fn a_dry_run_counts_and_a_soft_one_makes_stale() {
    let (cache, app) = memory();
    get(&app, "/users/7").await;
    let dry = json!({"tag": "user:7", "dry_run": true});
    let dry = post(&app, "/invalidate", &dry).await.json();
    assert_eq!(
        (&dry["removed"], cache.stats().memory_entries),
        (&json!(1), 1)
    );
    let soft = json!({"tag": "user:7", "soft": true});
    let soft = post(&app, "/invalidate", &soft).await.json();
    assert_eq!(
        (&soft["soft"], &soft["dry_run"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(cache.invalidations().len(), 1, "a dry run is none");
    assert!(cache.invalidations()[0].soft);
}

#[tokio::test]
async fn warming_goes_through_the_application_and_answers_at_its_end() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let site = site(&cache);
    let admin = admin::router(&cache).token(TOKEN).warms(site.clone());
    let app = site.nest("/admin/cache", admin.build().unwrap());
    let asked = json!({"targets": ["/users/7", "/users/8"], "host": "a.example"});
    let done = post(&app, "/warm", &asked).await.json();
    assert_eq!(
        (&done["filled"], &done["failed"]),
        (&json!(2), &json!([])),
        "{done}"
    );
    assert_eq!(get(&app, "/users/7").await.detail(), "memory");
    let many = json!({"targets": vec!["/x"; 1_001]});
    assert_eq!(post(&app, "/warm", &many).await.status, 400);
    let (_cache, without) = memory();
    assert_eq!(post(&without, "/warm", &asked).await.status, 501);
}

#[tokio::test]
async fn switching_off_and_on_reaches_all_by_default() {
    let redis = Redis::start();
    let cache = || {
        let builder = Cache::builder().redis(redis.url()).lease(SHORT * 3);
        builder.operation_timeout(PATIENT).build().unwrap()
    };
    let (here, there) = (cache(), cache());
    let app = app(&here);
    get(&site(&there), "/users/7").await;
    let answer = post(&app, "/enabled", &json!({"enabled": false})).await;
    assert_eq!(answer.json()["enabled"], false);
    eventually("the other hears of it", || async { !there.is_enabled() }).await;
    assert_eq!(read(&app, "/health").await.json()["enabled"], false);
    post(&app, "/enabled", &json!({"enabled": true})).await;
    assert!(here.is_enabled());
    post(
        &app,
        "/enabled",
        &json!({"enabled": false, "everywhere": false}),
    )
    .await;
    eventually("only here", || async {
        get(&site(&there), "/users/8").await;
        there.is_enabled()
    })
    .await;
}

/// Escaped names, those that are literally so, and namespaces.
#[tokio::test]
async fn what_a_list_names_can_be_given_back() {
    let cache = Cache::builder().memory(16 * MIB).build().unwrap();
    let values = cache.values::<String>("scene").build().unwrap();
    let handler = || on_get(|| async { "x" }).layer(cache.ttl(minutes(5)));
    let paths = ["/@ada", "/v2/docs", "/a%20b", "/plain"];
    let site = Router::new()
        .route("/@{user}", handler())
        .route("/v{n}/docs", handler())
        .route("/a%20b", handler())
        .route("/plain", handler());
    let admin = admin::router(&cache).token(TOKEN).read_only_token(READER);
    let admin = admin.build().unwrap();
    let app = site.nest("/admin/cache", admin);
    let fill = async || {
        for path in paths {
            get(&app, path).await;
        }
        values.insert("p:1", "old".to_owned()).await;
    };
    fill().await;
    let entries = read(&app, "/entries").await.json()["entries"].clone();
    let listed = entries.as_array().unwrap().iter();
    let mut listed: Vec<_> = listed.map(|entry| entry["endpoint"].clone()).collect();
    listed.extend(cache.endpoint_stats().iter().map(|one| json!(one.endpoint)));
    assert_eq!(listed.len(), 4 + 5);
    for name in listed {
        fill().await;
        let kind = if name == "scene" {
            "namespace"
        } else {
            "endpoint"
        };
        let answer = post(&app, "/invalidate", &json!({kind: name})).await;
        assert_eq!(
            answer.json()["removed"],
            1,
            "{kind} {name}: {}",
            answer.text
        );
    }
    fill().await;
    for name in ["a%20b", "@{user}", "v{n}.docs", "plain"] {
        let done = cache.invalidate(larder::endpoint(name)).await.unwrap();
        assert_eq!(done.removed(), 1, "{name}");
    }
    let stats = cache.endpoint_stats().into_iter();
    let spaces: Vec<_> = stats.filter(|one| one.namespace).collect();
    assert_eq!((spaces.len(), &*spaces[0].endpoint), (1, "scene"));
    let entry = cache.entry("scene:p:1").await.unwrap().unwrap();
    assert_eq!(entry.endpoint(), "scene");
    cache.invalidate(larder::namespace("scene")).await.unwrap();
    let done = cache.invalidations();
    assert_eq!(done[0].scope.parts(), ("pattern", "scene:*"));
}
