//! Answers that nobody may share: those who waited run at once and side by side,
//! and later requests do not queue.

use axum::http::{StatusCode, header::SET_COOKIE};
use http_body_util::BodyExt;
use larder::seconds;

use crate::{Site, is_coalesced, is_miss, piece, policy, settle, site, soon, text};

/// A leader's answer is out; so many others run their own now.
async fn all_run(site: &mut Site, n: usize) -> Vec<crate::Run> {
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), n, "at once and side by side");
    runs
}

#[tokio::test]
async fn an_uncacheable_answer_frees_all_at_once_and_nobody_queues_after_it() {
    let mut site = site(policy());
    let asking = site.ask_many(10);
    site.origin
        .run()
        .await
        .answer(([(SET_COOKIE, "a=1")], "private"));
    for run in all_run(&mut site, 9).await {
        run.answer(([(SET_COOKIE, "a=2")], "own"));
    }
    let mut got = Vec::new();
    for asking in asking {
        let response = asking.response().await;
        assert!(is_miss(&response));
        got.push(text(response).await);
    }
    got.sort();
    assert_eq!(
        (got.len(), got[8].as_str(), got[9].as_str()),
        (10, "own", "private")
    );
    // later ones do not wait for each other, for two minutes
    for (wait, runs) in [(seconds(0), 5), (seconds(119), 5), (seconds(122), 1)] {
        site.clock.advance(wait);
        let asking = site.ask_many(5);
        for run in all_run(&mut site, runs).await {
            run.answer(([(SET_COOKIE, "a=3")], "own"));
        }
        for run in site.origin.all().await {
            run.answer(([(SET_COOKIE, "a=4")], "own"));
        }
        for asking in asking {
            assert_eq!(text(asking.response().await).await, "own");
        }
    }
    site.is_over(25).await;
}

#[tokio::test]
async fn a_cacheable_answer_ends_that_at_once() {
    let mut site = site(larder::Policy::ttl(seconds(1)));
    let first = site.ask();
    site.origin
        .run()
        .await
        .answer(([(SET_COOKIE, "a=1")], "private"));
    first.response().await;
    let second = site.ask();
    site.origin.run().await.answer("body");
    text(second.response().await).await;
    site.clock.advance(seconds(2));
    let _asking = site.ask_many(5);
    assert_eq!(site.origin.all().await.len(), 1);
}

#[tokio::test]
async fn after_a_failed_answer_exactly_one_leads_again() {
    let mut site = site(policy());
    let asking = site.ask_many(5);
    for _ in 0..5 {
        for run in all_run(&mut site, 1).await {
            run.answer((StatusCode::INTERNAL_SERVER_ERROR, "oh"));
        }
    }
    for asking in asking {
        assert_eq!(asking.response().await.status(), 500);
    }
    let _asking = site.ask_many(5);
    assert_eq!(
        site.origin.all().await.len(),
        1,
        "the next ones share again"
    );
}

#[tokio::test]
async fn an_error_that_one_request_provoked_is_not_held_against_the_others() {
    let mut site = site(policy());
    let junk = site.ask_with(&[("accept", "no/such")]);
    let follower = site.ask();
    let run = site.origin.run().await;
    run.answer((StatusCode::NOT_ACCEPTABLE, "no"));
    let own = site.origin.run().await; // nobody leads whose answer is not for all
    let asking = site.ask_many(4);
    assert_eq!(site.origin.all().await.len(), 1, "and the next ones share");
    own.answer("body");
    assert_eq!(junk.response().await.status(), 406);
    assert_eq!(text(follower.response().await).await, "body");
    drop(asking);
}

#[tokio::test]
async fn what_store_if_declines_is_nobodys_and_nobody_queues_after_it() {
    let wanted = |_: StatusCode, _: &axum::http::HeaderMap, body: &[u8]| body != b"errors";
    let mut site = site(policy().store_if(wanted));
    let asking = site.ask_many(5);
    let feeder = site.origin.run().await.stream(Some(6));
    feeder.send("err");
    assert!(
        site.origin.is_idle().await,
        "nobody streams what may be declined"
    );
    assert_eq!(
        asking.iter().filter(|asking| asking.is_answered()).count(),
        1
    );
    feeder.send("ors");
    feeder.end();
    for run in all_run(&mut site, 4).await {
        run.answer("errors");
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "errors");
    }
    let asking = site.ask_many(5);
    for run in all_run(&mut site, 5).await {
        run.answer("good");
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "good");
    }
    assert_eq!(site.hit().await, "good");
    site.is_over(11).await;
}

#[tokio::test]
async fn a_body_of_64_mib_streams_through_unrecorded() {
    const CHUNK: usize = 1 << 20;
    for declared in [true, false] {
        let mut site = site(policy());
        let asking = site.ask_many(3);
        let long = declared.then_some(64 * CHUNK as u64);
        let chunk = bytes::Bytes::from(vec![b'x'; CHUNK]);
        let mut feeders = vec![site.origin.run().await.stream(long)];
        if !declared {
            feeders[0].send(chunk.clone());
            feeders[0].send(chunk.clone());
        }
        for run in all_run(&mut site, 2).await {
            feeders.push(run.stream(long));
        }
        let sent = if declared { 0 } else { 2 };
        for (n, feeder) in feeders.iter().enumerate() {
            let sent = if n == 0 { sent } else { 0 };
            (sent..64).for_each(|_| feeder.send(chunk.clone()));
        }
        drop(feeders);
        for asking in asking {
            let response = asking.response().await;
            assert!(is_miss(&response));
            assert_eq!(text(response).await.len(), 64 * CHUNK);
        }
        let stats = site.cache.stats();
        assert_eq!((stats.stores, stats.memory_bytes), (0, 0));
        let _asking = site.ask_many(3);
        assert_eq!(site.origin.all().await.len(), 3, "later ones do not queue");
    }
}

#[tokio::test]
async fn trailers_free_those_who_wait() {
    let mut site = site(policy());
    let asking = site.ask_many(3);
    let feeder = site.origin.run().await.stream(None);
    feeder.send("body");
    feeder.trailers();
    let runs = all_run(&mut site, 2).await;
    feeder.end();
    for run in runs {
        run.answer("body");
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "body");
    }
}

#[tokio::test]
async fn who_has_read_the_declared_length_ends_before_the_trailers() {
    for body in ["", "body"] {
        let mut site = site(policy());
        let asking = site.ask_many(2);
        let feeder = site.origin.run().await.stream(Some(body.len() as u64));
        let mut responses = Vec::new();
        for asking in asking {
            responses.push(asking.response().await);
        }
        feeder.send(body);
        feeder.trailers();
        feeder.end();
        for response in responses {
            let trailers = !is_coalesced(&response);
            let whole = soon(response.into_body().collect()).await.expect("whole");
            assert_eq!(whole.trailers().is_some(), trailers, "the leader's alone");
            assert_eq!(whole.to_bytes(), body);
        }
        assert_eq!(site.cache.stats().stores, 0);
        site.is_over(2).await;
    }
}

#[tokio::test]
async fn a_leader_may_read_what_followers_may_not_share() {
    let mut site = site(policy());
    let asking = site.ask_many(2);
    let feeder = site.origin.run().await.stream(None);
    feeder.send(vec![b'x'; 1 << 20]);
    feeder.send("and more");
    let other = site.origin.run().await;
    other.answer("small by now");
    let mut sizes = Vec::new();
    feeder.end();
    for asking in asking {
        let response = asking.response().await;
        assert!(!is_coalesced(&response));
        sizes.push(text(response).await.len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [12, (1 << 20) + 8]);
    settle().await;
    assert_eq!(site.hit().await, "small by now");
}

#[tokio::test]
async fn what_its_leader_has_read_of_it_is_not_kept() {
    let mut site = site(policy());
    let leader = site.ask();
    let feeder = site.origin.run().await.stream(None);
    feeder.send(vec![b'x'; 1 << 20]);
    feeder.send("and more");
    let mut body = leader.response().await.into_body();
    assert_eq!(piece(&mut body).await.len(), 1 << 20);
    assert_eq!(piece(&mut body).await, "and more");
    assert_eq!(site.cache.stats().in_flight_bytes, 0);
    feeder.send("for ever");
    assert_eq!(piece(&mut body).await, "for ever");
    drop(body);
    site.is_over(1).await;
}

#[tokio::test]
async fn an_event_stream_is_its_own() {
    let mut site = site(policy());
    let asking = site.ask_many(2);
    let (feeder, body) = crate::fed(None);
    let body = axum::body::Body::new(body);
    let run = site.origin.run().await;
    run.answer(([("content-type", "text/event-stream")], body));
    let other = site.origin.run().await;
    feeder.send("data: 1\n\n");
    let mut asking = asking.into_iter();
    let mut first = asking.next().unwrap().response().await.into_body();
    assert_eq!(piece(&mut first).await, "data: 1\n\n");
    other.answer("no stream");
    assert_eq!(
        text(asking.next().unwrap().response().await).await,
        "no stream"
    );
}
