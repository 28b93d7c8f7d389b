//! 29: more variants than anybody needs.

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use axum::routing::{MethodRouter, get as on_get};
use larder::{Cache, MIB, Policy};

use crate::{FRESH, Site, Way, policy, ways};

/// What answers vary on is told by the request, so that it can change.
fn varied() -> MethodRouter {
    on_get(|headers: HeaderMap| async move {
        let of = |name: &str| {
            headers
                .get(name)
                .map_or("", |v| v.to_str().unwrap())
                .to_owned()
        };
        let mut answer = Response::builder().header(FRESH.0, FRESH.1);
        let vary = of("x-vary");
        if !vary.is_empty() {
            answer = answer.header("vary", vary);
        }
        answer
            .body(Body::from(format!("{} {}", of("x-a"), of("x-b"))))
            .unwrap()
    })
}

/// Entries of the store, and of memory with its marker.
fn entries(way: &Way) -> u64 {
    match &way.tiers.redis {
        Some(redis) => redis.entries().len() as u64,
        None => way.tiers.cache.stats().memory_entries,
    }
}

// 29
#[tokio::test]
async fn a_thousand_values_of_one_field_are_bounded() {
    for way in ways().await {
        let site = way.site(varied());
        for n in 0..1_000 {
            let value = n.to_string();
            let fields = [("x-vary", "x-a"), ("x-a", value.as_str())];
            let reply = crate::support::get_with(&site.app, "/x", &fields).await;
            assert_eq!(reply.text(), format!("{n} "), "{}", way.name);
        }
        site.cache.idle().await;
        assert!(entries(&way) <= 128 + 1, "{}: {}", way.name, entries(&way));
        let last = site.get("/x", &[("x-vary", "x-a"), ("x-a", "999")]).await;
        assert!(last.hit(), "{}", way.name);
        let first = site.get("/x", &[("x-vary", "x-a"), ("x-a", "0")]).await;
        assert_eq!((first.hit(), first.text()), (false, "0 "), "{}", way.name);
    }
}

// 29
#[tokio::test]
async fn changing_what_answers_vary_on_leaves_no_orphans() {
    for way in ways().await {
        let site = way.site(varied());
        let sets = ["x-a", "x-b", "x-a, x-b", "x-a, x-c", ""];
        for n in 0..1_000 {
            let value = n.to_string();
            let vary = sets[n % sets.len()];
            // an answer that does not vary is a hit for all until it ends
            way.tiers
                .clock
                .advance(larder::seconds(if n % 5 == 0 { 301 } else { 0 }));
            let fields = [("x-vary", vary), ("x-a", &value), ("x-b", &value)];
            let reply = site.get("/x", &fields).await;
            assert!(
                reply.hit() || reply.text() == format!("{n} {n}"),
                "{}",
                way.name
            );
        }
        let kept = entries(&way);
        assert!(kept <= 128 + 1, "{}: {kept}", way.name);
    }
}

// 29
#[tokio::test]
async fn the_bound_is_the_settings_and_memory_weighs_what_it_holds() {
    for policy in [policy(), Policy::http()] {
        let cache = Cache::builder().memory(MIB).max_variants(3).build();
        let cache = cache.unwrap();
        let site = Site::new(&cache, policy, varied());
        for n in 0..50 {
            let value = n.to_string();
            site.get("/x", &[("x-vary", "x-a"), ("x-a", &value)]).await;
        }
        assert_eq!(cache.stats().memory_entries, 3 + 1);
        let before = cache.stats().memory_bytes;
        for n in 0..50 {
            let value = n.to_string();
            site.get("/x", &[("x-vary", "x-a"), ("x-a", &value)]).await;
        }
        assert_eq!(cache.stats().memory_bytes, before);
        cache.invalidate(larder::everything()).await.unwrap();
        assert!(cache.stats().memory_bytes < before);
    }
}

// 29
#[tokio::test]
async fn an_answer_that_varies_on_too_much_is_not_stored() {
    let names: Vec<String> = (0..1_000).map(|n| format!("x-{n}")).collect();
    let names = names.join(", ");
    for way in ways().await {
        let vary = names.clone();
        let handler = on_get(move || async move {
            (
                [FRESH, ("vary", &vary)].map(|(n, v)| (n, v.to_owned())),
                "x",
            )
        });
        let site = way.site(handler);
        site.get("/x", &[]).await;
        let again = site.get("/x", &[]).await;
        assert_eq!(
            (again.hit(), again.detail()),
            (false, "too-many-variants"),
            "{}",
            way.name
        );
    }
}

#[tokio::test]
async fn one_language_is_not_another_persons_language() {
    // says which language it chose, and shows who asked where they say so
    let handler = on_get(|headers: HeaderMap| async move {
        let asked = headers
            .get("accept-language")
            .map_or("", |v| v.to_str().unwrap());
        let who = headers
            .get("authorization")
            .map_or("", |v| v.to_str().unwrap());
        let german = asked.contains("de");
        let mut answer = Response::builder().header("vary", "accept-language");
        let said = if who.is_empty() {
            "max-age=300"
        } else {
            "max-age=300, private"
        };
        answer = answer.header("cache-control", said);
        answer = answer.header("content-language", if german { "de" } else { "en" });
        answer.body(Body::from(format!("{german} {who}"))).unwrap()
    });
    for way in ways().await {
        let site = way.site(handler.clone());
        let ask = async |fields: &[(&str, &str)]| site.get("/x", fields).await.text().to_owned();
        assert_eq!(
            ask(&[("accept-language", "de"), ("authorization", "a")]).await,
            "true a"
        );
        assert_eq!(ask(&[("accept-language", "de-CH, de")]).await, "true ");
        assert_eq!(ask(&[("accept-language", "de")]).await, "true ");
        assert_eq!(
            ask(&[("accept-language", "de;q=0, en")]).await,
            "true ",
            "the handler's own reading"
        );
        assert_eq!(
            ask(&[("accept-language", "en")]).await,
            "false ",
            "{}",
            way.name
        );
        assert_eq!(
            ask(&[("accept-language", "de"), ("authorization", "b")]).await,
            "true b"
        );
        let host = site
            .get("/x", &[("accept-language", "de"), ("host", "b.example")])
            .await;
        assert!(!host.hit(), "{}", way.name);
    }
}
