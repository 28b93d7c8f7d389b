//! By hand, and by the routes that write.

use axum::body::Body;
use axum::http::{Method, Request};

use crate::support::{ask, get, send};
use crate::systems;

#[tokio::test]
async fn a6_one_call_for_a_character_reaches_its_value_and_its_responses() {
    for system in systems().await {
        let all = ["/characters/1", "/characters/2", "/content/1/metadata"];
        let removed = async |what: &str| {
            system.warm(&all).await;
            let uri = format!("/cache/invalidate?{what}");
            let done = ask(&system.app, "POST", &uri, None).await;
            done.json()["removed"].as_u64().unwrap()
        };
        assert_eq!(
            removed("character=1").await,
            2,
            "the value and the response"
        );
        assert_eq!(removed("character=all").await, 4);
        assert_eq!(
            removed("pattern=character:*").await,
            2,
            "the values' namespace"
        );
        assert_eq!(removed("endpoint=character").await, 2);
        assert_eq!(removed("content=1").await, 1);
        let bad = ask(&system.app, "POST", "/cache/invalidate?what=else", None).await;
        assert_eq!(bad.status, 400);
    }
}

#[tokio::test]
async fn a6_by_tag_by_endpoint_by_pattern_and_by_key() {
    for system in systems().await {
        let all = [
            "/characters/1",
            "/characters/2",
            "/characters",
            "/content/1/metadata",
        ];
        system.warm(&all).await;
        let removed = async |selector: larder::Selector| {
            let done = system.cache.invalidate(selector).await.unwrap().removed();
            system.warm(&all).await;
            done
        };
        assert_eq!(
            removed(larder::tag("character:1")).await,
            2,
            "and its value"
        );
        assert_eq!(removed(larder::endpoint("character")).await, 3);
        assert_eq!(removed("api:content_metadata:*".into()).await, 1);
        assert_eq!(removed("api:c*".into()).await, 4);
        let pattern = Request::post("/cache/invalidate?pattern=api:character:*");
        let reply = send(&system.app, pattern.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.text(), r#"{"removed":3}"#);
    }
}

#[tokio::test]
async fn a7_a_write_invalidates_declared_and_by_hand() {
    for system in systems().await {
        system
            .warm(&[
                "/characters/1",
                "/characters/2",
                "/characters",
                "/content/1/metadata",
            ])
            .await;
        let put = Request::builder()
            .method(Method::PUT)
            .uri("/characters/1")
            .header("host", "a.example");
        let put = put
            .header("content-type", "application/json")
            .body(Body::from(r#"{"name":"Ada"}"#));
        assert_eq!(send(&system.app, put.unwrap()).await.status, 204);
        let fresh = get(&system.app, "/characters/1").await;
        assert!(
            !fresh.hit() && fresh.text().contains("Ada"),
            "{}",
            fresh.text()
        );
        assert!(!get(&system.app, "/characters").await.hit(), "its list");
        assert!(
            get(&system.app, "/characters/2").await.hit(),
            "another one stays"
        );

        let approve = Request::post("/content/1/approve")
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&system.app, approve).await.status, 204);
        let fresh = get(&system.app, "/content/1/metadata").await;
        assert!(!fresh.hit() && fresh.text().contains(r#""approved":true"#));
    }
}
