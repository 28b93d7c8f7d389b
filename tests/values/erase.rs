//! Erasing what bears a user's tag.

use axum::Router;
use axum::routing::get as on_get;
use futures_util::FutureExt;
use larder::testing::{Chaos, ChaosStore, ManualClock, MemoryStore, Operation};
use larder::values::{Content, KeyParts, ValueKey};
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

/// Routes that answer about a user, one of them in several languages.
fn route(cache: &Cache) -> Router {
    let policy = || Policy::ttl(minutes(5)).endpoint("users").tag("user:{id}");
    let handler = on_get(|uri: axum::http::Uri| async move { format!("all about {uri}") });
    let varies = || async { ([("vary", "accept-language")], "hello") };
    Router::new()
        .route("/users/{id}", handler.layer(cache.layer(policy())))
        .route(
            "/users/{id}/greeting",
            on_get(varies).layer(cache.layer(policy())),
        )
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
        get(&app, &format!("/users/{user}/greeting")).await;
        for key in of(user) {
            values.insert(key, source.make(user)).await;
        }
    }
    cache.idle().await;
    // groups that were lost lead to nothing: the frames tell
    let groups: Vec<String> = redis.command(&["KEYS", "api:!group:*"]);
    for group in &groups {
        redis.command::<()>(&["DEL", group]);
    }
    redis.command::<()>(&["LPUSH", "character:a list of somebody's own", "x"]);
    assert!(holds(&everything_but_lists(&redis), "ada-lovelace"));
    let theirs = settings(&other).tag("all").build().unwrap();
    assert!(theirs.get(&of("ada-lovelace")[0]).await.is_some());

    let erased = cache.erase(tag("user:ada-lovelace")).await.unwrap();
    assert_eq!(
        erased.store, 6,
        "two responses, two values, and what leads to one of each"
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

/// What a process holds in memory, markers included.
fn held(cache: &Cache) -> (u64, u64) {
    let stats = cache.stats();
    (stats.memory_entries, stats.memory_bytes)
}

#[tokio::test]
async fn what_is_erased_leaves_the_memory_of_every_process_unasked() {
    let redis = Redis::start();
    let all = [cache(&redis), cache(&redis)];
    let other = &all[1];
    let key = |user: &str| ValueKey::new("preferences").seed(format!("user:{user}"));
    let fill = async |user: &str| {
        for cache in &all {
            let (app, values) = (route(cache), settings(cache).build().unwrap());
            get(&app, &format!("/users/{user}")).await;
            get(&app, &format!("/users/{user}/greeting")).await;
            cache.idle().await;
            let load = move || async { Ok::<_, crate::NotThere>(Source::default().make("x")) };
            values
                .get_or_try_insert_with(key(user), load)
                .await
                .unwrap();
            cache.idle().await;
        }
    };
    let left = async |why: &str| {
        // two responses and a value of another one; what leads to them may be read again
        let gone = || async { (3..=4).contains(&other.stats().memory_entries) };
        crate::support::eventually(why, gone).await;
    };
    for idle in [false, true] {
        fill("someone-else").await;
        let (before, bytes) = held(&all[0]);
        assert_eq!(before, 4, "two responses, a marker, a value");
        fill("ada-lovelace").await;
        assert_eq!(held(other).0, 8);
        if idle {
            // nobody asks it: it beats no more, and hears all the same
            let no_row = || async {
                let fields: Vec<String> = redis.command(&["HKEYS", "api:!{clock}"]);
                !fields.iter().any(|field| field.starts_with('@'))
            };
            crate::support::eventually("both are idle", no_row).await;
        }
        let erased = all[0].erase(tag("user:ada-lovelace")).await.unwrap();
        assert_eq!((erased.memory, erased.store), (3, 4), "and a marker");
        assert_eq!(held(&all[0]), (before, bytes));
        left("it has left the other's memory").await;
    }
    // one that could not hear catches up as soon as it can
    fill("ada-lovelace").await;
    for kind in ["pubsub", "normal"] {
        redis.command::<()>(&["CLIENT", "KILL", "TYPE", kind]);
    }
    all[0].erase(tag("user:ada-lovelace")).await.unwrap();
    left("what was not heard has left the other's memory").await;
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
    // a store of one's own erases too, also behind what goes wrong
    let store = ChaosStore::new(MemoryStore::new(ManualClock::new()));
    let builder = Cache::builder().store(store.clone());
    let own = builder.build().unwrap();
    let values = own.values::<Character>("character").build().unwrap();
    values.insert(key(), Source::default().make("x")).await;
    store.next(1, Operation::Remove, Chaos::Loses); // its fence: the scan finds it all the same
    assert_eq!(own.erase(tag("user:7")).await.unwrap().store, 1);
    assert!(!values.contains(key()).await);
    let redis = Redis::start();
    let shared = cache(&redis);
    drop(redis);
    assert!(shared.erase(tag("user:7")).await.is_err());
}

#[tokio::test]
async fn a_dry_run_of_an_erasure_counts_and_leaves_everything() {
    for tier in crate::support::tiers().await {
        let (values, cache) = (settings(&tier.cache).build().unwrap(), &tier.cache);
        let key = || ValueKey::new("x").seed("user:7");
        values.insert(key(), Source::default().make("x")).await;
        let would = cache.erase(tag("user:7").dry_run()).await.unwrap();
        assert_eq!(would.removed(), 1, "{}", tier.name);
        assert!(values.contains(key()).await, "{}", tier.name);
        assert!(cache.erase(endpoint("users").dry_run()).await.is_err());
    }
}

#[tokio::test]
async fn an_erasure_whose_caller_goes_away_at_once_scans_all_the_same() {
    let redis = Redis::start();
    let cache = cache(&redis);
    let values = settings(&cache).build().unwrap();
    let key = || ValueKey::new("x").seed("user:7");
    values.insert(key(), Source::default().make("x")).await;
    for group in redis.command::<Vec<String>>(&["KEYS", "api:!group:*"]) {
        redis.command::<()>(&["DEL", &group]);
    }
    assert_eq!(redis.entries().len(), 1);
    assert!(cache.erase(tag("user:7")).now_or_never().is_none());
    cache.idle().await;
    assert!(redis.entries().is_empty(), "the scan alone finds it");
}

#[tokio::test]
async fn a_key_of_two_seeds_is_erased_by_either() {
    for tier in crate::support::tiers().await {
        let (values, cache) = (settings(&tier.cache).build().unwrap(), &tier.cache);
        let parts = KeyParts::new('|').part("kind", "letter");
        let parts = parts
            .seed(Some("user:7"))
            .seed(Some("device:1"))
            .build()
            .unwrap();
        let plain = ValueKey::new("letter").seed("user:7").seed("device:1");
        assert_eq!(plain, parts);
        let content = Content::of("letter");
        for key in [plain.clone(), plain.content(content)] {
            for seed in ["user:7", "device:1"] {
                values.insert(&key, Source::default().make("x")).await;
                assert!(values.contains(&key).await);
                cache.erase(tag(seed)).await.unwrap();
                assert!(!values.contains(&key).await, "{seed} {}", tier.name);
            }
        }
        let one = ValueKey::new("a").seed("user:7").content(content);
        let two = ValueKey::new("a")
            .seed("user:7")
            .seed("device:1")
            .content(content);
        values.insert(&one, Source::default().make("x")).await;
        assert!(
            !values.contains(&two).await,
            "whose they are, of one content too"
        );
    }
}
