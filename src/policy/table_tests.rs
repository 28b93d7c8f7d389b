use super::*;
use crate::clock::seconds;

fn context() -> Context {
    Context {
        prefix: "api".into(),
        release: String::new(),
        max_body: 1024,
        credentials: Vec::new(),
        namespaces: crate::invalidate::Namespaces::default(),
        tenants: false,
    }
}

fn ttl(n: u64) -> Policy {
    Policy::ttl(seconds(n))
}

fn found(table: &Table, place: Place<'_>, path: &str) -> Option<u64> {
    let found = table.find(place, path).ok()?;
    found.policy.ttl.map(|ttl| ttl.as_secs())
}

#[test]
fn the_matched_route_decides_inside_a_router() {
    let routes = Routes::new()
        .route("/a/{id}", ttl(1))
        .default_policy(ttl(9))
        .except(["/healthz"]);
    let table = Table::new(&routes, &context()).unwrap();
    assert_eq!(found(&table, Place::Matched("/a/{id}"), "/a/7"), Some(1));
    assert_eq!(found(&table, Place::Matched("/a/{name}"), "/a/7"), Some(1));
    assert_eq!(found(&table, Place::Matched("/b"), "/b"), Some(9));
    assert_eq!(found(&table, Place::Matched("/healthz"), "/healthz"), None);
    assert_eq!(found(&table, Place::Fallback, "/a/7"), None);
    assert_eq!(found(&table, Place::Matched("/a/new"), "/a/new"), Some(9));
}

#[test]
fn the_tables_patterns_decide_outside() {
    let routes = Routes::new()
        .route("/a/{id}", ttl(1))
        .default_policy(ttl(9));
    let table = Table::new(&routes, &context()).unwrap();
    assert_eq!(found(&table, Place::Outside, "/a/7"), Some(1));
    assert_eq!(found(&table, Place::Outside, "/b"), None);
}

#[test]
fn mistakes_in_a_table_are_named() {
    let bad = [
        (Routes::new(), "routes"),
        (Routes::new().route("a", ttl(1)), "route \"a\""),
        (Routes::new().route("/{", ttl(1)), "route \"/{\""),
        (
            Routes::new().route("/a", ttl(1)).route("/a", ttl(2)),
            "route \"/a\"",
        ),
        (Routes::new().route("/a", ttl(0)), "route \"/a\": ttl"),
        (
            Routes::new().route("/a", ttl(1).tag("{id}")),
            "route \"/a\": tag",
        ),
        (
            Routes::new().default_policy(ttl(1).endpoint("")),
            "default: endpoint",
        ),
    ];
    for (routes, setting) in bad {
        let error = Table::new(&routes, &context()).err().unwrap();
        assert_eq!(error.setting(), setting, "{error}");
    }
}
