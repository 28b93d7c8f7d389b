//! What a step has found, in words.

use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, HeaderName, Request, Uri};

use crate::entry::Entry;
use crate::key::Key;
use crate::outcome::{Cause, InvalidatedBy};
use crate::place::original_uri;
use crate::policy::freshness::{Lifetime, Use};
use crate::policy::{Compiled, Found};
use crate::question::Question;

pub(super) fn policy_of(found: &Found<'_, '_>, endpoint: &str) -> String {
    let Found { policy, pattern } = found;
    let route = pattern.map_or_else(|| "every path".to_owned(), |route| format!("route {route}"));
    let ttl = match (policy.http, policy.ttl, policy.negative_ttl) {
        (true, ..) => "the answers' own fields decide (RFC 9111)".to_owned(),
        (false, None, None) => "nothing is stored".to_owned(),
        (false, ttl, negative) => {
            let all = ttl.map(|ttl| format!("for {ttl:?}"));
            let missing = negative.map(|ttl| format!("404 and 410 for {ttl:?}"));
            let both: Vec<String> = all.into_iter().chain(missing).collect();
            both.join(", ")
        }
    };
    format!("{route}, endpoint {endpoint}, {ttl}")
}

/// What goes into a key, but for secrets.
pub(super) fn key_of<B>(key: &Key, question: &Question, request: &Request<B>) -> String {
    let policy: &Compiled = &question.policy;
    let mut parts = vec![format!("{key}, from method")];
    let uri = original_uri(request.extensions(), request.uri());
    parts.push(format!("host {:?}", host_of(uri, request.headers())));
    match &policy.key {
        Some(_) => parts.push("the policy's own key".to_owned()),
        None => {
            parts.push(format!("path {:?}", uri.path()));
            if let Some(query) = uri.query() {
                parts.push(format!("query {query:?} ({:?})", policy.params));
            }
        }
    }
    let keyed = policy.classes.keyed();
    let there = keyed.filter(|name| request.headers().contains_key(*name));
    parts.extend(there.map(|name| format!("field {name}")));
    if policy.scope.is_some() {
        parts.push("the scope".to_owned());
    }
    if question.tenant.is_some() {
        parts.push("the tenant".to_owned());
    }
    if question.variant.is_some() {
        parts.push("what answers vary on".to_owned());
    }
    parts.join(", ")
}

/// That of the target, with its port, before the field's.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = uri.authority().map(|named| named.as_str());
    let field = || headers.get(HOST).and_then(|host| host.to_str().ok());
    named.or_else(field).unwrap_or_default()
}

/// What the answers of a resource vary on.
pub(super) fn varying(names: &[HeaderName]) -> String {
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    format!("answers vary on {}", names.join(", "))
}

pub(super) fn of_entry(entry: &Entry) -> String {
    format!(
        "an entry: status {}, {} bytes",
        entry.status.as_u16(),
        entry.body.len()
    )
}

pub(super) fn freshness(lifetime: &Lifetime, age: u64, usable: Use) -> String {
    let time = Duration::from_millis;
    let (life, old) = (time(lifetime.fresh), time(age));
    let said = match usable {
        Use::Fresh(left) | Use::Early(left) => format!("fresh for another {:?}", time(left)),
        Use::WhileRevalidating => format!(
            "stale, and served while it is renewed until {:?}",
            time(lifetime.stale)
        ),
        Use::AsAsked => "stale, and the request takes it so".to_owned(),
        Use::Validate if age < lifetime.fresh => "fresh, but the request asks for more".to_owned(),
        Use::Validate => format!(
            "stale; it may stand in for a failure until {:?}, and be confirmed until {:?}",
            time(lifetime.error),
            time(lifetime.keep)
        ),
    };
    format!("age {old:?} of {life:?}: {said}")
}

/// What became of an entry that is not in memory.
pub(super) fn gone(cause: Cause, by: Option<InvalidatedBy>, has_tier: bool) -> String {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    match cause {
        Cause::Evicted => "nothing: it had to go for lack of room".to_owned(),
        Cause::Invalidated => format!("nothing: it was invalidated{by}"),
        Cause::Release => "nothing: another release has filled it".to_owned(),
        Cause::Unknown => "nothing, and what became of it nobody knows".to_owned(),
        _ if !has_tier => "this cache has no memory tier".to_owned(),
        _ => "nothing".to_owned(),
    }
}
