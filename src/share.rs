//! One fill, however many ask: a request that found nothing fresh leads a
//! flight, or follows the one that is under way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{AGE, CONTENT_LENGTH, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::{Request, Response};
use http_body::Body;
use tokio::runtime::Handle;
use tower_service::Service;

use crate::ask::Question;
use crate::body::ResponseBody;
use crate::cache::{Missed, Right, Stale};
use crate::entry::{Entry, Held};
use crate::error::BoxError;
use crate::fill::Route;
use crate::flight::{
    Crowded, Drive, Entered, Flight, Follower, Following, Handoff, Landed, Landing, Leads, Led,
    Opened,
};
use crate::known::number_value;
use crate::nested;
use crate::outcome::{Bypass, Cause, Outcome, Staleness};
use crate::policy::freshness::{Rules, Use, stands_in, usable};
use crate::reply;
use crate::serve::{Serve, begin};

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// A follower whose flights fail goes on its own after so many,
const TRIES: usize = 2;
/// and one that was sent from flight to flight after so many.
const TURNS: usize = 16;

/// What is known of a flight when a follower need not wait any longer.
type Known = (Option<Arc<Opened>>, Option<Landed>);

/// What a follower has come to.
enum Followed<B> {
    Response(Response<ResponseBody<B>>),
    /// The flight was another's, or is out of date: enter again, perhaps to lead.
    Again,
    /// It gave nothing: enter again, but not for ever.
    Failed,
    /// Nobody can share its answer.
    Alone,
    /// It took too long.
    Crowded,
}

impl<S> Serve<S> {
    /// Fills, or shares the fill of another request.
    pub(super) async fn share<R, B>(
        self,
        mut question: Question,
        family: Arc<str>,
        missed: Missed,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        R: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let engine = Arc::clone(&self.shared.engine);
        if missed.stale.is_some()
            && engine.flights.is_throttled(question.place(), engine.now())
            && let Some(response) = self.stale(&question, &missed, &request)
        {
            return Ok(response); // the handler has failed a moment ago
        }
        let leads = self.leads(&question, &request);
        let (mut tries, mut patience) = (TRIES, None);
        for _ in 0..TURNS {
            match self.enter(&question, &family, &request, leads) {
                Entered::Lead(led, landing) => {
                    let fill = self.lead(led, landing, question, family, missed, request);
                    return fill.await;
                }
                Entered::Follow(follower) => {
                    let start = self.shared.engine.now();
                    let known = follower.known(question.head || question.asks.conditional);
                    // for all its flights together
                    let wait = || Box::pin(tokio::time::sleep(question.policy.wait));
                    let late = patience.get_or_insert_with(wait);
                    let known = match select(pin!(known), late).await {
                        Either::Left((known, _)) => Some(known),
                        Either::Right(_) => None,
                    };
                    let waited = self.shared.engine.since(start);
                    match self.follow(follower, known, waited, &mut question, &missed, &request) {
                        Followed::Response(response) => return Ok(response),
                        Followed::Again => {}
                        Followed::Failed if tries > 1 => tries -= 1,
                        Followed::Failed | Followed::Alone => break,
                        Followed::Crowded => return self.pass(Bypass::Crowded, request).await,
                    }
                }
                Entered::Alone(Crowded::No) => break,
                Entered::Alone(Crowded::Yes) => {
                    return match self.stale(&question, &missed, &request) {
                        Some(response) => Ok(response),
                        None => self.pass(Bypass::Crowded, request).await,
                    };
                }
            }
        }
        self.fill(question, family, missed, request).await
    }

    /// Whether a request may lead: its answer must be one that all can share. A
    /// HEAD has no body, and a range asks for a part.
    fn leads<R>(&self, question: &Question, request: &Request<R>) -> Leads {
        let whole = !question.head && !request.headers().contains_key(RANGE);
        match whole {
            true => Leads::Yes {
                finishes: question.policy.finish,
            },
            false => Leads::No,
        }
    }

    /// Enters the flight for a question. One that began before an invalidation of
    /// what is asked for is replaced, and so is one that waits for this very
    /// request. Without a runtime nobody could go on with a fill, or end a wait.
    pub(super) fn enter<R>(
        &self,
        question: &Question,
        family: &Arc<str>,
        request: &Request<R>,
        leads: Leads,
    ) -> Entered {
        let engine = &self.shared.engine;
        let shares = question.policy.coalesce && !question.head;
        if !shares || Handle::try_current().is_err() {
            return match leads {
                Leads::No => Entered::Alone(Crowded::No),
                Leads::Yes { .. } | Leads::Renews => {
                    let finishes = question.policy.finish;
                    let led = Led::new(engine.generations.note(), finishes);
                    let landing = Landing::unlisted(&led);
                    Entered::Lead(led, landing)
                }
            };
        }
        let note = engine.generations.note();
        let place = question.place();
        let times = (note, engine.now());
        engine.flights.enter(place, times, leads, |flight| {
            let waits = nested::is_filling(request.extensions(), flight);
            !waits && (flight.note == note || self.holds(question, family, request, flight))
        })
    }

    /// Whether nothing that a flight's answer is known to belong to was
    /// invalidated since it began.
    fn holds<R>(
        &self,
        question: &Question,
        family: &Arc<str>,
        request: &Request<R>,
        flight: &Flight,
    ) -> bool {
        let (engine, note) = (&self.shared.engine, flight.note);
        let opened = flight.opened();
        if opened.is_some_and(|opened| !engine.generations.valid(&opened.entry, note)) {
            return false;
        }
        let route = Route::of_request(&self.shared, Arc::clone(family), request);
        let asked = route.asked(engine, question);
        engine.generations.valid(&asked, note)
    }

    /// Leads: polls the fill until it moves away, and gets its answer wherever it
    /// runs.
    async fn lead<R, B>(
        self,
        led: Led,
        landing: Landing,
        question: Question,
        family: Arc<str>,
        missed: Missed,
        mut request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        R: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (policy, asks) = (Arc::clone(&question.policy), question.asks);
        let conditions = asks.conditional.then(|| request.headers().clone());
        // others want the whole: the client's own conditions are for the reply
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            request.headers_mut().remove(name);
        }
        let handoff = Handoff::new();
        let flight = led.flight();
        let (giving, boarded) = (Arc::clone(&handoff), Arc::clone(flight));
        flight.board(Box::pin(async move {
            match self
                .fill_rightly(question, family, missed, request, landing)
                .await
            {
                Err(error) => giving.give(&boarded, Err(error)),
                Ok((response, drive)) => {
                    let mut later = None;
                    let response = begin(response, drive, |drive| later = Some(drive)).await;
                    giving.give(&boarded, Ok(response));
                    if let Some(drive) = later {
                        drive.await;
                    }
                }
            }
        }));
        let response = led.lead(|| handoff.take()).await?;
        Ok(match conditions {
            Some(headers) if response.body().is_stored() => {
                reply::shape(response, &policy, &[], &headers, &asks)
            }
            _ => response,
        })
    }

    /// Fills, unless another instance does: then its entry answers.
    async fn fill_rightly<R, B>(
        self,
        mut question: Question,
        family: Arc<str>,
        missed: Missed,
        request: Request<R>,
        landing: Landing,
    ) -> Result<(Response<ResponseBody<B>>, Option<Drive>), S::Error>
    where
        S: Service<Request<R>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        R: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let engine = Arc::clone(&self.shared.engine);
        let (start, cause) = (engine.now(), missed.cause);
        let headers = request.headers().clone();
        let seen = (cause, missed.stale.as_ref());
        let right = engine.right_to_fill(&mut question, &family, &headers, seen);
        match right.await {
            Right::Fill(lease) => {
                let rights = (landing, lease);
                self.ask(question, family, missed, request, rights).await
            }
            Right::Alone => {
                landing.alone(None);
                let led = Led::new(engine.generations.note(), false);
                let rights = (Landing::unlisted(&led), None);
                let answer = self.ask(question, family, missed, request, rights).await?;
                let (response, drive) = answer;
                Ok((
                    begin(response, drive, |drive| led.flight().board(drive)).await,
                    None,
                ))
            }
            Right::Found(found) => {
                let (entry, note) = (found.entry, landing.flight().note);
                let held = Arc::new(Held::new(entry, found.age, engine.now(), note));
                landing.make(|_landing| Landed::Stored(Arc::clone(&held)));
                let outcome = Outcome::Coalesced {
                    cause,
                    waited: engine.since(start),
                    status: held.entry.status,
                };
                let fields = &held.entry.fields;
                let headers = fields.to_map(number_value(found.age / 1000), None);
                let response = reply::stored(&engine, &held.entry, headers, false, outcome);
                Ok((response, None))
            }
        }
    }

    /// What comes of following another request's fill.
    fn follow<R, B>(
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
            let stale = self.stale(question, missed, request);
            return stale.map_or(Followed::Crowded, Followed::Response);
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
        let mut response = match (opened, landed) {
            (_, Some(Landed::Alone)) => return Followed::Alone,
            (_, Some(Landed::Outdated)) => return Followed::Again,
            // confirmed, and as another variant by now
            (None, Some(Landed::Stored(held))) if held.entry.canonical != *question.place() => {
                return Followed::Again;
            }
            (_, Some(Landed::Stored(held))) => {
                let age = held.age(engine.now());
                if !engine.generations.valid(&held.entry, note) {
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
                let headers = held.entry.fields.to_map(number_value(age / 1000), None);
                let response = reply::stored(engine, &held.entry, headers, question.head, outcome);
                let (policy, asks) = (&question.policy, &question.asks);
                reply::shape(response, policy, &held.coded, request.headers(), asks)
            }
            (Some(opened), None) => {
                if !engine.generations.valid(&opened.entry, note) {
                    return Followed::Again;
                }
                if !serves(question, &opened.entry, opened.age) {
                    return Followed::Alone;
                }
                self.streamed(follower, &opened, cause, waited)
            }
            (_, Some(Landed::Failed)) | (None, None) => {
                let stale = self.stale(question, missed, request);
                return stale.map_or(Followed::Failed, Followed::Response);
            }
        };
        nested::mark(&mut response, self.nested, engine);
        Followed::Response(response)
    }

    /// Whether a flight's answer is the variant that a request asks for.
    fn is_for(&self, question: &Question, opened: &Opened, seen: &http::HeaderMap) -> bool {
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
        cause: Cause,
        waited: Duration,
    ) -> Response<ResponseBody<B>> {
        let mut headers = opened.headers.clone();
        headers.insert(AGE, number_value(opened.age / 1000));
        if let Some(len) = follower.flight().declared() {
            headers.insert(CONTENT_LENGTH, number_value(len));
        }
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

    /// What is stale, where it may stand in for a fill that gave nothing.
    fn stale<R, B>(
        &self,
        question: &Question,
        missed: &Missed,
        request: &Request<R>,
    ) -> Option<Response<ResponseBody<B>>> {
        let stale: &Stale = missed.stale.as_ref()?;
        let entry = &stale.held.entry;
        let (policy, asks) = (&question.policy, &question.asks);
        let stands = stands_in(
            &entry.lifetime,
            entry.rules,
            stale.age,
            asks.wish.as_ref(),
            false,
        );
        stands.then(|| {
            let why = (Staleness::IfError, missed.cause);
            let engine = &self.shared.engine;
            let response = reply::stale(engine, stale, why, None, question.head);
            let coded = &stale.held.coded;
            let mut response = reply::shape(response, policy, coded, request.headers(), asks);
            nested::mark(&mut response, self.nested, engine);
            response
        })
    }
}

/// Whether a follower may be served what the flight makes: it is fresh, and for
/// it to have (RFC 9111, 3.5 and 4).
fn serves(question: &Question, entry: &Entry, age: u64) -> bool {
    let asks = &question.asks;
    let shared = !asks.authorized || entry.rules.has(Rules::SHARES_AUTHORIZED);
    let wish = asks.wish.as_ref();
    shared
        && matches!(
            usable(&entry.lifetime, entry.rules, age, wish),
            Use::Fresh(_)
        )
}
