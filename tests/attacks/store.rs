//! 28: what another writer may put into Redis.

use axum::routing::get as on_get;
use twox_hash::XxHash3_64;

use crate::support::redis_server::Redis;
use crate::{FRESH, Site, ways};

/// Places in a frame, see `entry/codec.rs`.
const FLAGS: usize = 5;
const SUM: std::ops::Range<usize> = 8..16;
pub(crate) const CANONICAL_LEN: usize = 64;
pub(crate) const SCOPES: usize = 68;
pub(crate) const FIELDS: usize = 72;
pub(crate) const BLOCK: usize = 76;
const BODY: usize = 80;
const RAW: usize = 88;
pub(crate) const FIXED: usize = 109;
const ZSTD: u8 = 1;
const VARY: u8 = 2;

pub(crate) fn u32_at(frame: &[u8], at: usize) -> usize {
    u32::from_le_bytes(frame[at..at + 4].try_into().unwrap()) as usize
}

fn u64_at(frame: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(frame[at..at + 8].try_into().unwrap())).unwrap()
}

pub(crate) fn put(frame: &mut [u8], at: usize, value: usize) {
    frame[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
}

/// Gives a frame a checksum that holds.
pub(crate) fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let head = u64::from_le_bytes(frame[..SUM.start].try_into().unwrap());
    let behind = XxHash3_64::oneshot(&frame[SUM.end..]);
    let sum = behind ^ head.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    frame[SUM].copy_from_slice(&sum.to_le_bytes());
    frame
}

/// The same frame with another body.
fn with_body(frame: &[u8], packed: bool, body: &[u8], claims: usize) -> Vec<u8> {
    let mut forged = frame[..frame.len() - u64_at(frame, BODY)].to_vec();
    forged.extend_from_slice(body);
    forged[FLAGS] = if packed { ZSTD } else { 0 };
    put(&mut forged, BODY, body.len());
    put(&mut forged, RAW, claims);
    sealed(forged)
}

pub(crate) fn write(redis: &Redis, key: &str, frame: &[u8]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut set = redis::cmd("SET");
    set.arg(key).arg(frame).arg("EX").arg(300);
    set.exec(&mut connection).unwrap();
}

/// Whether what was written is refused, and the page made anew.
pub(crate) async fn refused(site: &Site, redis: &Redis, key: &str, frame: &[u8]) -> bool {
    write(redis, key, frame);
    let before = site.cache.stats().corrupt;
    let reply = site.get("/x", &[]).await;
    assert_eq!(reply.body.len(), 4_000, "the client gets the page");
    let again = site.get("/x", &[]).await;
    assert_eq!(again.body, reply.body);
    // what another process' settings may allow is no fault
    let unfit = reply.cache_status().contains("detail=bounds");
    let counted = site.cache.stats().corrupt > before;
    !reply.hit() && counted != unfit && again.hit()
}

// 28
#[tokio::test]
async fn a_bomb_or_a_giant_in_redis_is_refused_and_removed() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let site = way.site(on_get(|| async { ([FRESH], "p".repeat(4_000)) }));
        site.get("/x", &[]).await;
        let key = redis.entries().remove(0);
        let frame: Vec<u8> = redis.command(&["GET", &key]);
        assert_eq!(frame[FLAGS], ZSTD, "it is compressed");
        let zeros = vec![0; 64 << 20];
        let bomb = zstd::bulk::compress(&zeros, 1).unwrap();
        assert!(bomb.len() < 100_000);
        for claims in [zeros.len(), 1 << 20, 4_000, 1, 0, usize::MAX] {
            let forged = with_body(&frame, true, &bomb, claims);
            assert!(
                refused(&site, redis, &key, &forged).await,
                "{}: {claims}",
                way.name
            );
        }
        // two bombs in a row, and a bomb whose own header says nothing of its size
        let twice = [&bomb[..], &bomb[..]].concat();
        let forged = with_body(&frame, true, &twice, 1 << 20);
        assert!(refused(&site, redis, &key, &forged).await, "{}", way.name);
        let giant = with_body(&frame, false, &zeros[..8 << 20], 8 << 20);
        assert!(refused(&site, redis, &key, &giant).await, "{}", way.name);
        let noise = with_body(&frame, true, b"no zstd at all", 4_000);
        assert!(refused(&site, redis, &key, &noise).await, "{}", way.name);
        // and what was honest is served
        write(redis, &key, &frame);
        assert!(site.get("/x", &[]).await.hit());
    }
}

// 28
#[tokio::test]
async fn numbers_that_lie_in_a_frame_are_refused() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let site = way.site(on_get(|| async { ([FRESH], "p".repeat(4_000)) }));
        site.get("/x", &[]).await;
        let key = redis.entries().remove(0);
        let frame: Vec<u8> = redis.command(&["GET", &key]);
        for at in [CANONICAL_LEN, SCOPES, FIELDS, BLOCK] {
            for value in [0_u32, 1, 10_001, u32::MAX - 1, u32::MAX] {
                if u32_at(&frame, at) == value as usize {
                    continue;
                }
                let mut forged = frame.clone();
                forged[at..at + 4].copy_from_slice(&value.to_le_bytes());
                let forged = sealed(forged);
                assert!(refused(&site, redis, &key, &forged).await, "{at}: {value}");
            }
        }
    }
}

// 28 and 29
#[tokio::test]
async fn a_marker_that_names_ten_thousand_fields_is_refused() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let site = way.site(on_get(|| async { ([FRESH], "p".repeat(4_000)) }));
        site.get("/x", &[]).await;
        let key = redis.entries().remove(0);
        let frame: Vec<u8> = redis.command(&["GET", &key]);
        let canonical = FIXED + u32_at(&frame, CANONICAL_LEN);
        let mut forged = frame[..canonical].to_vec();
        let mut block = Vec::new();
        for n in 0..10_000_u32 {
            let name = format!("x-{n}");
            block.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            block.extend_from_slice(&0_u32.to_le_bytes());
            block.extend_from_slice(name.as_bytes());
        }
        forged.extend_from_slice(&block);
        forged[FLAGS] = VARY;
        forged[SCOPES..SCOPES + 4].fill(0);
        forged[FIELDS..FIELDS + 4].copy_from_slice(&10_000_u32.to_le_bytes());
        let len = u32::try_from(block.len()).unwrap();
        forged[BLOCK..BLOCK + 4].copy_from_slice(&len.to_le_bytes());
        put(&mut forged, BODY, 0);
        put(&mut forged, RAW, 0);
        assert!(
            refused(&site, redis, &key, &sealed(forged)).await,
            "{}",
            way.name
        );
    }
}
