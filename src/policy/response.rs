//! The judge: whether an answer may be stored, and on what terms.
//!
//! An answer is stored when
//!
//! 1. the handler's hint does not forbid it;
//! 2. its status is one that the policy stores;
//! 3. it is a whole representation, and neither a stream nor larger than the policy allows;
//! 4. it sets no cookie, hands out no credential, and carries no nonce of a Content-Security-Policy;
//! 5. its directives allow it (RFC 9111, 3), unless the policy overrides them; a targeted field speaks first (RFC 9213);
//! 6. its `Vary` can be matched (RFC 9111, 4.1);
//! 7. every template of its tags finds its parameter, and all its tags can be read and are not too many;
//! 8. some use is left of it: it is fresh, may be served stale, or can be revalidated ([`super::lifetime`]).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

pub(crate) use super::answer::Answer;
use super::cache_control::{Directives, Extent};
use super::compiled::Compiled;
use super::conditional::can_be_confirmed;
use super::freshness::{Lifetime, Rules, is_heuristic};
use super::hint::Hint;
use super::lifetime::{self, Stated};
use super::nonce::has_nonce;
use super::request::contains;
use super::tag_fields::MOST_TAGS;
use super::targeted;
use super::vary::{self, Vary};
use crate::outcome::Refusal;

/// On what terms an answer is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How old it was when it came.
    pub(crate) age: Duration,
    /// Counted from its creation: so long before it came.
    pub(crate) lifetime: Lifetime,
    pub(crate) rules: Rules,
    pub(crate) tags: Vec<String>,
    /// Its groups, which are its origin's (RFC 9875).
    pub(crate) groups: Vec<String>,
    pub(crate) vary: Arc<[HeaderName]>,
    /// Fields that are not to be stored with it.
    pub(crate) without: Vec<HeaderName>,
}

/// Judges an answer.
pub(crate) fn judge(policy: &Compiled, answer: &Answer<'_>, hint: Hint) -> Result<Terms, Refusal> {
    if hint.no_store {
        return Err(Refusal::Hint);
    }
    let status = answer.status;
    let allowed = match policy.http {
        true => Duration::MAX,
        false => policy
            .ttl_of(status, answer.adapted)
            .ok_or(Refusal::Status)?,
    };
    whole(policy, answer)?;
    let (directives, targeted) = directives(policy, answer.headers);
    let without = without(&directives);
    shareable(policy, answer.headers, &without)?;
    permitted(policy, answer, &directives)?;
    let vary = match vary::of(answer.headers, answer.request.get(header::ORIGIN)) {
        Vary::On(names) => names,
        Vary::Any => return Err(Refusal::VaryAny),
        Vary::TooMany => return Err(Refusal::TooManyVariants),
    };
    let tags = tags(policy, answer, hint.tags)?;
    let stated = Stated {
        directives: &directives,
        targeted,
        hint: hint.ttl,
        allowed,
    };
    let (age, lifetime) = lifetime::of(policy, answer, &stated)?;
    let confirmed = can_be_confirmed(status, answer.headers);
    let validates = !policy.revalidate.is_zero() && confirmed;
    let rules = match validates {
        true => Rules::of(&directives).and(Rules::VALIDATES),
        false => Rules::of(&directives),
    };
    Ok(Terms {
        age,
        lifetime,
        rules,
        tags,
        groups: targeted::strings(answer.headers, "cache-groups"),
        vary,
        without,
    })
}

/// What the answer says to this cache, and whether it said so to it alone. A
/// route's policy does not pass over a targeted field that cannot be read.
fn directives(policy: &Compiled, headers: &HeaderMap) -> (Directives, bool) {
    if policy.override_cache_control {
        return (Directives::default(), true);
    }
    let (mut directives, targeted) = match targeted::of(headers, &policy.targets) {
        Some(directives) => (directives, true),
        None => (Directives::of(headers), false),
    };
    directives.malformed |= !policy.http && targeted::unreadable(headers, &policy.targets);
    (directives, targeted)
}

/// Whether an answer states its freshness itself.
pub(crate) fn states_freshness(policy: &Compiled, headers: &HeaderMap) -> bool {
    let (directives, targeted) = directives(policy, headers);
    directives.lifetime().is_some() || (!targeted && headers.contains_key(header::EXPIRES))
}

/// Fields that `private` or `no-cache` name: the rest may be stored (RFC 9111,
/// 5.2.2.4 and 5.2.2.7).
fn without(directives: &Directives) -> Vec<HeaderName> {
    let named = |extent: &Extent| match extent {
        Extent::Fields(names) => names.clone(),
        Extent::Nothing | Extent::Whole => Vec::new(),
    };
    let mut names = named(&directives.private);
    names.extend(named(&directives.no_cache));
    names
}

fn whole(policy: &Compiled, answer: &Answer<'_>) -> Result<(), Refusal> {
    // means nothing but in 206 and 416 (RFC 9110, 14.4), and is suspicious
    let ranged = answer.request.contains_key(header::RANGE);
    let range = answer.headers.contains_key(header::CONTENT_RANGE);
    if range && (ranged || !policy.http) {
        return Err(Refusal::Partial);
    }
    // says nothing of the whole, which is what the key stands for (RFC 9110, 15.5.17)
    if answer.status == StatusCode::RANGE_NOT_SATISFIABLE
        && answer.request.contains_key(header::RANGE)
    {
        return Err(Refusal::Partial);
    }
    let stream = |value: &HeaderValue| {
        contains(value.as_bytes(), b"text/event-stream")
            || contains(value.as_bytes(), b"application/grpc")
            || contains(value.as_bytes(), b"multipart/x-mixed-replace")
    };
    if answer
        .headers
        .get_all(header::CONTENT_TYPE)
        .iter()
        .any(stream)
        || targeted::is_true(answer.headers, "incremental")
    {
        return Err(Refusal::Streaming);
    }
    if answer.at_least > policy.max_body as u64 {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

fn shareable(
    policy: &Compiled,
    headers: &HeaderMap,
    without: &[HeaderName],
) -> Result<(), Refusal> {
    // one that is named is left out, and the rest may be shared (RFC 9111, 5.2.2.7)
    let named = policy.http && without.contains(&header::SET_COOKIE);
    let cookie = headers.contains_key(header::SET_COOKIE) && !named;
    let cookie = cookie || headers.contains_key("set-cookie2");
    if cookie && !policy.store_set_cookie {
        return Err(Refusal::SetCookie);
    }
    // an answer's own signature is for all to read (RFC 9421)
    let secret = |name: &HeaderName| name != "signature" && policy.is_credential(name);
    if headers.keys().any(secret) {
        return Err(Refusal::Credential);
    }
    if has_nonce(headers) {
        return Err(Refusal::CspNonce);
    }
    Ok(())
}

/// What the directives forbid (RFC 9111, 3 and 5.2.2). A route's policy takes
/// `private` and `no-cache` for the whole answer, also where they name fields.
fn permitted(policy: &Compiled, answer: &Answer<'_>, said: &Directives) -> Result<(), Refusal> {
    let understood = is_understood(answer.status);
    if policy.http && said.must_understand && !understood {
        return Err(Refusal::Status);
    }
    if said.no_store && !(policy.http && said.must_understand) {
        return Err(Refusal::NoStore); // must-understand overrides it (5.2.2.3)
    }
    if said.malformed {
        return Err(Refusal::Malformed);
    }
    if !policy.http {
        return match (said.private.is_any(), said.no_cache.is_any()) {
            (true, _) => Err(Refusal::Private),
            (_, true) => Err(Refusal::NoCache),
            _ => Ok(()),
        };
    }
    if said.private == Extent::Whole {
        return Err(Refusal::Private);
    }
    if answer.authorized && !said.shares_authorized() {
        return Err(Refusal::Authorization);
    }
    let final_status = (200..600).contains(&answer.status.as_u16()); // RFC 9110, 15
    let partial = matches!(answer.status.as_u16(), 206 | 304);
    match final_status && !partial && !is_of_request(answer.status) {
        true => Ok(()),
        false => Err(Refusal::Status),
    }
}

/// Statuses that speak of one request's own fields, connection or pace, or of a proxy
/// on its way (RFC 6585, 6): for anybody else who asks for the same URI they are wrong,
/// fresh or not.
fn is_of_request(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        407 | 408 | 411..=413 | 415..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 511
    )
}

/// Statuses whose caching requirements are implemented (RFC 9111, 3): those of
/// RFC 9110 that are final, but for 206 and 304.
fn is_understood(status: StatusCode) -> bool {
    is_heuristic(status)
        || matches!(
            status.as_u16(),
            201 | 202 | 205 | 302 | 303 | 307 | 400..=403 | 406..=409 | 411..=413 | 415..=417
                | 421 | 422 | 426 | 428 | 429 | 431 | 451 | 500 | 502..=505
        )
}

fn tags(
    policy: &Compiled,
    answer: &Answer<'_>,
    hinted: Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let mut tags = hinted;
    tags.extend_from_slice(answer.named?);
    for template in &policy.tags {
        match template.render(&answer.params, str::to_owned) {
            Ok(tag) => tags.push(tag),
            Err(_) => return Err(Refusal::Template),
        }
    }
    tags.sort_unstable();
    tags.dedup();
    // what has an empty tag nobody could invalidate by it
    match tags.len() > MOST_TAGS || tags.first().is_some_and(String::is_empty) {
        true => Err(Refusal::Tags),
        false => Ok(tags),
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
