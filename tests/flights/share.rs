//! Sharing a fill: one run of the handler, its bytes for all as they come.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use larder::testing;

use crate::support::request;
use crate::{ask, fed, is_coalesced, is_miss, piece, policy, settle, site, soon, text};

#[tokio::test]
async fn a_thousand_requests_run_the_handler_once() {
    let mut site = site(policy());
    let asking = site.ask_many(1_000);
    let run = site.origin.run().await;
    assert!(site.origin.is_idle().await);
    assert_eq!(site.cache.stats().flights, 1);
    run.answer("body");
    let mut misses = 0;
    for asking in asking {
        let response = asking.response().await;
        match is_miss(&response) {
            true => misses += 1,
            false => {
                assert!(is_coalesced(&response));
                assert_eq!(response.headers()["content-length"], "4");
                assert!(response.headers().contains_key("age"));
                let status = response.headers()["cache-status"].to_str().unwrap();
                assert!(status.contains("; collapsed"), "{status}");
            }
        }
        assert_eq!(text(response).await, "body");
    }
    assert_eq!((misses, site.cache.stats().coalesced), (1, 999));
    assert_eq!(site.hit().await, "body");
    assert!(site.origin.is_idle().await);
    site.is_over(1_001).await;
}

#[tokio::test]
async fn other_keys_have_fills_of_their_own() {
    let mut site = site(policy());
    let one = ask(&site.app, request(Method::GET, "/one", &[]));
    let two = ask(&site.app, request(Method::GET, "/two", &[]));
    for run in site.origin.all().await {
        let path = run.request.uri.path().to_owned();
        run.answer(path);
    }
    assert_eq!(text(one.response().await).await, "/one");
    assert_eq!(text(two.response().await).await, "/two");
    site.is_over(2).await;
}

#[tokio::test]
async fn followers_get_the_first_byte_before_the_last_is_made() {
    let mut site = site(policy());
    let asking = site.ask_many(3);
    let feeder = site.origin.run().await.stream(Some(8));
    let late = site.ask(); // comes when the head is there
    feeder.send("one ");
    let mut bodies = Vec::new();
    for asking in asking.into_iter().chain([late]) {
        let response = asking.response().await;
        let mut body = response.into_body();
        assert_eq!(piece(&mut body).await, "one ");
        bodies.push(body);
    }
    feeder.send("more");
    feeder.end();
    for body in bodies {
        assert_eq!(text(axum::http::Response::new(body)).await, "more");
    }
    assert_eq!(site.hit().await, "one more");
    site.is_over(5).await;
}

#[tokio::test]
async fn one_that_follows_late_gets_all_from_the_start() {
    let mut site = site(policy());
    let leader = site.ask();
    let feeder = site.origin.run().await.stream(Some(4));
    feeder.send("ab");
    let mut leading = leader.response().await.into_body();
    assert_eq!(piece(&mut leading).await, "ab");
    let follower = site.ask().response().await;
    assert!(is_coalesced(&follower));
    feeder.send("cd");
    feeder.end();
    assert_eq!(text(follower).await, "abcd");
    assert_eq!(piece(&mut leading).await, "cd");
}

#[tokio::test]
async fn without_a_declared_length_followers_wait_for_the_whole() {
    let mut site = site(policy());
    let (leader, follower) = (site.ask(), site.ask());
    let feeder = site.origin.run().await.stream(None);
    feeder.send("one ");
    let mut leading = leader.response().await.into_body();
    assert_eq!(piece(&mut leading).await, "one ");
    settle().await;
    assert!(!follower.is_answered());
    feeder.send("more");
    feeder.end();
    let response = follower.response().await;
    assert_eq!(response.headers()["content-length"], "8");
    assert_eq!(text(response).await, "one more");
    assert_eq!(piece(&mut leading).await, "more");
    site.is_over(2).await;
}

#[tokio::test]
async fn a_leader_whose_client_does_not_read_stalls_nobody() {
    for declared in [Some(8), None] {
        let mut site = site(policy());
        let leader = site.ask();
        let feeder = site.origin.run().await.stream(declared);
        feeder.send("one ");
        let unread = leader.response().await;
        let follower = site.ask();
        feeder.send("more");
        feeder.end();
        assert_eq!(text(follower.response().await).await, "one more");
        assert_eq!(site.hit().await, "one more");
        assert_eq!(text(unread).await, "one more");
    }
}

#[tokio::test]
async fn a_leader_that_is_not_polled_stalls_nobody() {
    let mut site = site(policy());
    let mut stuck = by_hand(site.app.clone(), request(Method::GET, "/x", &[]));
    assert!(stuck.poll_once().is_none());
    let run = site.origin.run().await;
    let follower = site.ask();
    settle().await;
    run.answer("body"); // nobody polls the leader
    assert_eq!(text(follower.response().await).await, "body");
    assert_eq!(site.hit().await, "body");
    let response = stuck.poll_once().expect("it is there").unwrap();
    assert!(is_miss(&response));
    assert_eq!(text(response).await, "body");
}

#[tokio::test]
async fn a_follower_whose_client_does_not_read_stalls_nobody() {
    let mut site = site(policy());
    let (leader, follower) = (site.ask(), site.ask());
    let feeder = site.origin.run().await.stream(Some(8));
    let unread = follower.response().await;
    feeder.send("one ");
    feeder.send("more");
    feeder.end();
    assert_eq!(text(leader.response().await).await, "one more");
    assert_eq!(site.hit().await, "one more");
    assert_eq!(site.cache.stats().flights, 0);
    assert_eq!(text(unread).await, "one more");
}

#[tokio::test]
async fn a_head_never_joins_and_never_leads() {
    let mut site = site(policy());
    let head = || request(Method::HEAD, "/x", &[]);
    let first = ask(&site.app, head());
    let first_run = site.origin.run().await;
    let (get, second) = (site.ask(), ask(&site.app, head()));
    let mut runs = site.origin.all().await;
    assert_eq!(
        runs.len(),
        2,
        "a GET does not wait for a HEAD, nor a HEAD for a GET"
    );
    first_run.answer(Body::empty());
    for run in runs.drain(..) {
        run.answer("body");
    }
    first.response().await;
    second.response().await;
    assert_eq!(text(get.response().await).await, "body");
    let response = ask(&site.app, head()).response().await;
    testing::assert_hit(&response);
    site.is_over(4).await;
}

#[tokio::test]
async fn a_range_gets_its_part_of_another_requests_fill() {
    let mut site = site(policy());
    let leader = site.ask();
    let run = site.origin.run().await;
    let part = site.ask_with(&[("range", "bytes=1-2")]);
    assert!(site.origin.is_idle().await);
    run.answer("body");
    assert_eq!(text(leader.response().await).await, "body");
    let part = part.response().await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(text(part).await, "od");
    site.is_over(2).await;
}

#[tokio::test]
async fn a_range_does_not_lead() {
    let mut site = site(policy());
    let part = site.ask_with(&[("range", "bytes=1-2")]);
    let run = site.origin.run().await;
    assert_eq!(run.header("range"), "bytes=1-2");
    let whole = site.ask();
    let other = site.origin.run().await;
    assert_eq!(other.header("range"), "");
    run.answer((
        StatusCode::PARTIAL_CONTENT,
        [("content-range", "bytes 1-2/4")],
        "od",
    ));
    other.answer("body");
    assert_eq!(text(part.response().await).await, "od");
    assert_eq!(text(whole.response().await).await, "body");
    site.is_over(2).await;
}

#[tokio::test]
async fn a_conditional_request_leads_for_all_and_gets_its_304() {
    let mut site = site(policy());
    let fields = [("if-none-match", "\"1\"")];
    let (leader, same) = (site.ask_with(&fields), site.ask_with(&fields));
    let plain = site.ask();
    let run = site.origin.run().await;
    assert_eq!(run.header("if-none-match"), "", "others want the whole");
    assert!(site.origin.is_idle().await);
    run.answer(([("etag", "\"1\"")], "body"));
    for conditional in [leader, same] {
        let response = conditional.response().await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(text(response).await, "");
    }
    assert_eq!(text(plain.response().await).await, "body");
    site.is_over(3).await;
}

/// It need not wait for a body that its client has, or that others get as it comes.
#[tokio::test]
async fn a_condition_on_the_handlers_tag_is_answered_at_the_head() {
    let mut site = site(policy());
    let leader = site.ask();
    let asks = |tag: &str| site.ask_with(&[("if-none-match", tag)]);
    let (same, other, made) = (asks("\"1\""), asks("\"2\""), asks("\"l-0\""));
    let part = site.ask_with(&[("if-none-match", "\"2\""), ("range", "bytes=0-1")]);
    let run = site.origin.run().await;
    let (feeder, body) = fed(Some(4));
    run.answer(([("etag", "\"1\"")], Body::new(body)));
    feeder.send("ab");
    let same = same.response().await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    assert!(!same.headers().contains_key("content-length"));
    assert_eq!(text(same).await, "");
    let mut bodies = Vec::new();
    for asking in [leader, other, made] {
        let mut body = asking.response().await.into_body();
        assert_eq!(piece(&mut body).await, "ab");
        bodies.push(body);
    }
    settle().await;
    assert!(!part.is_answered());
    feeder.send("cd");
    feeder.end();
    for mut body in bodies {
        assert_eq!(piece(&mut body).await, "cd");
    }
    assert_eq!(text(part.response().await).await, "ab");
    site.is_over(5).await;
}

#[tokio::test]
async fn without_coalescing_each_runs_its_own() {
    let mut site = site(policy().coalesce(false));
    let asking = site.ask_many(3);
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), 3);
    for run in runs {
        run.answer("body");
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
    assert_eq!(site.cache.stats().coalesced, 0);
}

/// A request that the test polls by hand.
struct ByHand(std::pin::Pin<Box<dyn Future<Output = crate::Answer> + Send>>);

fn by_hand(app: crate::App, request: axum::http::Request<Body>) -> ByHand {
    ByHand(Box::pin(tower::ServiceExt::oneshot(app, request)))
}

impl ByHand {
    fn poll_once(&mut self) -> Option<crate::Answer> {
        let waker = std::task::Waker::noop();
        match self
            .0
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
        {
            std::task::Poll::Ready(answer) => Some(answer),
            std::task::Poll::Pending => None,
        }
    }
}

#[tokio::test]
async fn what_is_left_of_a_body_is_told() {
    let mut site = site(policy());
    let asking = site.ask_many(2);
    let feeder = site.origin.run().await.stream(Some(8));
    let mut bodies = Vec::new();
    for asking in asking {
        bodies.push(asking.response().await.into_body());
    }
    for (data, left) in [("one ", 4), ("more", 0)] {
        feeder.send(data);
        for body in &mut bodies {
            assert_eq!(body.size_hint().exact(), Some(left + 4));
            assert_eq!(piece(body).await, data);
            assert_eq!(body.size_hint().exact(), Some(left));
        }
    }
}

#[tokio::test]
async fn what_is_left_behind_a_recording_is_told_too() {
    let mut site = site(policy().max_body(6));
    let asking = site.ask();
    let feeder = site.origin.run().await.stream(None);
    let mut body = asking.response().await.into_body();
    feeder.send("one ");
    assert_eq!(piece(&mut body).await, "one ");
    feeder.send("more");
    assert_eq!(piece(&mut body).await, "more");
    assert_eq!(body.size_hint().exact(), None);
    feeder.end();
    assert!(soon(body.frame()).await.is_none());
}
