//! 21: what answers and requests say, said in every way but the plain one.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use axum::routing::{MethodRouter, any};
use larder::{MIB, Policy};

use crate::{counted, ways};

/// A handler that counts its runs and says these fields, each a line.
fn says(lines: Vec<(&'static str, Vec<u8>)>) -> MethodRouter {
    let calls = crate::support::Calls::default();
    any(move || async move {
        let mut answer = Response::builder();
        for (name, value) in lines {
            answer = answer.header(name, HeaderValue::from_bytes(&value).unwrap());
        }
        answer
            .body(Body::from(format!("v{}", calls.count())))
            .unwrap()
    })
}

// 21
#[tokio::test]
async fn cache_control_forbids_however_it_is_written() {
    let lines: [&[&str]; 27] = [
        &["PRIVATE, MAX-AGE=300"],
        &["No-Store"],
        &["max-age=300", "private"],
        &["private", "max-age=300, public"],
        &["public, max-age=300", "no-store"],
        &["max-age=300,private"],
        &["max-age=300 , no-store "],
        &["max-age=300,,\t, private"],
        &["private=\"\", max-age=300"],
        &["private=, max-age=300"],
        &["no-store=1, max-age=300"],
        &["max-age=300; private"],
        &["private; max-age=300"],
        &["no-store; no-cache; must-revalidate; private"],
        &["public, max-age=300, no-store no-cache must-revalidate proxy-revalidate"],
        &["\"no-store\", max-age=300"],
        &["max-age=300, ext=\"open, no-store"],
        &["max-age=300, ext=\"a\\\", private"],
        &["max-age=-1"],
        &["max-age=x"],
        &["max-age=1e3"],
        &["max-age=+300"],
        &["max-age=0x100"],
        &["max-age=300, max-age=0"],
        &["max-age=300, s-maxage=0"],
        &["max-age=\"0\""],
        &["max-age="],
    ];
    for way in ways().await {
        for (at, lines) in lines.iter().enumerate() {
            let said = lines
                .iter()
                .map(|line| ("cache-control", line.as_bytes().to_vec()));
            let site = way.site(says(said.collect()));
            let uri = format!("/{at}");
            site.get(&uri, &[]).await;
            let again = site.get(&uri, &[]).await;
            assert_eq!(again.text(), "v2", "{}: {lines:?}", way.name);
        }
        let latin = b"max-age=300, priv\xe4te".to_vec();
        let site = way.site(says(vec![("cache-control", latin)]));
        site.get("/latin", &[]).await;
        assert_eq!(site.get("/latin", &[]).await.text(), "v2", "{}", way.name);
    }
}

// 21
#[tokio::test]
async fn an_overflowing_lifetime_overflows_nothing() {
    for way in ways().await {
        for huge in [
            "2147483648",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            for name in [
                "max-age",
                "s-maxage",
                "stale-while-revalidate",
                "stale-if-error",
            ] {
                let said = format!("max-age=300, {name}={huge}");
                let said = vec![("cache-control", said.into_bytes()), ("age", huge.into())];
                let site = way.site(says(said));
                let uri = format!("/{huge}/{name}");
                site.get(&uri, &[]).await;
                site.get(&uri, &[]).await;
            }
        }
        way.tiers.clock.advance(larder::days(365 * 200));
        let site = way.site(counted());
        site.get("/1", &[]).await;
        assert!(site.get("/1", &[]).await.hit(), "{}", way.name);
    }
}

#[tokio::test]
async fn a_targeted_field_forbids_however_it_is_written() {
    let lines: [&[&str]; 9] = [
        &["private"],
        &["max-age=300, private"],
        &["max-age=300", "private"],
        &["private=\"x\", private"],
        &["no-store;x=1"],
        &["max-age=300, no-store=?1"],
        &["max-age=0"],
        &["max-age=300, max-age=0"],
        &["no-cache"],
    ];
    // what is no dictionary is ignored (RFC 9213, 2.1); a route's policy is more careful
    let broken: [&[&str]; 5] = [
        &["Private"],
        &["private,"],
        &["max-age=300; no-store,"],
        &["=private"],
        &["no-store\u{7f}"],
    ];
    for way in ways().await {
        for (at, lines) in lines.iter().chain(&broken).enumerate() {
            if at >= 9 && way.http() {
                continue;
            }
            let said = lines.iter().filter(|line| !line.contains('\u{7f}'));
            let said = said.map(|line| ("cdn-cache-control", line.as_bytes().to_vec()));
            let mut said: Vec<_> = said.collect();
            if said.is_empty() {
                said.push(("cdn-cache-control", b"no-store\xff".to_vec()));
            }
            said.push(("cache-control", b"public, max-age=300".to_vec()));
            let site = way.site(says(said));
            let uri = format!("/{at}");
            site.get(&uri, &[]).await;
            let again = site.get(&uri, &[]).await;
            assert_eq!(again.text(), "v2", "{}: {lines:?}", way.name);
        }
    }
}

#[tokio::test]
async fn no_client_punches_through_a_routes_policy() {
    for way in ways().await {
        let site = way.site(counted());
        site.get("/x", &[]).await;
        for fields in [
            ("cache-control", "no-cache"),
            ("cache-control", "no-store"),
            ("cache-control", "max-age=0"),
            ("cache-control", "min-fresh=99999"),
            ("cache-control", "only-if-cached"),
            ("pragma", "no-cache"),
        ] {
            let reply = site.get("/x", &[fields]).await;
            assert!(reply.hit() || way.http(), "{}: {fields:?}", way.name);
        }
        if !way.http() {
            // nor is anything stale, or nothing at all, served on a client's word
            way.tiers.clock.advance(larder::minutes(6));
            for said in ["max-stale", "only-if-cached", "stale-if-error=9999"] {
                let reply = site
                    .get(&format!("/{said}"), &[("cache-control", said)])
                    .await;
                assert_eq!(
                    (reply.status.as_u16(), reply.text().starts_with('v')),
                    (200, true)
                );
            }
            let stale = site.get("/x", &[("cache-control", "max-stale")]).await;
            assert!(!stale.hit(), "{}", way.name);
        }
    }
}

#[tokio::test]
async fn huge_fields_are_stored_whole_or_not_at_all() {
    let lines: Vec<(String, String)> = (0..300)
        .map(|n| {
            (
                format!("x-{n}"),
                "v".repeat(if n == 7 { 100_000 } else { 40 }),
            )
        })
        .collect();
    for way in ways().await {
        let lines = lines.clone();
        let site = way.site(any(move || async move {
            let mut answer = Response::builder().header(crate::FRESH.0, crate::FRESH.1);
            for (name, value) in &lines {
                answer = answer.header(name, value);
            }
            answer.body(Body::from("page")).unwrap()
        }));
        for _ in 0..3 {
            let reply = site.get("/x", &[]).await;
            assert_eq!(reply.header("x-7").len(), 100_000, "{}", way.name);
            assert_eq!(reply.header("x-299").len(), 40, "{}", way.name);
        }
        let stats = way.tiers.cache.stats();
        assert!(stats.memory_bytes <= 16 * MIB);
        if way.tiers.redis.is_none() {
            assert!(stats.memory_bytes > 100_000, "fields weigh what they are");
        }
    }
    // a hundred thousand of request fields' bytes in a key are no trouble either
    for way in ways().await {
        let site = way.site_with(way.policy.clone().vary(["x-long"]), counted());
        let long = "k".repeat(100_000);
        site.get("/x", &[("x-long", &long)]).await;
        let other = format!("{}j", &long[1..]);
        assert!(
            !site.get("/x", &[("x-long", &other)]).await.hit(),
            "{}",
            way.name
        );
        assert!(
            site.get("/x", &[("x-long", &long)]).await.hit(),
            "{}",
            way.name
        );
    }
    let _ = Policy::none();
}
