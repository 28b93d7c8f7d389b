//! When the handler has answered: judge and record, or let what is stale stand
//! in for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Response, StatusCode, header, response};
use http_body::Body;

use crate::body::ResponseBody;
use crate::cache::{Engine, Leased, Stale};
use crate::entry::{Entry, Held};
use crate::fill::{Made, Prepared};
use crate::flight::{ALONE, Drive, Landing};
use crate::generation::Generation;
use crate::inner::Content;
use crate::instead::Instead;
use crate::observe::compare;
use crate::outcome::{Cause, Outcome, Refusal, Staleness};
use crate::policy::{FailureKind, Hint, response as judge, tag_fields};
use crate::question::Question;
use crate::reply;
use crate::route::Route;

/// What is known then.
pub(crate) struct Answered {
    pub(crate) question: Question,
    pub(crate) cause: Cause,
    /// From before the handler started.
    pub(crate) note: Generation,
    /// When that was (`Flights::begins`).
    pub(crate) began: i64,
    /// The request's fields as the handler saw them, but for those that validate.
    pub(crate) seen: HeaderMap,
    pub(crate) route: Route,
    /// How long the handler took.
    pub(crate) took: Duration,
    /// What is stored and not fresh.
    pub(crate) stale: Option<Box<Stale>>,
    /// The handler was asked whether that still holds.
    pub(crate) validating: bool,
    /// It is a request's answer, and no renewal's.
    pub(crate) counted: bool,
    /// Evenly random, from 0 to 1.
    pub(crate) chance: f64,
    /// The right to fill, among instances.
    pub(crate) lease: Option<Leased>,
    /// The TTL that the policy has come to, where it adapts.
    pub(crate) adapted: Option<Duration>,
    /// The tags that the answer's own fields name.
    pub(crate) named: Result<Vec<String>, Refusal>,
}

impl Answered {
    /// What the client gets, and what drives its recording, if it is recorded.
    pub(crate) fn answer<B>(
        mut self,
        engine: &Arc<Engine>,
        mut response: Response<B>,
        landing: Landing,
    ) -> (Response<ResponseBody<B>>, Option<Drive>)
    where
        B: Content,
    {
        self.name_tags(response.headers_mut());
        let status = response.status();
        if is_failure(status) && self.stale.is_some() {
            engine
                .flights
                .throttle(self.question.place(), engine.now(), false);
        }
        if is_failure(status)
            && let Some(response) = self.stand_in(engine, Some(status))
        {
            return (response, None); // those who wait have their own
        }
        if is_failure(status)
            && let Some(response) = self.fall_back(engine, FailureKind::Status, Some(status))
        {
            return (response, None);
        }
        if is_failure(status) && !self.counted && self.instead(engine).stands(false) {
            // nobody waits for it, and what may stand in for it stays
            return (response.map(ResponseBody::inner), None);
        }
        match self.stale.take() {
            Some(stale) if self.validating && status == StatusCode::NOT_MODIFIED => {
                (self.renewed(engine, &stale, response, landing), None)
            }
            Some(stale) if self.question.head && status.is_success() => {
                (self.heard_of(engine, &stale, response), None)
            }
            stale => {
                self.stale = stale;
                self.filled(engine, response, landing)
            }
        }
    }

    /// Takes the answer's own tags out of its fields.
    pub(crate) fn name_tags(&mut self, headers: &mut HeaderMap) {
        self.named = tag_fields::take(&self.question.policy.tag_fields, headers);
    }

    fn instead<'a>(&'a self, engine: &'a Engine) -> Instead<'a> {
        Instead {
            engine,
            question: &self.question,
            stale: self.stale.as_deref(),
            cause: self.cause,
            seen: &self.seen,
        }
    }

    /// The stale response that may answer in place of a handler that failed, by
    /// `status` or, without one, by an error of the service.
    pub(crate) fn stand_in<B>(
        &self,
        engine: &Engine,
        status: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let instead = self.counted.then(|| self.instead(engine))?;
        instead.stale(Staleness::IfError, status, status.is_none())
    }

    /// The policy's own answer in place of a handler that failed. Nobody waits for
    /// a renewal's.
    pub(crate) fn fall_back<B>(
        &self,
        engine: &Engine,
        kind: FailureKind,
        status: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let instead = self.counted.then(|| self.instead(engine))?;
        instead.fallback(self.route.uri(), kind, status)
    }

    /// The handler did not answer in time.
    pub(crate) fn too_late<B>(&self, engine: &Engine) -> Response<ResponseBody<B>> {
        if !self.counted {
            let mut nobodys = Response::new(ResponseBody::empty());
            *nobodys.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            return nobodys;
        }
        let stale = self.stand_in(engine, None);
        let served = stale.or_else(|| self.fall_back(engine, FailureKind::Timeout, None));
        served.unwrap_or_else(|| self.instead(engine).too_late())
    }

    /// The handler has made a response: it is judged, and recorded if it may be
    /// stored.
    fn filled<B>(
        self,
        engine: &Arc<Engine>,
        response: Response<B>,
        landing: Landing,
    ) -> (Response<ResponseBody<B>>, Option<Drive>)
    where
        B: Content,
    {
        let (mut parts, body) = response.into_parts();
        let (status, cause, counted) = (parts.status, self.cause, self.counted);
        let hint = Hint::of(&parts.extensions);
        let judged = self.judge(engine, &parts, &body, hint);
        if matches!(judged, Err(Refusal::Template)) {
            self.tell_of_template(engine);
        }
        let stored = match &judged {
            Ok(_) if self.question.observed.is_some() => Err(Refusal::Observed),
            // those who wait share it all the same
            Ok(_) if !engine.has_place(self.question.policy.memory_only) => Err(Refusal::NoRoom),
            judged => judged.as_ref().map(|_| ()).map_err(|refusal| *refusal),
        };
        let mut key = None;
        let (body, drive) = match judged {
            Err(refusal) => {
                if let Some(stored) = self.compares() {
                    compare(engine, stored, (status, &parts.headers), None);
                }
                if let Some(stale) = self.superseded(status) {
                    engine.discard(&stale);
                }
                if refusal == Refusal::Authorization {
                    engine
                        .flights
                        .set_apart(self.question.place(), engine.now());
                }
                self.refused(engine, (status, refusal), landing);
                (ResponseBody::inner(body), None)
            }
            Ok((terms, declared)) => {
                let stale = self.superseded(status);
                let prepared = self.made(terms).prepare(engine, &mut parts, declared);
                let prepared = prepared.supersedes(stale);
                key = Some(prepared.fill.entry.key.clone());
                let (body, drive) = prepared.record(engine, landing, body);
                (body, Some(drive))
            }
        };
        let outcome = Outcome::Miss {
            cause,
            stored,
            status,
        };
        let mut response = match counted {
            true => reply::finish(engine, parts, body, outcome),
            false => reply::said(engine, parts, body, outcome),
        };
        if let Some(key) = key {
            engine.status.tell_key(response.headers_mut(), &key);
        }
        (response, drive)
    }

    /// What the answer is compared with.
    fn compares(&self) -> Option<&Entry> {
        let observed = self.question.observed.as_ref();
        observed?.against.as_deref()
    }

    /// Lands without an entry.
    pub(crate) fn refused(
        &self,
        engine: &Engine,
        (status, refusal): (StatusCode, Refusal),
        landing: Landing,
    ) {
        if status.is_server_error() {
            return; // it has failed: another one may do better
        }
        let until = alone_until(engine, status, refusal);
        if let (Some(lease), Some(_)) = (&self.lease, until) {
            lease.alone();
        }
        landing.alone(until);
    }

    /// What is stale and goes, where the handler has something else by now which is
    /// not stored: no window speaks for it any more.
    fn superseded(&self, status: StatusCode) -> Option<Arc<Held>> {
        let whole = status.as_u16() < 400 && !matches!(status.as_u16(), 206 | 304);
        let gone = status == StatusCode::NOT_FOUND || status == StatusCode::GONE;
        let ends = (whole || gone) && !self.question.head;
        let stale = self.stale.as_deref().filter(|_| ends)?;
        let over = stale.age >= stale.held.entry.lifetime.fresh;
        over.then(|| Arc::clone(&stale.held))
    }

    /// The answer to a POST that stands for a GET, if it may be stored: it must
    /// state its own freshness (RFC 9110, 9.3.3).
    pub(crate) fn posted<B: Body>(
        mut self,
        engine: &Engine,
        parts: &mut response::Parts,
        body: &B,
    ) -> Option<Prepared> {
        self.name_tags(&mut parts.headers);
        let stated = judge::states_freshness(&self.question.policy, &parts.headers);
        let hint = Hint::of(&parts.extensions);
        let judged = self.judge(engine, parts, body, hint);
        let (terms, declared) = judged.ok().filter(|_| stated)?;
        Some(self.made(terms).prepare(engine, parts, declared))
    }

    /// A tag of the policy's cannot be made.
    #[cold]
    fn tell_of_template(&self, engine: &Engine) {
        let Some(times) = engine.faults.untagged.happened(engine.now()) else {
            return;
        };
        let params = self.route.params();
        for tag in &self.question.policy.tags {
            if let Err(missing) = tag.render(&params, str::to_owned) {
                tracing::warn!(
                    target: "larder", route = params.route(), tag = tag.source(), %missing, times,
                    "an answer is not stored: its tag cannot be made"
                );
            }
        }
    }

    pub(crate) fn made(self, terms: judge::Terms) -> Made {
        Made {
            question: self.question,
            note: self.note,
            began: self.began,
            seen: self.seen,
            route: self.route,
            terms,
            lease: self.lease,
            took: self.took,
        }
    }

    /// The terms of storing, and the length that the answer declares.
    fn judge<B: Body>(
        &self,
        engine: &Engine,
        parts: &response::Parts,
        body: &B,
        hint: Hint,
    ) -> Result<(judge::Terms, Option<u64>), Refusal> {
        if self.question.head {
            return Err(Refusal::Head);
        }
        let hinted = body.size_hint();
        let declared = declared(&parts.headers)?.or(hinted.exact());
        let at_least = hinted.lower().max(declared.unwrap_or(0));
        let now = engine.clock.wall();
        let terms = self.terms(parts.status, &parts.headers, at_least, hint, now)?;
        let memory_only = self.question.policy.memory_only;
        if !engine.in_flight.may_hold(at_least) || !engine.may_keep(at_least, memory_only) {
            return Err(Refusal::NoRoom); // however long it waited
        }
        Ok((terms, declared))
    }

    pub(crate) fn terms(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        at_least: u64,
        hint: Hint,
        now: SystemTime,
    ) -> Result<judge::Terms, Refusal> {
        let answer = judge::Answer {
            status,
            headers,
            at_least,
            request: &self.seen,
            authorized: self.question.asks.authorized,
            now,
            chance: self.chance,
            took: self.took,
            params: self.route.params(),
            adapted: self.adapted,
            named: self.named.as_deref().map_err(|refusal| *refusal),
        };
        judge::judge(&self.question.policy, &answer, hint)
    }
}

/// How long nobody waits for an answer of this kind again, where one like it is
/// expected: until then, in milliseconds on the clock. An error that one request
/// may have provoked says nothing of the others'.
fn alone_until(engine: &Engine, status: StatusCode, refusal: Refusal) -> Option<u64> {
    let the_requests_own = matches!(refusal, Refusal::Head | Refusal::Authorization);
    let of_another = refusal == Refusal::Validator; // which may be stored yet
    let the_resources = status.as_u16() < 400 || matches!(status.as_u16(), 404 | 410);
    (the_resources && !the_requests_own && !of_another).then(|| engine.now() + ALONE)
}

/// The statuses of a handler that failed (RFC 5861, 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

pub(crate) fn declared(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
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
