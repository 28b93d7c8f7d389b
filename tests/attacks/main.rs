//! The attack list, by number, and what else an attacker may try: each test
//! attacks a real router, on memory and on a real Redis, under a route's policy
//! and under HTTP's own rules where both can be meant.

mod contents;
mod deception;
mod denial;
mod forged;
mod handed_on;
mod inputs;
mod keys;
mod late;
mod later;
mod merges;
mod names;
mod origins;
mod races;
mod said;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod variants;

use axum::Router;
use axum::http::{HeaderMap, Method};
use axum::routing::{MethodRouter, get as on_get};
use larder::{Cache, CacheBuilder, Policy, minutes, seconds};
use support::{Calls, Reply, Tiers, request, send};

/// What the handlers say of their answers, for HTTP's own rules.
const FRESH: (&str, &str) = ("cache-control", "max-age=300");

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

/// A handler whose runs can be told apart.
fn counted() -> MethodRouter {
    let calls = Calls::default();
    on_get(move || async move { ([FRESH], format!("v{}", calls.count())) })
}

/// A handler that shows what it sees of a field.
fn reflects(field: &'static str) -> MethodRouter {
    on_get(move |headers: HeaderMap| async move {
        let seen = headers.get(field);
        let seen = seen.map_or("nothing", |value| value.to_str().unwrap());
        ([FRESH], format!("saw {seen}"))
    })
}

/// A tier and the rules that a site caches by.
struct Way {
    name: String,
    policy: Policy,
    tiers: Tiers,
}

/// The tiers, with patience: a busy machine is no attack.
async fn tiers() -> Vec<Tiers> {
    tiers_with(|builder| builder).await
}

async fn tiers_with(settings: impl Fn(CacheBuilder) -> CacheBuilder) -> Vec<Tiers> {
    support::tiers_with(|builder| settings(builder.operation_timeout(seconds(20)))).await
}

/// Both tiers under both rules.
async fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for (rules, policy) in [("ttl", policy()), ("http", Policy::http())] {
        for tiers in tiers().await {
            ways.push(Way {
                name: format!("{rules}, {}", tiers.name),
                policy: policy.clone(),
                tiers,
            });
        }
    }
    ways
}

impl Way {
    fn http(&self) -> bool {
        self.name.starts_with("http")
    }

    /// A site that answers every path by one handler.
    fn site(&self, handler: MethodRouter) -> Site {
        self.site_with(self.policy.clone(), handler)
    }

    fn site_with(&self, policy: Policy, handler: MethodRouter) -> Site {
        Site::new(&self.tiers.cache, policy, handler)
    }
}

/// A router with a cache before its handler.
#[derive(Clone)]
struct Site {
    app: Router,
    cache: Cache,
}

impl Site {
    fn new(cache: &Cache, policy: Policy, handler: MethodRouter) -> Self {
        Self {
            app: Router::new().route("/{*path}", handler.layer(cache.layer(policy))),
            cache: cache.clone(),
        }
    }

    /// Sends a request, and waits until its answer is stored.
    async fn send(&self, method: Method, uri: &str, fields: &[(&str, &str)]) -> Reply {
        let reply = send(&self.app, request(method, uri, fields)).await;
        self.cache.idle().await;
        reply
    }

    async fn get(&self, uri: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(Method::GET, uri, fields).await
    }
}
