//! What the handler withdraws, by an answer that is not stored: nobody gets it any more, and
//! nobody waits for another one like it.

use axum::http::StatusCode;
use larder::testing::outcome;
use larder::{Outcome, Policy, hours};

use crate::{Run, Site, is_miss, policy, settle, site, text};

/// A site with something stale that can be confirmed.
async fn confirmable(policy: Policy) -> Site {
    let mut site = site(policy.revalidate(hours(24)));
    let first = site.ask();
    site.origin.run().await.answer(([("etag", "\"1\"")], "old"));
    text(first.response().await).await;
    settle().await;
    site.clock.advance(larder::minutes(6));
    site
}

fn confirms(run: Run, fields: [(&'static str, &'static str); 2]) {
    assert_eq!(run.header("if-none-match"), "\"1\"");
    run.answer((StatusCode::NOT_MODIFIED, fields));
}

#[tokio::test(start_paused = true)]
async fn a_304_that_forbids_to_store_frees_all_who_wait() {
    for value in ["no-store", "private"] {
        let mut site = confirmable(policy().stale_if_error(hours(6))).await;
        let asking = site.ask_many(5);
        let run = site.origin.run().await;
        confirms(run, [("etag", "\"1\""), ("cache-control", value)]);
        let runs = site.origin.all().await;
        assert_eq!(runs.len(), 4, "at once and side by side");
        for run in runs {
            run.answer(([("cache-control", value)], "own"));
        }
        let mut got = Vec::new();
        for asking in asking {
            got.push(text(asking.response().await).await);
        }
        got.sort();
        assert_eq!(got, ["old", "own", "own", "own", "own"]);
        let later = site.ask_many(3);
        assert_eq!(site.origin.all().await.len(), 3, "nobody queues after it");
        drop(later);
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_of_another_answer_frees_all_who_wait() {
    let mut site = confirmable(policy().stale_if_error(hours(6))).await;
    let asking = site.ask_many(3);
    let run = site.origin.run().await;
    confirms(run, [("etag", "\"2\""), ("x-other", "1")]);
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), 2);
    for run in runs {
        run.answer("new");
    }
    let mut got = Vec::new();
    for asking in asking {
        let response = asking.response().await;
        assert!(is_miss(&response) || matches!(outcome(&response), Outcome::Revalidated { .. }));
        got.push(text(response).await);
    }
    got.sort();
    assert_eq!(got, ["new", "new", "old"]);
    assert_eq!(site.hit().await, "new", "others like it are shared");
}
