//! 31: another writer in Redis, who knows how frames are made and can compute their
//! checksums. What no entry could be is refused, counted, removed and made anew.

use axum::routing::get as on_get;
use larder::tag;

use crate::store::{
    BLOCK, CANONICAL_LEN, FIELDS, FIXED, SCOPES, put, refused, sealed, u32_at, write,
};
use crate::support::redis_server::Redis;
use crate::{FRESH, Site, Way, ways};

const STATUS: std::ops::Range<usize> = 6..8;
const CREATED: usize = 16;
/// Fresh, stale, keep.
const LIVES: [usize; 3] = [24, 32, 40];

/// A site with one entry in Redis: its key and its frame.
async fn stored<'a>(way: &'a Way, redis: &'a Redis) -> (Site, String, Vec<u8>) {
    let site = way.site_with(
        way.policy.clone().tag("page"),
        on_get(|| async { ([FRESH], "p".repeat(4_000)) }),
    );
    site.get("/x", &[]).await;
    let key = redis.entries().remove(0);
    let frame = redis.command(&["GET", &key]);
    (site, key, frame)
}

/// The frame with one more field.
fn with_field(frame: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let (scopes, block) = (u32_at(frame, SCOPES) * 16, u32_at(frame, BLOCK));
    let end = FIXED + u32_at(frame, CANONICAL_LEN) + scopes + block;
    let mut field = Vec::new();
    field.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    field.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    field.extend_from_slice(name);
    field.extend_from_slice(value);
    let mut forged = [&frame[..end], &field, &frame[end..]].concat();
    let four = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    forged[FIELDS..FIELDS + 4].copy_from_slice(&four(u32_at(frame, FIELDS) + 1));
    forged[BLOCK..BLOCK + 4].copy_from_slice(&four(block + field.len()));
    sealed(forged)
}

// 31
#[tokio::test]
async fn another_requests_frame_under_a_key_is_refused() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let (site, key, _) = stored(&way, redis).await;
        site.get("/y", &[]).await;
        let other = redis.entries().into_iter().find(|name| *name != key);
        let frame: Vec<u8> = redis.command(&["GET", &other.unwrap()]);
        assert!(refused(&site, redis, &key, &frame).await, "{}", way.name);
    }
}

// 31
#[tokio::test]
async fn forged_fields_reach_no_client() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let (site, key, frame) = stored(&way, redis).await;
        for (name, value) in [
            (&b"x-split"[..], &b"a\r\nset-cookie: sid=1"[..]),
            (b"x-nul", b"a\0b"),
            (b"x-line", b"a\nb"),
            (b"x split", b"a"),
            (b"x:split", b"a"),
            (b"X-Upper", b"a"),
            (b"", b"a"),
            (b"set-cookie", b"sid=attacker"),
            (b"connection", b"x-secret"),
            (b"transfer-encoding", b"chunked"),
            (b"keep-alive", b"timeout=5"),
            (b"upgrade", b"h2c"),
            (b"proxy-authenticate", b"Basic"),
            (b"age", b"0"),
        ] {
            let forged = with_field(&frame, name, value);
            let of = String::from_utf8_lossy(name).into_owned();
            assert!(
                refused(&site, redis, &key, &forged).await,
                "{}: {of}",
                way.name
            );
        }
        // the helper makes frames that are read, where the field is one that may be stored
        write(redis, &key, &with_field(&frame, b"x-fine", b"a"));
        let reply = site.get("/x", &[]).await;
        assert_eq!((reply.hit(), reply.header("x-fine")), (true, "a"));
    }
}

// 31
#[tokio::test]
async fn forged_statuses_and_lives_are_refused() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let (site, key, frame) = stored(&way, redis).await;
        for status in [0_u16, 100, 101, 199, 206, 304, 600, 999, u16::MAX] {
            let mut forged = frame.clone();
            forged[STATUS].copy_from_slice(&status.to_le_bytes());
            let forged = sealed(forged);
            assert!(refused(&site, redis, &key, &forged).await, "{status}");
        }
        let two_hundred_years = 200 * 365 * 86_400_000;
        for at in LIVES {
            for life in [two_hundred_years, usize::MAX] {
                let mut forged = frame.clone();
                put(&mut forged, at, life);
                let forged = sealed(forged);
                assert!(refused(&site, redis, &key, &forged).await, "{at}: {life}");
            }
        }
        // it has expired, whatever Redis says of its time to live
        let mut old = frame.clone();
        put(&mut old, CREATED, 1);
        write(redis, &key, &sealed(old));
        assert!(!site.get("/x", &[]).await.hit());
    }
}

// 31
#[tokio::test]
async fn forged_tags_neither_break_an_invalidation_nor_outlive_it() {
    for way in ways().await {
        let Some(redis) = &way.tiers.redis else {
            continue;
        };
        let (site, key, frame) = stored(&way, redis).await;
        let many = [
            &frame[..SCOPES],
            &u32::MAX.to_le_bytes(),
            &frame[SCOPES + 4..],
        ]
        .concat();
        assert!(refused(&site, redis, &key, &sealed(many)).await);
        // another tag in the place of its own: its endpoint, its URI and its key reach it
        let at = FIXED + u32_at(&frame, CANONICAL_LEN);
        let end = at + u32_at(&frame, SCOPES) * 16;
        for first in (at..end).step_by(16) {
            let mut forged = frame.clone();
            forged[first] ^= 0xff;
            write(redis, &key, &sealed(forged));
            site.cache.invalidate(larder::everything()).await.unwrap();
            assert!(!site.get("/x", &[]).await.hit(), "{}", way.name);
        }
        site.cache.invalidate(tag("page")).await.unwrap();
        assert!(!site.get("/x", &[]).await.hit(), "{}", way.name);
    }
}
