//! Whose answer it is: variants, scopes, credentials.

use axum::http::StatusCode;
use axum::http::header::VARY;
use larder::{Policy, Scope, hours, minutes};

use crate::{Site, is_coalesced, policy, site, text};

/// Answers each run with the value of a field that it saw.
fn reflect(runs: Vec<crate::Run>, field: &'static str) {
    for run in runs {
        let saw = run.header(field).to_owned();
        run.answer(([(VARY, field)], saw));
    }
}

const LANGUAGES: [&str; 3] = ["en", "de", "fr"];

async fn in_each_language(site: &mut Site) {
    let asking: Vec<_> = (0..30)
        .map(|n| LANGUAGES[n % 3])
        .map(|language| (language, site.ask_with(&[("accept-language", language)])))
        .collect();
    let mut runs = 0;
    loop {
        let all = site.origin.all().await;
        if all.is_empty() {
            break;
        }
        runs += all.len();
        reflect(all, "accept-language");
    }
    for (language, asking) in asking {
        assert_eq!(text(asking.response().await).await, language);
    }
    assert_eq!(runs, 3, "one for each variant");
}

#[tokio::test]
async fn each_variant_has_one_fill() {
    let mut site = site(policy());
    in_each_language(&mut site).await;
    site.clock.advance(larder::minutes(6)); // by now it is known what they vary on
    in_each_language(&mut site).await;
    site.is_over(60).await;
}

#[tokio::test]
async fn one_that_asks_for_another_variant_does_not_wait_for_the_body() {
    let mut site = site(policy());
    let english = site.ask_with(&[("accept-language", "en")]);
    let run = site.origin.run().await;
    let german = site.ask_with(&[("accept-language", "de")]);
    assert!(site.origin.is_idle().await);
    let (feeder, body) = crate::fed(Some(2));
    run.answer(([(VARY, "accept-language")], axum::body::Body::new(body)));
    reflect(vec![site.origin.run().await], "accept-language");
    assert_eq!(text(german.response().await).await, "de");
    feeder.send("en");
    feeder.end();
    assert_eq!(text(english.response().await).await, "en");
    site.is_over(2).await;
}

#[tokio::test]
async fn a_confirmation_that_begins_to_vary_is_not_for_those_of_another_variant() {
    let mut site = site(policy().revalidate(larder::hours(1)));
    let first = site.ask_with(&[("accept-language", "en")]);
    site.origin.run().await.answer(([("etag", "\"en\"")], "en"));
    first.response().await;
    site.clock.advance(larder::minutes(6));
    let english = site.ask_with(&[("accept-language", "en")]);
    let run = site.origin.run().await;
    assert_eq!(run.header("if-none-match"), "\"en\"");
    let german = site.ask_with(&[("accept-language", "de")]);
    assert!(site.origin.is_idle().await);
    let fields = [("etag", "\"en\""), ("vary", "accept-language")];
    run.answer((axum::http::StatusCode::NOT_MODIFIED, fields));
    assert_eq!(text(english.response().await).await, "en");
    let run = site.origin.run().await;
    assert_eq!(run.header("accept-language"), "de");
    reflect(vec![run], "accept-language");
    assert_eq!(text(german.response().await).await, "de");
}

#[tokio::test]
async fn a_scope_is_never_shared_with_another() {
    let mut site = site(policy().scope(Scope::bearer()));
    let asking: Vec<_> = (0..20)
        .map(|n| format!("Bearer user{}", n % 4))
        .map(|user| (site.ask_with(&[("authorization", &user)]), user))
        .collect();
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), 4, "one for each user");
    for run in runs {
        let user = run.header("authorization").to_owned();
        run.answer(user);
    }
    for (asking, user) in asking {
        assert_eq!(text(asking.response().await).await, user);
    }
    site.is_over(20).await;
}

#[tokio::test]
async fn credentials_of_no_meaning_share_nothing() {
    let mut site = site(policy());
    let plain = site.ask();
    let ann = site.ask_with(&[("cookie", "ann")]);
    let bob = site.ask_with(&[("cookie", "bob")]);
    let runs = site.origin.all().await;
    assert_eq!(runs.len(), 3);
    for run in runs {
        let who = run.header("cookie").to_owned();
        run.answer(who);
    }
    assert_eq!(text(plain.response().await).await, "");
    assert_eq!(text(ann.response().await).await, "ann");
    assert_eq!(text(bob.response().await).await, "bob");
    site.is_over(3).await;
}

/// Under HTTP's own rules whoever has `Authorization` takes part; what is
/// shared is only what says so (RFC 9111, 3.5).
async fn authorized(said: &'static str, shared: bool) {
    let mut site = site(Policy::http());
    let users = ["ann", "bob", "cid"];
    let asking = users.map(|user| site.ask_with(&[("authorization", user)]));
    let mut seen = 0;
    loop {
        let runs = site.origin.all().await;
        if runs.is_empty() {
            break;
        }
        seen += runs.len();
        for run in runs {
            let user = run.header("authorization").to_owned();
            run.answer(([("cache-control", said)], user));
        }
    }
    assert_eq!(seen, if shared { 1 } else { 3 }, "{said}");
    for (asking, user) in asking.into_iter().zip(users) {
        let response = asking.response().await;
        let own = !is_coalesced(&response);
        let got = text(response).await;
        assert!(shared || (own && got == user), "{user} got {got}");
    }
}

#[tokio::test]
async fn a_private_answer_is_never_a_followers() {
    authorized("max-age=60", false).await;
    authorized("private, max-age=60", false).await;
    authorized("no-store", false).await;
    authorized("public, max-age=60", true).await;
}

#[tokio::test]
async fn a_follower_with_authorization_needs_an_answer_that_says_so() {
    let mut site = site(Policy::http());
    let plain = site.ask();
    let run = site.origin.run().await;
    let ann = site.ask_with(&[("authorization", "ann")]);
    assert!(site.origin.is_idle().await);
    let feeder = {
        let (feeder, body) = crate::fed(Some(4));
        let fields = [("cache-control", "max-age=60")];
        run.answer((fields, axum::body::Body::new(body)));
        feeder
    };
    let own = site.origin.run().await;
    assert_eq!(own.header("authorization"), "ann");
    own.answer(([("cache-control", "max-age=60")], "ann's"));
    assert_eq!(text(ann.response().await).await, "ann's");
    feeder.send("body");
    feeder.end();
    assert_eq!(text(plain.response().await).await, "body");
    site.is_over(2).await;
}

#[tokio::test]
async fn cookies_of_the_leader_are_the_leaders() {
    let mut site = site(Policy::http().store_set_cookie());
    let asking = site.ask_many(3);
    let runs = site.origin.all().await;
    for run in runs {
        run.answer((
            [("set-cookie", "id=leader"), ("cache-control", "private")],
            "body",
        ));
    }
    for run in site.origin.all().await {
        run.answer((
            [("set-cookie", "id=own"), ("cache-control", "private")],
            "body",
        ));
    }
    let mut leaders = 0;
    for asking in asking {
        let response = asking.response().await;
        leaders += usize::from(response.headers()["set-cookie"] == "id=leader");
    }
    assert_eq!(leaders, 1);
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_that_varies_is_one_run() {
    let mut site = site(policy().revalidate(hours(1)));
    let first = site.ask();
    site.origin.run().await.answer(([("etag", "\"1\"")], "old"));
    text(first.response().await).await;
    site.clock.advance(minutes(6));
    let asking = site.ask_many(40);
    let mut runs = 0;
    loop {
        let all = site.origin.all().await;
        if all.is_empty() {
            break;
        }
        runs += all.len();
        for run in all {
            run.answer((
                StatusCode::NOT_MODIFIED,
                [("etag", "\"1\""), ("vary", "accept-language")],
            ));
        }
    }
    for asking in asking {
        assert_eq!(text(asking.response().await).await, "old");
    }
    assert!(runs <= 2, "{runs} runs of the handler");
}
