//! Responses made of entries, and what is said of those that the handler made.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, response};
use http_body::Body;
use tracing::level_filters::LevelFilter;

use crate::body::ResponseBody;
use crate::cache::{Engine, Stale};
use crate::entry::coding::{Coded, choose, is_by_date, is_codable, may_be_coded_outside};
use crate::entry::{Entry, Held};
use crate::hint::rarely;
use crate::nested;
use crate::outcome::{Bypass, Cause, Outcome, Staleness, Tier};
use crate::policy::Compiled;
use crate::policy::conditional::{in_range, is_of_the_whole, left_out, not_modified};
use crate::policy::freshness::Rules;
use crate::policy::range::{Part, describe, part};
use crate::policy::request::Asks;
use crate::status::Told;

/// What a hit in memory says. It is a response where that is taken, and not before: moving
/// one costs as much as filling it.
pub(crate) struct Hit {
    /// Its age and what is left of its freshness, in milliseconds.
    times: (u64, u64),
    tier: Tier,
    head: bool,
    told: Told,
}

impl Hit {
    #[inline]
    pub(crate) fn of(engine: &Engine, times: (u64, u64), tier: Tier, head: bool) -> Self {
        Self {
            told: told(engine, times.1, tier),
            times,
            tier,
            head,
        }
    }

    /// The response of an entry. `spare` are extensions whose room is used again, and `body`
    /// makes the body of what is stored.
    #[inline]
    pub(crate) fn response<B>(
        &self,
        held: Arc<Held>,
        spare: Extensions,
        body: impl FnOnce(Option<Arc<Held>>) -> B,
    ) -> Response<B> {
        let entry = &held.entry;
        let mut response = Response::new(());
        *response.status_mut() = entry.status;
        let said = (self.times.0 / 1000, self.told.value());
        entry.fields.fill(response.headers_mut(), said);
        hit(&mut response, self.times, self.tier, spare);
        response.map(|()| body((!self.head).then_some(held)))
    }
}

/// A response made of an entry that this process holds. `times` are its age and what is left
/// of its freshness, in milliseconds; `spare` are extensions whose room is used
/// again.
pub(crate) fn held<B>(
    engine: &Engine,
    held: Arc<Held>,
    times: (u64, u64),
    tier: Tier,
    head: bool,
    spare: Extensions,
) -> Response<ResponseBody<B>> {
    let key = engine.status.tells_keys().then(|| held.entry.key.clone());
    let hit = Hit::of(engine, times, tier, head);
    let mut response = hit.response(held, spare, ResponseBody::held);
    if let Some(key) = &key {
        engine.status.tell_key(response.headers_mut(), key);
    }
    response
}

/// The same of an entry from the store.
pub(crate) fn found<B>(
    engine: &Engine,
    entry: Box<Entry>,
    times: (u64, u64),
    head: bool,
    spare: Extensions,
) -> Response<ResponseBody<B>> {
    let told = told(engine, times.1, Tier::Redis);
    let Entry {
        fields,
        body,
        status,
        key,
        ..
    } = *entry;
    let mut response = Response::new(match head {
        true => ResponseBody::empty(),
        false => ResponseBody::stored(body),
    });
    *response.status_mut() = status;
    *response.headers_mut() = fields.into_map((times.0 / 1000, told.value()));
    hit(&mut response, times, Tier::Redis, spare);
    if engine.status.tells_keys() {
        engine.status.tell_key(response.headers_mut(), &key);
    }
    response
}

/// This cache's member of `Cache-Status` for a hit.
#[inline]
fn told(engine: &Engine, ttl: u64, tier: Tier) -> Told {
    match rarely(engine.is_outage()) {
        false => engine.status.of_hit(tier, ttl / 1000),
        true => engine.status.of_outage(ttl / 1000),
    }
}

/// Makes a response tell that it is a hit.
#[inline]
fn hit<B>(
    response: &mut Response<B>,
    (age, ttl): (u64, u64),
    tier: Tier,
    mut extensions: Extensions,
) {
    let outcome = Outcome::Hit {
        tier,
        age: Duration::from_millis(age),
        ttl: Duration::from_millis(ttl),
    };
    seen(&outcome);
    extensions.clear();
    extensions.insert(outcome);
    *response.extensions_mut() = extensions;
}

/// A stale entry served all the same: why that is allowed, and why the request
/// asks for more. `status` is what the handler answered, where it was asked.
pub(crate) fn stale<B>(
    engine: &Engine,
    stale: &Stale,
    (why, cause): (Staleness, Cause),
    status: Option<StatusCode>,
    head: bool,
) -> Response<ResponseBody<B>> {
    let entry = &stale.held.entry;
    let outcome = Outcome::Stale {
        why,
        cause,
        age: Duration::from_millis(stale.age),
        over: Duration::from_millis(stale.age.saturating_sub(entry.lifetime.fresh)),
        status,
    };
    let headers = entry.fields.to_map((stale.age / 1000, None));
    seen(&outcome);
    stored(engine, entry, headers, head, outcome)
}

/// A response with an entry's status and body, not told yet.
pub(crate) fn stored<B>(
    engine: &Engine,
    entry: &Entry,
    headers: HeaderMap,
    head: bool,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let mut response = Response::new(match head {
        true => ResponseBody::empty(),
        false => ResponseBody::stored(entry.body.clone()),
    });
    *response.status_mut() = entry.status;
    *response.headers_mut() = headers;
    let (parts, body) = response.into_parts();
    let mut response = said(engine, parts, body, outcome);
    let headers = response.headers_mut();
    engine.status.tell_key(headers, &entry.key);
    response
}

/// The answer where nothing stored may be used and the handler must not be
/// asked (RFC 9111, 5.2.1.7).
pub(crate) fn only_if_cached<B>(engine: &Engine) -> Response<ResponseBody<B>> {
    let (mut parts, body) = Response::new(ResponseBody::empty()).into_parts();
    parts.status = StatusCode::GATEWAY_TIMEOUT;
    let outcome = Outcome::Bypass {
        reason: Bypass::OnlyIfCached,
        status: parts.status,
    };
    finish(engine, parts, body, outcome)
}

/// Gives a stored response the shape that a request asks for: the coding that
/// it accepts, then no more than its conditions and its range want.
#[cold]
pub(crate) fn shape<B>(
    mut response: Response<ResponseBody<B>>,
    policy: &Compiled,
    coded: &[Coded],
    request: &HeaderMap,
    asks: &Asks,
) -> Response<ResponseBody<B>> {
    let mut codable = false;
    if !policy.precompress.is_empty() {
        let len = response.headers().get(CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
        let (status, none) = (response.status(), Rules::default());
        codable = is_codable(status, response.headers(), none, len.unwrap_or(0));
        if codable && let Some(body) = choose(request, response.headers_mut(), coded) {
            response = response.map(|whole| whole.replaced(body));
        }
    }
    match asks.conditional {
        true => {
            let ranged = policy.etag && request.contains_key(RANGE);
            let coded = ranged && may_be_coded_outside(request, response.headers())
                || codable && is_by_date(request, &policy.precompress);
            narrow(response, request, asks.whole || coded)
        }
        false => response,
    }
}

/// Whether the request's answer has to be shaped at all.
#[inline]
pub(crate) fn has_shape(policy: &Compiled, asks: &Asks) -> bool {
    asks.conditional || !policy.precompress.is_empty()
}

/// Narrows a stored response down to what a conditional request or a range
/// asks for: a 304, a part, or a 416 (RFC 9110, 13 and 14). Parts are for GET
/// alone; others get the `whole` (14.2).
fn narrow<B>(
    mut response: Response<ResponseBody<B>>,
    request: &HeaderMap,
    whole: bool,
) -> Response<ResponseBody<B>> {
    if !response.status().is_success() {
        return response; // conditions are for successes alone (RFC 9110, 13.2.1)
    }
    if not_modified(request, response.headers()) {
        return without_body(response, StatusCode::NOT_MODIFIED);
    }
    if whole || response.status() != StatusCode::OK || !in_range(request, response.headers()) {
        return response;
    }
    let body = response.body().stored_bytes();
    match part(request, body.len()) {
        Part::Whole => response,
        Part::Single(range) => {
            describe(response.headers_mut(), &range, body.len());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response.map(|_| ResponseBody::stored(body.slice(range)))
        }
        Part::Unsatisfiable => {
            let content = format!("bytes */{}", body.len());
            let mut response = without_body(response, StatusCode::RANGE_NOT_SATISFIABLE);
            if let Ok(content) = HeaderValue::from_str(&content) {
                response.headers_mut().insert(CONTENT_RANGE, content);
            }
            response
        }
    }
}

pub(crate) fn without_body<B>(
    mut response: Response<ResponseBody<B>>,
    status: StatusCode,
) -> Response<ResponseBody<B>> {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let has_tag = headers.contains_key(ETAG);
    let partial = status == StatusCode::RANGE_NOT_SATISFIABLE;
    let goes = |name: &&HeaderName| left_out(name, has_tag) || (partial && is_of_the_whole(name));
    let out: Vec<_> = headers.keys().filter(goes).cloned().collect();
    for name in out {
        headers.remove(name);
    }
    response.map(|_| ResponseBody::empty())
}

/// Reads a body to its end, for what is recorded of it.
pub(crate) async fn drain<B: Body<Data = Bytes>>(body: B) {
    let mut body = pin!(body);
    while let Some(Ok(_)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
}

/// The same, until nothing has come of it for so long. Whether it came to its end.
pub(crate) async fn drain_within<B: Body<Data = Bytes>>(body: B, longest: Duration) -> bool {
    let mut body = pin!(body);
    loop {
        let next = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx));
        match tokio::time::timeout(longest, next).await {
            Ok(Some(Ok(_))) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// The inner service's answer to a request that bypassed, without the fields that
/// its policy, where it has one, names tags by.
pub(crate) fn passed<B>(
    engine: &Engine,
    policy: Option<&Compiled>,
    response: Response<B>,
    reason: Bypass,
    nested: bool,
) -> Response<ResponseBody<B>> {
    let response = response.map(ResponseBody::inner);
    passed_on(engine, policy, response, reason, nested)
}

/// The same, recorded or not.
pub(crate) fn passed_on<B>(
    engine: &Engine,
    policy: Option<&Compiled>,
    mut response: Response<ResponseBody<B>>,
    reason: Bypass,
    nested: bool,
) -> Response<ResponseBody<B>> {
    // a layer that only invalidates, or has no policy, leaves storing to the one further out
    let leaves = [Bypass::NotCached, Bypass::NoPolicy, Bypass::Unmatched];
    if nested && leaves.contains(&reason) {
        return response;
    }
    for name in policy.map_or(&[][..], |policy| &policy.tag_fields) {
        response.headers_mut().remove(name);
    }
    if nested::decided(&response, engine) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let outcome = Outcome::Bypass {
        reason,
        status: parts.status,
    };
    let mut response = finish(engine, parts, body, outcome);
    nested::mark(&mut response, nested, engine);
    response
}

pub(crate) fn finish<B>(
    engine: &Engine,
    parts: response::Parts,
    body: ResponseBody<B>,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    seen(&outcome);
    said(engine, parts, body, outcome)
}

/// The same for a response that is no request's: it is not told.
pub(crate) fn said<B>(
    engine: &Engine,
    mut parts: response::Parts,
    body: ResponseBody<B>,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    engine.status.write(&mut parts.headers, &outcome);
    parts.extensions.insert(outcome);
    Response::from_parts(parts, body)
}

/// Tells an outcome. It is counted where its response leaves (`stats/ticket.rs`).
#[inline]
pub(crate) fn seen(outcome: &Outcome) {
    if LevelFilter::current() >= LevelFilter::DEBUG {
        tell(outcome);
    }
}

#[cold]
fn tell(outcome: &Outcome) {
    tracing::debug!(target: "larder", ?outcome, "request");
}
