//! Questions by content, and coded copies: what else an entry is found by.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method};
use axum::routing::any;
use larder::{Coding, Policy};

use crate::support::{Reply, request, send};
use crate::{FRESH, Site, ways};

async fn ask(site: &Site, method: &str, fields: &[(&str, &str)], content: &[u8]) -> Reply {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let content = Body::from(content.to_vec());
    let reply = send(&site.app, request(method, "/x", fields).map(|_| content)).await;
    site.cache.idle().await;
    reply
}

#[tokio::test]
async fn two_contents_are_never_one_question() {
    let json = "application/json";
    let contents: [(&str, &[u8]); 25] = [
        (json, b"{\"a\":1}"),
        (json, b"{\"a\":1.0}"),
        (json, b"{\"a\":1e0}"),
        (json, b"{\"a\":9007199254740992}"),
        (json, b"{\"a\":9007199254740993}"),
        (json, b"{\"a\":1,\"a\":2}"),
        (json, b"{\"a\":2,\"a\":1}"),
        (json, b"{\"a\":1,\"\\u0061\":2}"),
        (json, b"{\"\\u0061\":2,\"a\":1}"),
        (json, b"{\"a\":\"1\"}"),
        (json, b"[1,2]"),
        (json, b"[2,1]"),
        (json, b"[12]"),
        (json, b""),
        (json, b"null"),
        (json, b"{\"a\":1}\0"),
        (json, b"{\"a\":1}{}"),
        (json, b"{\"a\":{\"b\":1}}"),
        ("text/plain", b"{\"a\":1}"),
        ("application/json; charset=utf-16", b"{\"a\":1}"),
        ("application/x-www-form-urlencoded", b"a=1&b=2"),
        ("application/x-www-form-urlencoded", b"b=2&a=1"),
        ("application/x-www-form-urlencoded", b"a=1%26b=2"),
        ("multipart/form-data; boundary=a", b"--a--"),
        ("multipart/form-data; boundary=A", b"--a--"),
    ];
    let mirror = any(
        |method: Method, headers: HeaderMap, content: Bytes| async move {
            let kind = headers
                .get("content-type")
                .map_or("", |v| v.to_str().unwrap());
            ([FRESH], format!("{method} {kind} {content:?}"))
        },
    );
    for way in ways().await {
        let query = Method::from_bytes(b"QUERY").unwrap();
        let policy = way.policy.clone().methods([query, Method::POST]);
        let site = way.site_with(policy, mirror.clone());
        for round in 0..2 {
            for method in ["QUERY", "POST"] {
                for (kind, content) in contents {
                    let reply = ask(&site, method, &[("content-type", kind)], content).await;
                    let own = format!("{method} {kind} {:?}", Bytes::from_static(content));
                    assert_eq!(reply.text(), own, "{}", way.name);
                    assert_eq!(reply.hit(), round == 1, "{}: {own}", way.name);
                }
            }
            // nor is any of them the answer to a GET
            let plain = site.get("/x", &[]).await;
            assert!(plain.text().starts_with("GET "), "{}", way.name);
        }
        let coded = [("content-type", json), ("content-encoding", "gzip")];
        assert!(
            !ask(&site, "QUERY", &coded, contents[0].1).await.hit(),
            "{}",
            way.name
        );
        let user = [("content-type", json), ("authorization", "alice")];
        assert!(
            !ask(&site, "POST", &user, contents[0].1).await.hit(),
            "{}",
            way.name
        );
    }
}

#[tokio::test]
async fn a_content_beyond_the_bound_or_of_no_type_is_nobodys_question() {
    let mirror = any(|content: Bytes| async move { ([FRESH], content) });
    for way in ways().await {
        let policy = way
            .policy
            .clone()
            .methods([Method::POST])
            .max_request_body(8);
        let site = way.site_with(policy, mirror.clone());
        let kind = ("content-type", "text/plain");
        let gzip = ("content-encoding", "gzip");
        for (fields, content) in [
            (&[kind][..], &b"123456789"[..]),
            (&[], b"1234"),
            (&[kind, kind], b"1234"),
            (&[kind, gzip, ("content-encoding", "br")], b"1234"),
            (&[kind, ("incremental", "?1")], b"1234"),
            (&[kind, ("x-http-method-override", "DELETE")], b"1234"),
        ] {
            for _ in 0..2 {
                let reply = ask(&site, "POST", fields, content).await;
                assert_eq!(
                    (reply.hit(), &reply.body[..]),
                    (false, content),
                    "{}",
                    way.name
                );
            }
        }
        // a body that does not tell its length
        for _ in 0..2 {
            let parts = ["1234", "5678", "9"].map(Ok::<_, std::io::Error>);
            let stream = Body::from_stream(futures_util::stream::iter(parts));
            let question = request(Method::POST, "/x", &[kind]).map(|_| stream);
            let reply = send(&site.app, question).await;
            assert_eq!(
                (reply.detail(), reply.text()),
                ("request-body", "123456789")
            );
        }
        assert_eq!(way.tiers.cache.stats().stores, 0, "{}", way.name);
    }
}

// 7 and 24
#[tokio::test]
async fn a_copy_in_a_coding_is_for_those_who_accept_it() {
    let page = "page ".repeat(2_000);
    for way in ways().await {
        let text = page.clone();
        let handler = any(move || async move { ([FRESH, ("content-type", "text/plain")], text) });
        let codings = [Coding::Brotli, Coding::Gzip];
        let policy: Policy = way.policy.clone().precompress(codings);
        let site = way.site_with(policy, handler);
        for _ in 0..2 {
            site.get("/x", &[("accept-encoding", "br, gzip")]).await;
        }
        for unable in ["identity", "zstd", "br;q=0, gzip;q=0", "*;q=0", ""] {
            let reply = site.get("/x", &[("accept-encoding", unable)]).await;
            assert_eq!(
                reply.header("content-encoding"),
                "",
                "{}: {unable}",
                way.name
            );
            assert_eq!(reply.body, page, "{}: {unable}", way.name);
        }
        assert_eq!(site.get("/x", &[]).await.body, page, "{}", way.name);
        let coded = site.get("/x", &[("accept-encoding", "gzip")]).await;
        if coded.header("content-encoding") == "gzip" {
            // a part of the one never goes with the tag of the other
            let tag = coded.header("etag").to_owned();
            let fields = [("range", "bytes=0-3"), ("if-range", tag.as_str())];
            let plain = site.get("/x", &fields).await;
            assert_eq!(
                (plain.status.as_u16(), plain.body.len()),
                (200, page.len()),
                "{}",
                way.name
            );
            assert!(
                coded
                    .header("vary")
                    .to_lowercase()
                    .contains("accept-encoding")
            );
        }
        assert!(way.tiers.redis.is_some() || coded.header("content-encoding") == "gzip");
    }
}
