//! The judge: whether an answer may be stored, and on what terms.
//!
//! An answer is stored when
//!
//! 1. the handler's hint does not forbid it;
//! 2. its status is one that the policy stores;
//! 3. it is a whole representation, and neither a stream nor larger than the policy allows;
//! 4. it sets no cookie, hands out no credential, and carries no nonce of a Content-Security-Policy;
//! 5. its `Cache-Control` allows it (RFC 9111, 3), unless the policy overrides that;
//! 6. its `Vary` can be matched (RFC 9111, 4.1);
//! 7. every template of its tags finds its parameter;
//! 8. some lifetime is left: the hint's, or the shorter of the policy's and of
//!    that which `Cache-Control` or `Expires` states (RFC 9111, 4.2.1), less the `Age` it came with (4.2.3).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::cache_control::Directives;
use super::compiled::{Compiled, LONGEST};
use super::hint::Hint;
use super::nonce::has_nonce;
use super::request::contains;
use super::template::Params;
use super::vary::{self, Vary};
use crate::outcome::Refusal;

/// On what terms an answer is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long it is fresh, from now.
    pub(crate) ttl: Duration,
    /// How old it was when it came.
    pub(crate) age: Duration,
    pub(crate) tags: Vec<String>,
    pub(crate) vary: Arc<[HeaderName]>,
}

/// What the judge looks at.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// The least that is known of its body's length.
    pub(crate) at_least: u64,
    pub(crate) origin: Option<&'a HeaderValue>,
    pub(crate) now: SystemTime,
    pub(crate) params: Params<'a>,
}

/// Judges an answer.
pub(crate) fn judge(policy: &Compiled, answer: &Answer<'_>, hint: Hint) -> Result<Terms, Refusal> {
    if hint.no_store {
        return Err(Refusal::Hint);
    }
    let allowed = policy.ttl_of(answer.status).ok_or(Refusal::Status)?;
    whole(policy, answer)?;
    shareable(policy, answer.headers)?;
    let directives = match policy.override_cache_control {
        true => Directives::default(),
        false => permitted(answer.headers)?,
    };
    let vary = match vary::of(answer.headers, answer.origin) {
        Vary::On(names) => names,
        Vary::Any => return Err(Refusal::VaryAny),
        Vary::TooMany => return Err(Refusal::TooManyVariants),
    };
    let tags = tags(policy, answer, hint.tags)?;
    let age = age_of(answer.headers);
    let said = match policy.override_cache_control {
        true => None,
        false => said(&directives, answer.headers, answer.now),
    };
    let ttl = lifetime(hint.ttl, allowed, said, age);
    if ttl.is_zero() {
        return Err(Refusal::ZeroTtl);
    }
    Ok(Terms {
        ttl,
        age,
        tags,
        vary,
    })
}

fn whole(policy: &Compiled, answer: &Answer<'_>) -> Result<(), Refusal> {
    if answer.headers.contains_key(header::CONTENT_RANGE) {
        return Err(Refusal::Partial);
    }
    let stream = |value: &HeaderValue| {
        contains(value.as_bytes(), b"text/event-stream")
            || contains(value.as_bytes(), b"application/grpc")
            || contains(value.as_bytes(), b"multipart/x-mixed-replace")
    };
    let incremental = answer.headers.get("incremental");
    if answer
        .headers
        .get_all(header::CONTENT_TYPE)
        .iter()
        .any(stream)
        || incremental.is_some_and(|v| v.as_bytes().trim_ascii().starts_with(b"?1"))
    {
        return Err(Refusal::Streaming);
    }
    if answer.at_least > policy.max_body as u64 {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

fn shareable(policy: &Compiled, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::SET_COOKIE) || headers.contains_key("set-cookie2") {
        return Err(Refusal::SetCookie);
    }
    if headers.keys().any(|name| policy.credentials.contains(name)) {
        return Err(Refusal::Credential);
    }
    if has_nonce(headers) {
        return Err(Refusal::CspNonce);
    }
    Ok(())
}

fn permitted(headers: &HeaderMap) -> Result<Directives, Refusal> {
    let directives = Directives::of(headers);
    if directives.no_store {
        return Err(Refusal::NoStore);
    }
    if directives.private {
        return Err(Refusal::Private);
    }
    if directives.no_cache {
        return Err(Refusal::NoCache);
    }
    if directives.malformed {
        return Err(Refusal::Malformed);
    }
    Ok(directives)
}

fn tags(
    policy: &Compiled,
    answer: &Answer<'_>,
    hinted: Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let mut tags = hinted;
    for template in &policy.tags {
        match template.render(&answer.params, str::to_owned) {
            Ok(tag) => tags.push(tag),
            Err(missing) => {
                tracing::warn!(
                    target: "larder", template = template.source(), %missing,
                    "an answer is not stored: its tag cannot be made"
                );
                return Err(Refusal::Template);
            }
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

fn lifetime(
    hinted: Option<Duration>,
    allowed: Duration,
    said: Option<Duration>,
    age: Duration,
) -> Duration {
    match (hinted, said) {
        (Some(hinted), _) => hinted.min(LONGEST),
        (None, Some(said)) => allowed.min(said.saturating_sub(age)),
        (None, None) => allowed,
    }
}

/// The lifetime that the handler states: `Cache-Control`, else `Expires`, of
/// which anything but one date is in the past (RFC 9111, 5.3).
fn said(directives: &Directives, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = directives.lifetime() {
        return Some(Duration::from_secs(seconds));
    }
    let mut dates = headers.get_all(header::EXPIRES).iter();
    let date = match (dates.next()?, dates.next()) {
        (date, None) => date
            .to_str()
            .ok()
            .and_then(|text| httpdate::parse_http_date(text).ok()),
        _ => None,
    };
    let left = date.and_then(|date| date.duration_since(now).ok());
    Some(left.unwrap_or_default())
}

/// The `Age` an answer came with, from a cache further in (RFC 9111, 5.1). One
/// that is no number counts as none; of several the largest counts.
fn age_of(headers: &HeaderMap) -> Duration {
    let read = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<u32>().ok();
    let ages = headers.get_all(header::AGE).iter().filter_map(read);
    Duration::from_secs(ages.max().unwrap_or(0).into())
}
