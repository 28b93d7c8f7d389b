//! 1 to 7: what a handler sees and the key does not.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Response};
use axum::routing::{any, get as on_get};
use larder::{FORWARDED, FRAGMENTS};

use crate::support::{request, send};
use crate::{FRESH, Site, reflects, ways};

// 1
#[tokio::test]
async fn a_forwarded_host_that_a_handler_reflects_reaches_nobody_else() {
    let more = [
        "x-http-host-override",
        "x-forwarded-protocol",
        "x-forwarded-pathbase",
        "x-original-path",
        "x-script-name",
        "x-scheme",
    ];
    for way in ways().await {
        for name in FORWARDED.iter().copied().chain(more) {
            let site = way.site(reflects(name));
            let uri = format!("/{name}");
            let evil = site.get(&uri, &[(name, "evil.example")]).await;
            assert_eq!(evil.text(), "saw evil.example");
            let victim = site.get(&uri, &[]).await;
            assert_eq!(victim.text(), "saw nothing", "{}: {name}", way.name);
            let other = site.get(&uri, &[(name, "b.example")]).await;
            assert_eq!(other.text(), "saw b.example", "{}: {name}", way.name);
            assert!(site.get(&uri, &[]).await.hit(), "{}: {name}", way.name);
        }
    }
}

// 1
#[tokio::test]
async fn what_a_policy_hides_is_reflected_to_nobody_and_makes_no_entries() {
    for way in ways().await {
        let policy = way.policy.clone().hide(FORWARDED.iter().copied());
        let site = way.site_with(policy, reflects("x-forwarded-host"));
        let evil = site.get("/x", &[("x-forwarded-host", "evil")]).await;
        assert_eq!(evil.text(), "saw nothing", "{}", way.name);
        let other = site.get("/x", &[("x-forwarded-host", "other")]).await;
        assert!(other.hit(), "{}", way.name);
    }
}

// 2
#[tokio::test]
async fn an_echoed_origin_without_vary_opens_the_answer_to_nobody_else() {
    // as a handler might: in lower case, and on a second line
    let echo = on_get(|headers: HeaderMap| async move {
        let mut answer = Response::builder().header(FRESH.0, FRESH.1);
        if let Some(origin) = headers.get("origin") {
            let origin = origin.to_str().unwrap().to_lowercase();
            if headers.contains_key("twice") {
                answer = answer.header("access-control-allow-origin", "https://fixed.example");
            }
            answer = answer.header("access-control-allow-origin", origin);
        }
        answer.body(Body::from("data")).unwrap()
    });
    for way in ways().await {
        for (at, origin) in ["https://evil.example", "HTTPS://EVIL.example", "null"]
            .iter()
            .enumerate()
        {
            for twice in [&[][..], &[("twice", "1")]] {
                let site = way.site(echo.clone());
                let uri = format!("/{at}{}", twice.len());
                let fields = [&[("origin", *origin)], twice].concat();
                site.get(&uri, &fields).await;
                assert!(site.get(&uri, &fields).await.hit(), "{}", way.name);
                let victim = site.get(&uri, &[("origin", "https://good.example")]).await;
                let allowed = victim.header("access-control-allow-origin");
                assert_eq!(allowed, "https://good.example", "{}: {origin}", way.name);
                let plain = site.get(&uri, &[]).await;
                assert_eq!(plain.header("access-control-allow-origin"), "");
            }
        }
    }
}

// 3
#[tokio::test]
async fn a_method_override_on_a_get_poisons_nothing() {
    for way in ways().await {
        for name in [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
        ] {
            let site = way.site(reflects(name));
            let uri = format!("/{name}");
            for method in ["DELETE", "POST", "HEAD", "get"] {
                let evil = site.get(&uri, &[(name, method)]).await;
                assert_eq!((evil.hit(), evil.detail()), (false, "method-override"));
            }
            assert_eq!(
                site.get(&uri, &[]).await.text(),
                "saw nothing",
                "{}",
                way.name
            );
        }
    }
}

// 4
#[tokio::test]
async fn a_get_with_a_body_is_nobodys_answer() {
    let mirror = on_get(|body: Bytes| async move { ([FRESH], body) });
    for way in ways().await {
        let site = way.site(mirror.clone());
        for method in [Method::GET, Method::HEAD] {
            let fat = request(method, "/x", &[("content-length", "4")]).map(|_| Body::from("evil"));
            let evil = send(&site.app, fat).await;
            assert_eq!(evil.detail(), "request-body", "{}", way.name);
            site.cache.idle().await;
        }
        let victim = site.get("/x", &[]).await;
        assert_eq!((victim.hit(), victim.text()), (false, ""), "{}", way.name);
    }
}

// 5
#[tokio::test]
async fn an_error_that_a_junk_field_provoked_is_not_stored() {
    // of the request's own fields, whatever the answer says of its freshness
    let of_request = [
        408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431,
    ];
    let any_status = [
        400, 401, 402, 403, 404, 405, 406, 409, 500, 501, 502, 503, 504, 599,
    ];
    let picky = on_get(|headers: HeaderMap| async move {
        let junk = headers.get("junk").map(|v| v.to_str().unwrap().to_owned());
        let status = junk.as_deref().unwrap_or("200");
        let mut answer = Response::builder().status(status.parse::<u16>().unwrap());
        if junk.is_none() || headers.contains_key("fresh") {
            answer = answer.header(FRESH.0, FRESH.1);
        }
        answer.body(Body::from("page")).unwrap()
    });
    for way in ways().await {
        let site = way.site(picky.clone());
        let tries = of_request.iter().map(|status| (status, true));
        // under HTTP's own rules others are stored if they state their freshness
        let tries = tries.chain(any_status.iter().map(|status| (status, !way.http())));
        for (status, fresh) in tries {
            let uri = format!("/{status}");
            let text = status.to_string();
            let mut fields = vec![("junk", text.as_str())];
            fields.extend(fresh.then_some(("fresh", "1")));
            let evil = site.get(&uri, &fields).await;
            assert_eq!(evil.status.as_u16(), *status);
            let victim = site.get(&uri, &[]).await;
            assert_eq!(victim.status.as_u16(), 200, "{}: {status}", way.name);
        }
    }
}

// 6
#[tokio::test]
async fn a_fragment_never_takes_the_place_of_its_page() {
    let more = ["x-nextjs-data", "x-up-mode", "next-action", "x-livewire"];
    for way in ways().await {
        for name in FRAGMENTS.iter().copied().chain(more) {
            let site = way.site(reflects(name));
            let uri = format!("/{name}");
            site.get(&uri, &[(name, "1")]).await;
            let page = site.get(&uri, &[]).await;
            assert_eq!(page.text(), "saw nothing", "{}: {name}", way.name);
            let fragment = site.get(&uri, &[(name, "1")]).await;
            assert_eq!((fragment.hit(), fragment.text()), (true, "saw 1"));
        }
    }
}

// 7
#[tokio::test]
async fn a_coded_body_is_for_those_who_can_read_it() {
    let coder = any(|headers: HeaderMap| async move {
        let accepted = headers.get("accept-encoding").map(|v| v.to_str().unwrap());
        let mut answer = Response::builder().header(FRESH.0, FRESH.1);
        let brotli = accepted.is_some_and(|a| a.contains("br") && !a.contains("br;q=0"));
        if brotli {
            answer = answer.header("content-encoding", "br"); // and no Vary
        }
        let body = if brotli { "coded" } else { "plain" };
        answer.body(Body::from(body)).unwrap()
    });
    for way in ways().await {
        let site = way.site(coder.clone());
        let ask = async |site: &Site, accepted| {
            let reply = site.get("/x", &[("accept-encoding", accepted)]).await;
            reply.text().to_owned()
        };
        assert_eq!(ask(&site, "gzip, br").await, "coded");
        for unable in [
            "gzip",
            "identity",
            "br;q=0",
            "br;q=0, *",
            "",
            "gzip, identity;q=0",
        ] {
            assert_eq!(ask(&site, unable).await, "plain", "{}: {unable}", way.name);
        }
        assert_eq!(site.get("/x", &[]).await.text(), "plain", "{}", way.name);
        // the plain one did not say that it varies: it is for all, who can all read it
        assert_eq!(ask(&site, "br;q=1.0, gzip").await, "plain");
    }
}
