//! Requests that a layer has rewritten, or handed on to another server: the same for
//! their clients, and not for the handler.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Uri};
use axum::routing::get as on_get;
use larder::testing;
use tower::{Layer, ServiceExt, service_fn};

use crate::policy;
use crate::support::{get, get_with};

#[tokio::test]
async fn a_rewritten_request_is_another_one() {
    let (cache, _clock) = testing::cache();
    let page =
        |text: &'static str| on_get(move || async move { text }).layer(cache.layer(policy()));
    let inner = Router::new()
        .route("/de/x", page("DE"))
        .route("/en/x", page("EN"));
    let app = Router::new().fallback(move |mut request: Request| {
        let lang = request.headers()["accept-language"]
            .to_str()
            .unwrap()
            .to_owned();
        *request.uri_mut() = format!("/{lang}/x").parse().unwrap();
        inner.clone().oneshot(request)
    });
    for lang in ["de", "en", "de"] {
        let reply = get_with(&app, "/x", &[("accept-language", lang)]).await;
        assert_eq!(reply.text(), lang.to_uppercase());
    }
}

#[tokio::test]
async fn a_request_that_lost_its_prefix_on_the_way_is_another_one() {
    let (cache, _clock) = testing::cache();
    let page =
        |text: &'static str| on_get(move || async move { text }).layer(cache.layer(policy()));
    let inner = Router::new()
        .route("/m/x", page("mobile"))
        .route("/x", page("desktop"));
    let app = Router::new().fallback(move |mut request: Request| {
        if request.headers().contains_key("x-desktop") {
            *request.uri_mut() = "/x".parse().unwrap();
        }
        inner.clone().oneshot(request)
    });
    for _ in 0..2 {
        let desktop = get_with(&app, "/m/x", &[("x-desktop", "1")]).await;
        assert_eq!(desktop.text(), "desktop");
        assert_eq!(get(&app, "/m/x").await.text(), "mobile");
    }
}

#[tokio::test]
async fn a_request_that_is_handed_on_to_another_server_is_another_one() {
    let (cache, _clock) = testing::cache();
    let client = service_fn(|request: Request| async move {
        Ok::<_, Infallible>(Response::new(Body::from(request.uri().to_string())))
    });
    let client = cache.layer(policy().endpoint("out")).layer(client);
    let hand_on = move |mut request: Request| {
        let to = request.headers_mut().remove("x-to").unwrap();
        request.headers_mut().remove("host"); // the client sets the upstream's
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        let to: Uri = to.to_str().unwrap().parse().unwrap();
        (uri.scheme, uri.authority) = (to.scheme().cloned(), to.authority().cloned());
        *request.uri_mut() = Uri::from_parts(uri).unwrap(); // path and query are the same bytes
        client.clone().oneshot(request)
    };
    let app = Router::new().route("/x", on_get(hand_on));
    for incoming in ["/x", "http://a.example/x"] {
        for to in [
            "http://a.internal",
            "http://b.internal",
            "https://a.internal",
        ] {
            let ask = async |to: &str| get_with(&app, incoming, &[("x-to", to)]).await;
            let first = ask(to).await;
            assert_eq!((first.text(), first.hit()), (&*format!("{to}/x"), false));
            assert!(ask(&to.to_uppercase()).await.hit(), "{to}");
        }
    }
}
