//! Erasing what bears a user's tag.

use axum::Router;
use axum::routing::get as on_get;
use larder::values::{Content, ValueKey};
use larder::{Cache, MIB, Policy, endpoint, minutes, tag};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, SHORT, get};
use crate::{Character, Source, settings};

/// Everything that a Redis holds, names included.
pub(crate) fn everything(redis: &Redis) -> Vec<u8> {
    let names: Vec<String> = redis.command(&["KEYS", "*"]);
    let mut all = names.join("\n").into_bytes();
    for name in &names {
        let kind: String = redis.command(&["TYPE", name]);
        all.extend(match kind.as_str() {
            "string" => redis.command::<Vec<u8>>(&["GET", name]),
            "zset" => {
                let members: Vec<Vec<u8>> = redis.command(&["ZRANGE", name, "0", "-1"]);
                members.concat()
            }
            "hash" => {
                let fields: Vec<Vec<u8>> = redis.command(&["HGETALL", name]);
                fields.concat()
            }
            other => panic!("{name} is a {other}"),
        });
    }
    all
}

pub(crate) fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|part| part == text.as_bytes())
}

fn cache(redis: &Redis) -> Cache {
    let builder = Cache::builder().memory(16 * MIB).redis(redis.url());
    builder
        .lease(SHORT)
        .operation_timeout(PATIENT)
        .build()
        .unwrap()
}

/// A route that answers about a user.
fn route(cache: &Cache) -> Router {
    let policy = Policy::ttl(minutes(5)).endpoint("users").tag("user:{id}");
    let handler = on_get(|uri: axum::http::Uri| async move { format!("all about {uri}") });
    Router::new().route("/users/{id}", handler.layer(cache.layer(policy)))
}

#[tokio::test]
async fn no_byte_of_an_erased_user_is_left() {
    let redis = Redis::start();
    let (cache, other) = (cache(&redis), cache(&redis));
    let (app, source) = (route(&cache), Source::default());
    let values = settings(&cache).tag("all").build().unwrap();
    let of = |user: &str| {
        let preferences = ValueKey::new("preferences").seed(format!("user:{user}"));
        let story = ValueKey::new(format!("story of {user}")).seed(format!("user:{user}"));
        [preferences, story.content(Content::of(user))]
    };
    for user in ["ada-lovelace", "someone-else"] {
        get(&app, &format!("/users/{user}")).await;
        for key in of(user) {
            values.insert(key, source.make(user)).await;
        }
    }
    cache.idle().await;
    // a group that was lost leads to nothing: the frames tell
    let groups: Vec<String> = redis.command(&["KEYS", "api:!group:*"]);
    redis.command::<()>(&["DEL", &groups[0]]);
    redis.command::<()>(&["LPUSH", "character:a list of somebody's own", "x"]);
    assert!(holds(&everything_but_lists(&redis), "ada-lovelace"));
    let theirs = settings(&other).tag("all").build().unwrap();
    assert!(theirs.get(&of("ada-lovelace")[0]).await.is_some());

    let erased = cache.erase(tag("user:ada-lovelace")).await.unwrap();
    assert_eq!(
        erased.store, 4,
        "a response, two values, and what leads to one"
    );
    assert!(erased.memory >= 3 && erased.primaries == 1, "{erased:?}");
    assert!(!holds(&everything_but_lists(&redis), "ada-lovelace"));
    for key in of("ada-lovelace") {
        assert!(values.get(&key).await.is_none() && theirs.get(&key).await.is_none());
    }
    for key in of("someone-else") {
        assert!(values.get(&key).await.is_some(), "{key:?}");
    }
    assert!(get(&app, "/users/someone-else").await.hit());
    assert!(!get(&app, "/users/ada-lovelace").await.hit());
    assert_eq!(cache.erase(tag("user:nobody")).await.unwrap().removed(), 0);
}

fn everything_but_lists(redis: &Redis) -> Vec<u8> {
    redis.command::<()>(&["DEL", "character:a list of somebody's own"]);
    let all = everything(redis);
    redis.command::<()>(&["LPUSH", "character:a list of somebody's own", "x"]);
    all
}

#[tokio::test]
async fn a_load_that_began_before_an_erasure_is_not_stored() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let values = settings(&cache).build().unwrap();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let key = ValueKey::new("x").seed("user:7");
    let loading = {
        let (values, key, gate) = (values.clone(), key.clone(), std::sync::Arc::clone(&gate));
        tokio::spawn(async move {
            let load = move || async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, crate::NotThere>(Source::default().make("old"))
            };
            values.get_or_try_insert_with(key, load).await.unwrap()
        })
    };
    let flights = || async { cache.stats().flights == 1 };
    crate::support::eventually("a flight", flights).await;
    cache.erase(tag("user:7")).await.unwrap();
    gate.add_permits(1);
    let _its_callers_alone = loading.await.unwrap();
    cache.idle().await;
    assert!(!values.contains(&key).await);
    assert!(redis.entries().is_empty());
}

#[tokio::test]
async fn what_bears_no_tag_or_cannot_be_scanned_is_no_erasure() {
    let (memory, _) = larder::testing::cache();
    let values = memory.values::<Character>("character").build().unwrap();
    let key = || ValueKey::new("x").seed("user:7");
    values.insert(key(), Source::default().make("x")).await;
    assert_eq!(memory.erase(tag("user:7")).await.unwrap().removed(), 1);
    assert!(!values.contains(key()).await);
    assert!(memory.erase(endpoint("character")).await.is_err());
    let redis = Redis::start();
    let shared = cache(&redis);
    drop(redis);
    assert!(shared.erase(tag("user:7")).await.is_err());
}
