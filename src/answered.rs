//! When the handler has answered: judge and record, or let what is stale stand
//! in for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Response, StatusCode, header, response};
use http_body::Body;

use crate::ask::Question;
use crate::body::ResponseBody;
use crate::cache::{Engine, Leased, Stale};
use crate::fill::{Made, Prepared, Route};
use crate::flight::{ALONE, Drive, Landing};
use crate::generation::Generation;
use crate::guard;
use crate::inner::Content;
use crate::outcome::{Cause, Outcome, Refusal, Staleness};
use crate::policy::freshness::stands_in;
use crate::policy::{Failure, Hint, response as judge};
use crate::reply;

/// What is known then.
pub(crate) struct Answered {
    pub(crate) question: Question,
    pub(crate) cause: Cause,
    /// From before the handler started.
    pub(crate) note: Generation,
    /// The request's fields as the handler saw them, but for those that validate.
    pub(crate) seen: HeaderMap,
    pub(crate) route: Route,
    /// How long the handler took.
    pub(crate) took: Duration,
    /// What is stored and not fresh.
    pub(crate) stale: Option<Stale>,
    /// The handler was asked whether that still holds.
    pub(crate) validating: bool,
    /// It is a request's answer, and no renewal's.
    pub(crate) counted: bool,
    /// Evenly random, from 0 to 1.
    pub(crate) chance: f64,
    /// The right to fill, among instances.
    pub(crate) lease: Option<Leased>,
}

impl Answered {
    /// What the client gets, and what drives its recording, if it is recorded.
    pub(crate) fn answer<B>(
        mut self,
        engine: &Arc<Engine>,
        response: Response<B>,
        landing: Landing,
    ) -> (Response<ResponseBody<B>>, Option<Drive>)
    where
        B: Content,
    {
        let status = response.status();
        if is_failure(status) && self.stale.is_some() {
            engine.flights.throttle(self.question.place(), engine.now());
        }
        if is_failure(status)
            && let Some(response) = self.stand_in(engine, Some(status))
        {
            return (response, None); // those who wait have their own
        }
        if is_failure(status)
            && let Some(response) = self.fall_back(engine, Some(status))
        {
            landing.alone(None);
            return (response, None);
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

    /// The stale response that may answer in place of a handler that failed, by
    /// `status` or, without one, by an error of the service.
    pub(crate) fn stand_in<B>(
        &self,
        engine: &Engine,
        status: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let stale = self.stale.as_ref().filter(|_| self.counted)?;
        let entry = &stale.held.entry;
        let wish = self.question.asks.wish.as_ref();
        let unreachable = status.is_none() && self.question.policy.http;
        if !stands_in(&entry.lifetime, entry.rules, stale.age, wish, unreachable) {
            return None;
        }
        let (head, why) = (self.question.head, (Staleness::IfError, self.cause));
        let response = reply::stale(engine, stale, why, status, head);
        let (policy, asks) = (&self.question.policy, &self.question.asks);
        Some(reply::shape(
            response,
            policy,
            &stale.held.coded,
            &self.seen,
            asks,
        ))
    }

    /// The policy's own answer in place of a handler that failed.
    pub(crate) fn fall_back<B>(
        &self,
        engine: &Engine,
        status: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let fallback = self.question.policy.fallback.as_ref();
        let fallback = fallback.filter(|_| self.counted)?; // nobody waits for a renewal's
        let failure = Failure {
            uri: self.route.uri(),
            headers: &self.seen,
            status,
        };
        let response = guard::call(|| fallback(&failure)).flatten()?;
        let (parts, body) = response.into_parts();
        let outcome = Outcome::Miss {
            cause: self.cause,
            stored: Err(Refusal::Fallback),
            status: status.unwrap_or(parts.status),
        };
        let body = match self.question.head {
            true => ResponseBody::empty(),
            false => ResponseBody::stored(body),
        };
        Some(reply::finish(engine, parts, body, outcome))
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
        let judged = self.judge(&parts, &body, hint, engine.clock.wall());
        let stored = judged.as_ref().map(|_| ()).map_err(|refusal| *refusal);
        let mut key = None;
        let (body, drive) = match judged {
            Err(refusal) => {
                self.supersede(engine, status);
                let until = alone_until(engine, status, refusal);
                if let (Some(lease), Some(_)) = (&self.lease, until) {
                    lease.alone();
                }
                landing.alone(until);
                (ResponseBody::inner(body), None)
            }
            Ok((terms, declared)) => {
                let prepared = self.made(terms).prepare(engine, &mut parts, declared);
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

    /// Drops what is stale where the handler has something else by now, which is
    /// not stored: no window speaks for it any more.
    fn supersede(&self, engine: &Arc<Engine>, status: StatusCode) {
        let whole = status.as_u16() < 400 && !matches!(status.as_u16(), 206 | 304);
        let gone = status == StatusCode::NOT_FOUND || status == StatusCode::GONE;
        if let Some(stale) = &self.stale
            && (whole || gone)
            && !self.question.head
            && stale.age >= stale.held.entry.lifetime.fresh
        {
            engine.discard(&stale.held);
        }
    }

    /// The answer to a POST that stands for a GET, if it may be stored: it must
    /// state its own freshness (RFC 9110, 9.3.3).
    pub(crate) fn posted<B: Body>(
        self,
        engine: &Engine,
        parts: &mut response::Parts,
        body: &B,
    ) -> Option<Prepared> {
        let stated = judge::states_freshness(&self.question.policy, &parts.headers);
        let hint = Hint::of(&parts.extensions);
        let judged = self.judge(parts, body, hint, engine.clock.wall());
        let (terms, declared) = judged.ok().filter(|_| stated)?;
        Some(self.made(terms).prepare(engine, parts, declared))
    }

    pub(crate) fn made(self, terms: judge::Terms) -> Made {
        Made {
            question: self.question,
            note: self.note,
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
        let at_least = hinted.lower().max(declared.unwrap_or(0));
        let terms = self.terms(parts.status, &parts.headers, at_least, hint, now)?;
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
        };
        judge::judge(&self.question.policy, &answer, hint)
    }
}

/// How long nobody waits for an answer of this kind again, where one like it is
/// expected: until then, in milliseconds on the clock.
fn alone_until(engine: &Engine, status: StatusCode, refusal: Refusal) -> Option<u64> {
    let the_requests_own = matches!(refusal, Refusal::Head | Refusal::Authorization);
    let expected = !the_requests_own && !status.is_server_error();
    expected.then(|| engine.now() + ALONE)
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
