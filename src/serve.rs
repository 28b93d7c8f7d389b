//! The story of a request.
//!
//! ```text
//! request -> ask: policy, admission, key     (service.rs, ask.rs)
//!    |          | no                                  -> bypass: the handler, as if there were no cache
//!    |          v
//!    |       memory -> fresh                          -> hit
//!    |          v
//!    |       store  -> fresh                          -> hit, kept in memory
//!    |          v
//!    |       note -> handler -> judge -> refused      -> the answer as it is
//!    |                            '-> terms           -> the answer, recorded on its way, then kept
//!    '- unsafe: handler -> it may have written        -> invalidate, then the answer
//! ```

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, StatusCode, header, response};
use http_body::Body;
use tower::util::Oneshot;
use tower_service::Service;

use crate::ask::Question;
use crate::cache::{Engine, Writing};
use crate::entry::{Entry, ResponseBody};
use crate::error::BoxError;
use crate::fill::{Made, Route};
use crate::generation::Generation;
use crate::known::number_value;
use crate::layer::Shared;
use crate::nested;
use crate::outcome::{Bypass, Cause, Outcome, Refusal, Tier};
use crate::policy::{Compiled, Hint, response as judge};

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// One request on its way.
pub(crate) struct Serve<S> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared>,
    /// A layer of the same cache is further out.
    pub(crate) nested: bool,
}

impl<S> Serve<S> {
    /// A request that memory could not answer.
    pub(crate) async fn read<R, B>(
        self,
        mut question: Question,
        cause: Cause,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let engine = &self.shared.engine;
        let (mut parts, body) = request.into_parts();
        let family = question.family(&self.shared, &parts);

        let look = engine.look_store(&mut question, &family, &parts.headers, cause);
        let cause = match look.await {
            Ok(found) => {
                let head = question.head;
                let spare = std::mem::take(&mut parts.extensions);
                let mut response = hit(
                    engine,
                    &found.entry,
                    found.times(),
                    Tier::Redis,
                    head,
                    spare,
                );
                nested::mark(&mut response, self.nested, engine);
                return Ok(response);
            }
            Err(cause) => cause,
        };
        // in a box of its own: what the store answers pays nothing for it
        let request = Request::from_parts(parts, body);
        Box::pin(self.fill(question, family, cause, request)).await
    }

    /// Nothing stored can answer: the handler does.
    async fn fill<R, B>(
        self,
        question: Question,
        family: Arc<str>,
        cause: Cause,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let engine = &self.shared.engine;
        let (mut parts, body) = request.into_parts();
        let route = Route::of(&self.shared, family, &parts);
        let note = engine.generations.note(); // before the handler starts
        question.policy.hide(&mut parts.headers);
        let seen = parts.headers.clone();
        let request = Request::from_parts(parts, body);
        let response = forward(self.inner, request, &self.shared).await?;
        if nested::decided(&response, engine) {
            return Ok(response.map(ResponseBody::inner));
        }
        let filled = Filled {
            question,
            cause,
            note,
            seen,
            route,
        };
        let mut response = filled.answer(engine, response);
        nested::mark(&mut response, self.nested, engine);
        Ok(response)
    }

    /// A request that does not take part in caching.
    pub(crate) async fn pass<R, B>(self, reason: Bypass, request: Request<R>) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
    {
        let response = forward(self.inner, request, &self.shared).await?;
        Ok(passed(&self.shared.engine, response, reason, self.nested))
    }

    /// A request with an unsafe method, under a policy.
    pub(crate) async fn write<R, B>(
        self,
        policy: Arc<Compiled>,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
    {
        let engine = &self.shared.engine;
        // from here on, a handler that is dropped, panics or fails invalidates too
        let writing = Writing::new(engine, Route::targets(&self.shared, &policy, &request));
        let response = forward(self.inner, request, &self.shared).await?;
        match may_have_written(response.status()) {
            true => writing.invalidate().await,
            false => writing.disarm(),
        }
        Ok(passed(engine, response, Bypass::Method, self.nested))
    }
}

/// What is known when the handler has answered.
struct Filled {
    question: Question,
    cause: Cause,
    note: Generation,
    /// The request's fields as the handler saw them.
    seen: HeaderMap,
    route: Route,
}

impl Filled {
    fn answer<B>(self, engine: &Arc<Engine>, response: Response<B>) -> Response<ResponseBody<B>>
    where
        B: Body<Data = Bytes>,
    {
        let (mut parts, body) = response.into_parts();
        let (status, cause) = (parts.status, self.cause);
        let hint = Hint::of(&parts.extensions);
        let judged = self.judge(&parts, &body, hint, engine.clock.wall());
        let stored = judged.as_ref().map(|_| ()).map_err(|refusal| *refusal);
        let body = match judged {
            Err(_) => ResponseBody::inner(body),
            Ok((terms, declared)) => {
                let made = Made {
                    question: self.question,
                    note: self.note,
                    seen: self.seen,
                    route: self.route,
                    terms,
                };
                ResponseBody::recorded(body, made.record(engine, &mut parts, declared))
            }
        };
        let outcome = Outcome::Miss {
            cause,
            stored,
            status,
        };
        finish(engine, parts, body, outcome)
    }

    /// The terms of storing, and the length that the answer declares.
    fn judge<B: Body>(
        &self,
        parts: &response::Parts,
        body: &B,
        hint: Hint,
        now: SystemTime,
    ) -> Result<(judge::Terms, Option<u64>), Refusal> {
        if self.question.head {
            return Err(Refusal::Head);
        }
        let hinted = body.size_hint();
        let declared = declared(&parts.headers)?.or(hinted.exact());
        let answer = judge::Answer {
            status: parts.status,
            headers: &parts.headers,
            at_least: hinted.lower().max(declared.unwrap_or(0)),
            origin: self.seen.get(header::ORIGIN),
            now,
            params: self.route.params(),
        };
        let terms = judge::judge(&self.question.policy, &answer, hint)?;
        Ok((terms, declared))
    }
}

fn declared(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let number = value.to_str().ok().and_then(|text| text.parse().ok());
            number.map(Some).ok_or(Refusal::Malformed)
        }
        _ => Err(Refusal::Malformed),
    }
}

/// A success or redirect has done what was asked (RFC 9111, 4.4); one that ran
/// out of time may have.
fn may_have_written(status: StatusCode) -> bool {
    status.is_success()
        || status.is_redirection()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::GATEWAY_TIMEOUT
}

/// Readies a clone of the inner service and calls it.
fn forward<S, R>(inner: S, mut request: Request<R>, shared: &Shared) -> Oneshot<S, Request<R>>
where
    S: Service<Request<R>>,
{
    nested::enclose(&mut request, &shared.engine);
    Oneshot::new(inner, request)
}

/// A response made of an entry. `times` are its age and what is left of its
/// freshness, in milliseconds; `spare` are extensions whose room is used again.
#[inline]
pub(crate) fn hit<B>(
    engine: &Engine,
    entry: &Entry,
    times: (u64, u64),
    tier: Tier,
    head: bool,
    spare: Extensions,
) -> Response<ResponseBody<B>> {
    let (age, ttl) = times;
    let mut response = Response::new(match head {
        true => ResponseBody::empty(),
        false => ResponseBody::stored(entry.body.clone()),
    });
    *response.status_mut() = entry.status;
    let outcome = Outcome::Hit {
        tier,
        age: std::time::Duration::from_millis(age),
        ttl: std::time::Duration::from_millis(ttl),
    };
    let status = engine.status.of_hit(tier, ttl / 1000);
    *response.headers_mut() = entry.fields.to_map(number_value(age / 1000), status);
    seen(engine, &outcome);
    let mut extensions = spare;
    extensions.clear();
    extensions.insert(outcome);
    *response.extensions_mut() = extensions;
    response
}

/// The inner service's answer to a request that bypassed.
fn passed<B>(
    engine: &Engine,
    response: Response<B>,
    reason: Bypass,
    nested: bool,
) -> Response<ResponseBody<B>> {
    // a layer that only invalidates leaves storing to the one further out
    let undecided = nested && reason == Bypass::NotCached;
    if undecided || nested::decided(&response, engine) {
        return response.map(ResponseBody::inner);
    }
    let (parts, body) = response.into_parts();
    let outcome = Outcome::Bypass {
        reason,
        status: parts.status,
    };
    let mut response = finish(engine, parts, ResponseBody::inner(body), outcome);
    nested::mark(&mut response, nested, engine);
    response
}

fn finish<B>(
    engine: &Engine,
    mut parts: response::Parts,
    body: ResponseBody<B>,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    engine.status.write(&mut parts.headers, &outcome);
    seen(engine, &outcome);
    parts.extensions.insert(outcome);
    Response::from_parts(parts, body)
}

/// Counts an outcome and tells it.
#[inline]
fn seen(engine: &Engine, outcome: &Outcome) {
    engine.counters.request(outcome);
    tracing::debug!(target: "larder", ?outcome, "request");
}
