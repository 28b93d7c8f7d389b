//! What comes out of Redis is not what went in, or is another version's (FAULTS 11, 12).

use super::*;
use crate::proxy::seed;

/// The one entry's name and frame.
fn entry(redis: &Redis) -> (String, Vec<u8>) {
    let name = redis.entries().remove(0);
    let frame = redis.command(&["GET", &name]);
    (name, frame)
}

fn put(redis: &Redis, name: &str, frame: &[u8]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut set = redis::cmd("SET");
    set.arg(name).arg(frame).exec(&mut connection).unwrap();
}

#[tokio::test]
async fn replies_with_wrong_bits_are_never_served() {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let a = bare(&site, proxy.url());
    comes_back(&a).await;
    proxy.seeded(seed());
    proxy.set(|rules| rules.damage = Some(150));
    for _ in 0..300 {
        served(&a, &site).await;
        a.cache.idle().await;
    }
    proxy.set(|rules| rules.damage = None);
    assert!(a.cache.stats().corrupt > 0, "some was damaged");
    proxy.cut();
    comes_back(&a).await;
}

#[tokio::test]
async fn every_truncation_and_every_wrong_byte_in_redis_is_a_miss() {
    let redis = Redis::start();
    let site = Site::new();
    let a = bare(&site, redis.url());
    comes_back(&a).await;
    let (name, frame) = entry(&redis);
    for at in (0..frame.len()).step_by(3) {
        let mut flipped = frame.clone();
        flipped[at] ^= 0x55;
        for (how, bad) in [("cut", &frame[..at]), ("flipped", &flipped[..])] {
            put(&redis, &name, bad);
            let before = site.runs();
            served(&a, &site).await;
            assert_eq!(site.runs(), before + 1, "{how} at {at}");
            a.cache.idle().await; // it has been written anew
        }
    }
}

/// Where the checksum stands, and where version 1 lacks numbers.
const SUM: std::ops::Range<usize> = 8..16;
const LATER: std::ops::Range<usize> = 96..109;

/// What an earlier version has written is served: a deploy begins warm.
#[tokio::test]
async fn an_earlier_versions_entry_is_served() {
    let redis = Redis::start();
    let site = Site::new();
    let a = bare(&site, redis.url());
    comes_back(&a).await;
    let (name, mut frame) = entry(&redis);
    frame.drain(LATER);
    frame[4] = 1; // magic, then the version
    let covered = [&frame[..SUM.start], &frame[SUM.end..]].concat();
    let sum = twox_hash::XxHash3_64::oneshot(&covered);
    frame[SUM].copy_from_slice(&sum.to_le_bytes());
    put(&redis, &name, &frame);
    let runs = site.runs();
    let reply = bare(&site, redis.url()).get().await;
    assert!(reply.hit(), "{}", reply.cache_status());
    assert_eq!((reply.text(), site.runs()), ("v0", runs));
}

/// What a later version has written is left alone until this one has its own answer:
/// an older one of two that share a Redis does not clear the other's entries away.
#[tokio::test]
async fn another_versions_entry_is_a_miss_and_is_not_removed() {
    let redis = Redis::start();
    let site = Site::new();
    let a = bare(&site, redis.url());
    comes_back(&a).await;
    let (name, mut later) = entry(&redis);
    later[4] = 77; // magic, then the version
    put(&redis, &name, &later);
    redis.command::<()>(&["CONFIG", "RESETSTAT"]);
    served(&a, &site).await;
    a.cache.idle().await;
    assert_eq!(
        (redis.calls("unlink"), redis.calls("del")),
        (0, 1),
        "the lock alone"
    );
    assert!(a.get().await.hit(), "its own is there now");
}

#[tokio::test]
async fn a_length_of_terabytes_asks_for_no_memory() {
    let redis = Redis::start();
    let site = Site::new();
    let a = bare(&site, redis.url());
    comes_back(&a).await;
    let (name, frame) = entry(&redis);
    for at in 4..frame.len().min(200) - 4 {
        let mut huge = frame.clone();
        huge[at..at + 4].fill(0xFF);
        put(&redis, &name, &huge);
        served(&a, &site).await;
        a.cache.idle().await;
    }
}
