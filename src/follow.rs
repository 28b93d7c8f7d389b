//! What comes of following another request's fill.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, ETAG, RANGE};
use http::{HeaderMap, Request, Response, StatusCode};

use crate::body::ResponseBody;
use crate::cache::Missed;
use crate::entry::{Entry, coding};
use crate::flight::{Flight, Follower, Following, Landed, Opened};
use crate::generation::{Rule, keeps};
use crate::instead::Instead;
use crate::known::number_value;
use crate::nested;
use crate::outcome::{Cause, Outcome, Staleness};
use crate::place::original_uri;
use crate::policy::conditional::not_modified;
use crate::policy::freshness::{Rules, Use, usable};
use crate::policy::{Compiled, FailureKind};
use crate::question::Question;
use crate::reply;
use crate::store::memory::Slot;
use crate::way::Serve;

/// What is known of a flight when a follower need not wait any longer.
pub(crate) type Known = (Option<Arc<Opened>>, Option<Landed>);

/// What a follower has come to.
pub(crate) enum Followed<B> {
    Response(Response<ResponseBody<B>>),
    /// The flight was another's, or is out of date: enter again, perhaps to lead.
    Again,
    /// It gave nothing: enter again, but not for ever.
    Failed,
    /// Nobody can share its answer.
    Alone,
    /// It takes too long.
    Late,
}

impl<S> Serve<S> {
    /// What comes of following another request's fill.
    pub(crate) fn follow<R, B>(
        &self,
        follower: Follower,
        known: Option<Known>,
        waited: Duration,
        question: &mut Question,
        missed: &Missed,
        request: &Request<R>,
    ) -> Followed<B> {
        let engine = &self.shared.engine;
        let Some((opened, landed)) = known else {
            return Followed::Late;
        };
        let mut seen = request.headers().clone();
        question.policy.hide(&mut seen);
        if let Some(opened) = &opened
            && !self.is_for(question, opened, &seen)
        {
            question.vary(&opened.vary, &seen);
            return Followed::Again;
        }
        let note = follower.flight().note;
        let cause = missed.cause;
        let reached = |entry: &Entry| {
            keeps(Rule::FollowerChecked) && engine.generations.reached(entry, note.number)
        };
        let unreached = matches!(landed, Some(Landed::Unreached));
        let mut response = match (opened, landed) {
            (_, Some(Landed::Alone)) => return Followed::Alone,
            (_, Some(Landed::Outdated)) => return Followed::Again,
            // confirmed, or found, and as another variant by now
            (None, Some(Landed::Stored(held))) if !self.is_mine(question, &held.entry, &seen) => {
                return Followed::Again;
            }
            (_, Some(Landed::Stored(held))) => {
                let age = held.age(engine.now());
                if reached(&held.entry) {
                    return Followed::Again;
                }
                if !serves(question, &held.entry, age) {
                    return Followed::Alone;
                }
                let outcome = Outcome::Coalesced {
                    cause,
                    waited,
                    status: held.entry.status,
                };
                let headers = held.entry.fields.to_map((age / 1000, None));
                reply::seen(&outcome);
                let response = reply::stored(engine, &held.entry, headers, question.head, outcome);
                let (policy, asks) = (&question.policy, &question.asks);
                reply::shape(response, policy, &held.coded, request.headers(), asks)
            }
            (Some(opened), None) => {
                if reached(&opened.entry) {
                    return Followed::Again;
                }
                let age = opened.age(engine.now());
                if !serves(question, &opened.entry, age) {
                    return Followed::Alone;
                }
                let times = (age, waited);
                let response = self.streamed(follower, &opened, &question.policy, (cause, times));
                unless_known(response, question, request.headers())
            }
            (_, Some(Landed::TimedOut)) => {
                let kind = FailureKind::Timeout;
                let served = self.without_fill(question, missed, request, kind);
                let instead = self.instead(question, missed, request.headers());
                served.unwrap_or_else(|| instead.too_late())
            }
            (_, Some(Landed::Failed | Landed::Unreached)) | (None, None) => {
                let why = Staleness::IfError;
                let stale = self.stale(question, missed, request, why, unreached);
                return stale.map_or(Followed::Failed, Followed::Response);
            }
        };
        nested::mark(&mut response, self.nested, engine);
        Followed::Response(response)
    }

    /// Whether an entry is the one that a request asks for, which may have learnt
    /// only now that there are several.
    fn is_mine(&self, question: &mut Question, entry: &Entry, seen: &HeaderMap) -> bool {
        let memory = &self.shared.engine.memory;
        if entry.canonical != *question.place()
            && let Some(Slot::Vary(variants, _)) = memory.get(&question.canonical)
        {
            question.vary(&variants.names, seen);
        }
        entry.canonical == *question.place()
    }

    /// Whether a flight's answer is of no use any more while it still comes. Its key
    /// waits for it no longer than it is filled by one alone.
    pub(crate) fn is_outlived(&self, question: &Question, flight: &Flight) -> bool {
        let engine = &self.shared.engine;
        let of_no_use = |opened: Arc<Opened>| {
            let (entry, age) = (&opened.entry, opened.age(engine.now()));
            usable(&entry.lifetime, entry.rules, age, None) == Use::Validate
        };
        let lasts = engine.since(flight.began) > question.policy.wait;
        lasts && flight.opened().is_some_and(of_no_use)
    }

    /// Whether a flight's answer is the variant that a request asks for.
    fn is_for(&self, question: &Question, opened: &Opened, seen: &HeaderMap) -> bool {
        if opened.vary.is_empty() {
            return true;
        }
        let policy = &question.policy;
        let variant = policy.variant(&question.canonical, &opened.vary, seen);
        variant.as_bytes() == &opened.entry.canonical[..]
    }

    /// A response that comes as the leader's does.
    fn streamed<B>(
        &self,
        follower: Follower,
        opened: &Opened,
        policy: &Compiled,
        (cause, (age, waited)): (Cause, (u64, Duration)),
    ) -> Response<ResponseBody<B>> {
        let mut headers = opened.headers.clone();
        headers.insert(AGE, number_value(age / 1000));
        let declared = follower.flight().declared();
        if let Some(len) = declared {
            headers.insert(CONTENT_LENGTH, number_value(len));
        }
        let (entry, codings) = (&opened.entry, &policy.precompress);
        coding::announce(&mut headers, codings, entry.status, entry.rules, declared);
        let outcome = Outcome::Coalesced {
            cause,
            waited,
            status: opened.entry.status,
        };
        let mut response = Response::new(ResponseBody::from(Following::new(follower)));
        *response.status_mut() = opened.entry.status;
        *response.headers_mut() = headers;
        let (parts, body) = response.into_parts();
        reply::finish(&self.shared.engine, parts, body, outcome)
    }

    /// What is stale, where it may stand in for a fill that gave nothing, perhaps
    /// for the service is out of reach.
    pub(crate) fn stale<R, B>(
        &self,
        question: &Question,
        missed: &Missed,
        request: &Request<R>,
        why: Staleness,
        unreached: bool,
    ) -> Option<Response<ResponseBody<B>>> {
        let instead = self.instead(question, missed, request.headers());
        let mut response = instead.stale(why, None, unreached)?;
        nested::mark(&mut response, self.nested, &self.shared.engine);
        Some(response)
    }

    pub(crate) fn instead<'a>(
        &'a self,
        question: &'a Question,
        missed: &'a Missed,
        headers: &'a HeaderMap,
    ) -> Instead<'a> {
        Instead {
            engine: &self.shared.engine,
            question,
            stale: missed.stale.as_deref(),
            cause: missed.cause,
            seen: headers,
        }
    }

    /// What a request gets whose fill gave nothing, but for a run of the handler:
    /// something stale, else the policy's fallback.
    pub(crate) fn without_fill<R, B>(
        &self,
        question: &Question,
        missed: &Missed,
        request: &Request<R>,
        kind: FailureKind,
    ) -> Option<Response<ResponseBody<B>>> {
        let why = match kind {
            FailureKind::Crowded => Staleness::Crowded,
            _ => Staleness::IfError,
        };
        let mut seen = request.headers().clone();
        let unreached = kind == FailureKind::Timeout;
        let stale = self.instead(question, missed, &seen);
        let stale = stale.stale(why, None, unreached);
        question.policy.hide(&mut seen);
        let uri = original_uri(request.extensions(), request.uri());
        let instead = self.instead(question, missed, &seen);
        let mut response = stale.or_else(|| instead.fallback(uri, kind, None))?;
        nested::mark(&mut response, self.nested, &self.shared.engine);
        Some(response)
    }
}

/// Whether a request must refuse whatever a flight brings: it asks the handler itself,
/// at once. A reload takes what is immutable, once that is known (RFC 8246).
pub(crate) fn refuses(question: &Question, flight: &Flight) -> bool {
    let Some(wish) = &question.asks.wish else {
        return false;
    };
    let immutable = |opened: Arc<Opened>| opened.entry.rules.has(Rules::IMMUTABLE);
    let pinned = || flight.opened().is_some_and(immutable);
    wish.no_cache || (wish.max_age == Some(0) && !pinned())
}

/// Whether a request cannot be answered before all of an answer is there: with a part of
/// it, or by a condition on a tag that is made of it.
pub(crate) fn wants_all(question: &Question, request: &HeaderMap) -> impl Fn(&Opened) -> bool {
    let (head, conditional) = (question.head, question.asks.conditional);
    let part = request.contains_key(RANGE);
    move |opened| head || (conditional && (part || !opened.headers.contains_key(ETAG)))
}

/// What comes as the leader's does, for a client that may have it already.
fn unless_known<B>(
    response: Response<ResponseBody<B>>,
    question: &Question,
    request: &HeaderMap,
) -> Response<ResponseBody<B>> {
    let asks = question.asks.conditional && response.status().is_success();
    match asks && not_modified(request, response.headers()) {
        true => reply::without_body(response, StatusCode::NOT_MODIFIED),
        false => response,
    }
}

/// Whether a follower may be served what the flight makes: who came now would be,
/// without a word from the handler, and it is for it to have (RFC 9111, 3.5 and 4).
fn serves(question: &Question, entry: &Entry, age: u64) -> bool {
    let asks = &question.asks;
    let shared = !asks.authorized || entry.rules.has(Rules::SHARES_AUTHORIZED);
    let wish = asks.wish.as_deref();
    shared
        && matches!(
            usable(&entry.lifetime, entry.rules, age, wish),
            Use::Fresh(_) | Use::WhileRevalidating
        )
}
