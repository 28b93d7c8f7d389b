//! What answers in place of a fill that gave nothing: something stale, the
//! policy's own fallback, or 504.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};

use crate::body::ResponseBody;
use crate::cache::guard::{self, Callback};
use crate::cache::{Engine, Missed, Stale};
use crate::flight::Flight;
use crate::nested;
use crate::outcome::{Bypass, Cause, Outcome, Refusal, Staleness};
use crate::policy::freshness::stands_in;
use crate::policy::{Failure, FailureKind};
use crate::question::Question;
use crate::reply;
use crate::shared::Shared;
use crate::way::Serve;

/// A request whose fill gave nothing.
pub(crate) struct Instead<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) question: &'a Question,
    /// What is stored and not fresh.
    pub(crate) stale: Option<&'a Stale>,
    pub(crate) cause: Cause,
    /// The request's fields.
    pub(crate) seen: &'a HeaderMap,
}

/// A request that may be answered before its own fill.
pub(crate) struct Late {
    shared: Arc<Shared>,
    question: Question,
    missed: Missed,
    headers: HeaderMap,
    nested: bool,
}

impl Late {
    pub(crate) fn new<S, R>(
        serve: &Serve<S>,
        question: &Question,
        missed: &Missed,
        request: &Request<R>,
    ) -> Self {
        Self {
            shared: Arc::clone(&serve.shared),
            question: question.clone(),
            missed: missed.clone(),
            headers: request.headers().clone(),
            nested: serve.nested,
        }
    }

    /// What is stale, unless the fill has its answer by now; that goes on alone.
    pub(crate) fn response<B>(&self, flight: &Arc<Flight>) -> Option<Response<ResponseBody<B>>> {
        let (engine, instead) = (&self.shared.engine, self.instead());
        let stale = instead.standing(false)?;
        if !flight.leave_behind() {
            return None;
        }
        engine.watch_over(flight, self.question.policy.wait);
        let mut response = instead.serve(&stale, Staleness::Timeout, None);
        nested::mark(&mut response, self.nested, engine);
        Some(response)
    }

    /// What is stale, for the service is out of reach.
    pub(crate) fn unreached<B>(&self) -> Option<Response<ResponseBody<B>>> {
        let mut response = self.instead().stale(Staleness::IfError, None, true)?;
        nested::mark(&mut response, self.nested, &self.shared.engine);
        Some(response)
    }

    /// No time is left.
    pub(crate) fn too_late<B>(&self) -> Response<ResponseBody<B>> {
        let mut response = self.instead().too_late();
        nested::mark(&mut response, self.nested, &self.shared.engine);
        response
    }

    fn instead(&self) -> Instead<'_> {
        Instead {
            engine: &self.shared.engine,
            question: &self.question,
            stale: self.missed.stale.as_deref(),
            cause: self.missed.cause,
            seen: &self.headers,
        }
    }
}

impl Instead<'_> {
    /// Whether something stale may stand in. Where the service is `unreached`,
    /// `Policy::http()` asks for less (RFC 9111, 4.2.4).
    pub(crate) fn stands(&self, unreached: bool) -> bool {
        self.standing(unreached).is_some()
    }

    /// The same as it is now: it has aged since it was found, and may have been
    /// invalidated.
    fn standing(&self, unreached: bool) -> Option<Stale> {
        let unreachable = unreached && self.question.policy.http;
        let stale = self.stale?;
        let entry = &stale.held.entry;
        let age = stale.held.age(self.engine.now());
        let wish = self.question.asks.wish.as_deref();
        let stands = stands_in(&entry.lifetime, entry.rules, age, wish, unreachable)
            && stale.held.valid(&self.engine.generations);
        stands.then(|| Stale {
            age,
            ..stale.clone()
        })
    }

    /// The stale response that may stand in. `status` is what the handler
    /// answered, where it did.
    pub(crate) fn stale<B>(
        &self,
        why: Staleness,
        status: Option<StatusCode>,
        unreached: bool,
    ) -> Option<Response<ResponseBody<B>>> {
        let stale = self.standing(unreached)?;
        Some(self.serve(&stale, why, status))
    }

    fn serve<B>(
        &self,
        stale: &Stale,
        why: Staleness,
        status: Option<StatusCode>,
    ) -> Response<ResponseBody<B>> {
        let (policy, asks) = (&self.question.policy, &self.question.asks);
        let why = (why, self.cause);
        let response = reply::stale(self.engine, stale, why, status, self.question.head);
        reply::shape(response, policy, &stale.held.coded, self.seen, asks)
    }

    /// The policy's own answer.
    pub(crate) fn fallback<B>(
        &self,
        uri: &Uri,
        kind: FailureKind,
        status: Option<StatusCode>,
    ) -> Option<Response<ResponseBody<B>>> {
        let fallback = self.question.policy.fallback.as_ref()?;
        let failure = Failure {
            uri,
            headers: self.seen,
            kind,
            status,
        };
        let response =
            guard::call(self.engine, Callback::Fallback, || fallback(&failure)).flatten()?;
        let (mut parts, body) = response.into_parts();
        if self.question.head && parts.status != StatusCode::NO_CONTENT {
            // that of a GET (RFC 9110, 8.6)
            let length = parts.headers.entry(header::CONTENT_LENGTH);
            length.or_insert_with(|| HeaderValue::from(body.len()));
        }
        let status = status.unwrap_or(parts.status);
        let outcome = match kind {
            FailureKind::Crowded => Outcome::Bypass {
                reason: Bypass::Crowded,
                status,
            },
            _ => Outcome::Miss {
                cause: self.cause,
                stored: Err(Refusal::Fallback),
                status,
            },
        };
        let body = match self.question.head {
            true => ResponseBody::empty(),
            false => ResponseBody::stored(body),
        };
        Some(reply::finish(self.engine, parts, body, outcome))
    }

    /// The answer where there is no other, and no time left for one.
    pub(crate) fn too_late<B>(&self) -> Response<ResponseBody<B>> {
        let (mut parts, body) = Response::new(ResponseBody::empty()).into_parts();
        parts.status = StatusCode::GATEWAY_TIMEOUT;
        let outcome = Outcome::Miss {
            cause: self.cause,
            stored: Err(Refusal::Timeout),
            status: parts.status,
        };
        reply::finish(self.engine, parts, body, outcome)
    }
}
