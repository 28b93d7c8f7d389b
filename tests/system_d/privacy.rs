//! Nothing of a person in Redis, and nothing left of one who goes.

use serde_json::json;

use crate::support::ask;
use crate::support::log::Log;
use crate::support::redis_server::Redis;
use crate::systems;

/// All that Redis holds, names and contents.
fn everything(redis: &Redis) -> Vec<Vec<u8>> {
    let names: Vec<String> = redis.command(&["KEYS", "*"]);
    let mut all: Vec<Vec<u8>> = Vec::new();
    for name in names {
        let kind: String = redis.command(&["TYPE", &name]);
        let words: &[&str] = match &*kind {
            "string" => &["GET", &name],
            "hash" => &["HGETALL", &name],
            "set" => &["SMEMBERS", &name],
            "zset" => &["ZRANGE", &name, "0", "-1"],
            other => panic!("{name} is a {other}"),
        };
        match &*kind {
            "string" => all.push(redis.command(words)),
            _ => all.extend(redis.command::<Vec<Vec<u8>>>(words)),
        }
        all.push(name.into_bytes());
    }
    all
}

fn assert_nowhere(redis: &Redis, secrets: &[&str]) {
    for bytes in everything(redis) {
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[tokio::test]
async fn d4_nothing_of_a_person_is_readable_in_redis() {
    for system in systems() {
        for n in 0..5 {
            system
                .tell(&format!("user-ada-{n}"), 30.0 + f64::from(n))
                .await;
        }
        ask(&system.app, "GET", "/narrative/analytics", None).await;
        let Some(redis) = &system.redis else { continue };
        assert!(redis.entries().len() >= 10, "{:?}", redis.entries());
        assert_nowhere(
            redis,
            &[
                "Ada", "Lovelace", "1815", "London", "user-ada", "32.0", "fire", "Dear",
            ],
        );
    }
}

#[tokio::test]
async fn d10_a_user_is_erased_to_the_last_byte() {
    let log = Log::everybodys();
    for system in systems() {
        for fire in [10.0, 20.0, 30.0] {
            system.tell("ada", fire).await;
        }
        system.tell("grace", 10.0).await;
        let before = system.redis.as_ref().map(|redis| redis.entries().len());
        let answer = ask(&system.app, "DELETE", "/narrative/user/ada", None).await;
        assert_eq!(answer.json(), json!({"deleted": 3}), "{}", system.name);
        let told = log.lines(&["larder::audit", r#"action="erase""#, "entries=3"]);
        assert!(!told.is_empty(), "{log:?}");
        assert!(told.iter().all(|line| !line.contains("ada")), "{told:?}");
        assert!(
            system.tell("grace", 10.0).await["cached"] == true,
            "grace's stay"
        );
        let again = ask(&system.app, "DELETE", "/narrative/user/ada", None).await;
        assert_eq!(again.json(), json!({"deleted": 0}));
        let Some(redis) = &system.redis else { continue };
        assert_eq!(Some(redis.entries().len() + 3), before);
        let members: Vec<String> = redis
            .keys()
            .into_iter()
            .filter(|key| key.contains("!group"))
            .collect();
        for group in members {
            let names: Vec<String> = redis.command(&["ZRANGE", &group, "0", "-1"]);
            assert!(
                names
                    .iter()
                    .all(|name| redis.command::<bool>(&["EXISTS", name])),
                "{group}: {names:?}"
            );
        }
        assert_nowhere(redis, &["ada", "Ada", "Lovelace"]);
    }
}
