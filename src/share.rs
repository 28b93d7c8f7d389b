//! One fill, however many ask: a request that found nothing fresh leads a
//! flight, or follows the one that is under way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Request, Response};

use crate::body::ResponseBody;
use crate::cache::{AsksToFill, Missed, Right, seen};
use crate::flight::{Crowded, Drive, Entered, Flight, Handoff, Landed, Landing, Leads, Led};
use crate::follow::{Followed, refuses, wants_all};
use crate::handler::{Rights, begin, within};
use crate::inner::{Content, Inner};
use crate::instead::Late;
use crate::nested::{self, Loan};
use crate::outcome::{Bypass, Fault, Outcome, Staleness};
use crate::policy::FailureKind;
use crate::policy::request::Asks;
use crate::question::Question;
use crate::reply;
use crate::route::Route;
use crate::spared::{spared, want_whole};
use crate::way::Serve;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// One that was sent from flight to flight so often goes on its own.
const TURNS: usize = 16;

/// For whom a leader fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fills {
    /// For all who ask, in all instances.
    Shared,
    /// For its own request.
    Alone,
}

impl<S> Serve<S> {
    /// Fills, or shares the fill of another request.
    pub(super) async fn share<R, B>(
        self,
        mut question: Question,
        family: Arc<str>,
        missed: Missed,
        mut request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        want_whole(request.headers_mut(), Some(&question.policy));
        let engine = Arc::clone(&self.shared.engine);
        if missed.stale.is_some()
            && engine.flights.is_throttled(question.place(), engine.now())
            && let Some(response) = self.stale(
                &question,
                &missed,
                &request,
                Staleness::LeftAlone,
                self.is_unreached(&question),
            )
        {
            return Ok(response); // the handler has failed a moment ago
        }
        let leads = self.leads(&question, &request);
        let mut soft = self.soft(&question, &missed, request.headers());
        let (mut turns, mut patience) = (TURNS, None);
        while turns > 0 {
            match self.enter(&question, &family, &request, leads) {
                Entered::Lead(led, landing) => {
                    let how = (led, landing, Fills::Shared);
                    return self.lead(how, question, family, missed, request).await;
                }
                Entered::Follow(follower) if refuses(&question, follower.flight()) => break,
                Entered::Follow(follower) => {
                    let start = self.shared.engine.now();
                    let waiting = self.counts.waiting();
                    let known = follower.known(wants_all(&question, request.headers()));
                    // for all its flights together
                    let longest = soft.unwrap_or(question.policy.wait);
                    let wait = || Box::pin(tokio::time::sleep(longest));
                    let late = patience.get_or_insert_with(wait);
                    let known = match select(pin!(known), late).await {
                        Either::Left((known, _)) => Some(known),
                        Either::Right(_) => None,
                    };
                    drop(waiting);
                    if known.is_none() && soft.is_some() {
                        follower.flight().go_on(); // it is for all who come later
                    }
                    let waited = self.shared.engine.since(start);
                    match self.follow(follower, known, waited, &mut question, &missed, &request) {
                        Followed::Response(response) => return Ok(response),
                        Followed::Again => turns -= 1,
                        Followed::Failed => {} // one who waits leads again
                        Followed::Alone => break,
                        Followed::Late if soft.is_some() => {
                            let spent = soft.take().unwrap_or_default();
                            let why = Staleness::Timeout;
                            let stale = self.stale(&question, &missed, &request, why, false);
                            if let Some(stale) = stale {
                                return Ok(stale);
                            }
                            let rest = question.policy.wait.saturating_sub(spent);
                            patience = Some(Box::pin(tokio::time::sleep(rest)));
                        }
                        Followed::Late => return self.crowded(question, missed, request).await,
                    }
                }
                Entered::Alone(Crowded::No) => break,
                Entered::Alone(Crowded::Yes) => {
                    return self.crowded(question, missed, request).await;
                }
            }
        }
        self.fill(question, family, missed, request).await
    }

    /// How long a fill may take, where something stale can answer before it.
    pub(super) fn soft(
        &self,
        question: &Question,
        missed: &Missed,
        headers: &HeaderMap,
    ) -> Option<Duration> {
        let longest = question.policy.soft_timeout?;
        let stands = || self.instead(question, missed, headers).stands(false);
        let applies = longest < question.policy.wait && stands();
        (applies && self.shared.engine.has_runtime()).then_some(longest)
    }

    /// Whether a service was out of reach a moment ago.
    fn is_unreached(&self, question: &Question) -> bool {
        let engine = &self.shared.engine;
        engine.flights.is_unreached(question.place(), engine.now())
    }

    /// A bound is reached: what is stale answers, else the fallback, else the
    /// handler, and nothing is stored of that.
    async fn crowded<R, B>(
        self,
        question: Question,
        missed: Missed,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        if let Some(response) =
            self.without_fill(&question, &missed, &request, FailureKind::Crowded)
        {
            return Ok(response);
        }
        let late = Late::new(&self, &question, &missed, &request);
        let (engine, counts) = (Arc::clone(&self.shared.engine), Arc::clone(&self.counts));
        let longest = question.policy.hard_timeout;
        let answer = within(&engine, longest, self.pass(Bypass::Crowded, request)).await;
        let count = |_: &Response<_>| counts.fault(Fault::HandlerHidden);
        let hidden = || late.unreached().inspect(count);
        match answer {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => hidden().ok_or(error),
            None => Ok(hidden().unwrap_or_else(|| late.too_late())),
        }
    }

    /// Whether a request may lead: its answer must be one that all can share. A
    /// HEAD has no body, and a range asks for a part.
    fn leads<R>(&self, question: &Question, request: &Request<R>) -> Leads {
        let whole = !question.head && !request.headers().contains_key(RANGE);
        // by its conditions the handler answers shorter, and nobody else is kept waiting
        let apart = question.asks.authorized && question.asks.conditional && {
            let engine = &self.shared.engine;
            engine.flights.is_apart(question.place(), engine.now())
        };
        match whole && !apart {
            true => Leads::Yes {
                finishes: question.policy.finish,
            },
            false => Leads::No,
        }
    }

    /// Enters the flight for a question. One that began before an invalidation of
    /// what is asked for is replaced, and so is one that hangs, or that waits for this
    /// very request. Without a runtime nobody could go on with a fill, or end a wait.
    pub(super) fn enter<R>(
        &self,
        question: &Question,
        family: &Arc<str>,
        request: &Request<R>,
        leads: Leads,
    ) -> Entered {
        let engine = &self.shared.engine;
        let one = question.policy.coalesce || matches!(leads, Leads::Renews);
        if !one || question.head || !engine.has_runtime() {
            return match leads {
                Leads::No => Entered::Alone(Crowded::No),
                Leads::Yes { .. } | Leads::Renews => {
                    let finishes = question.policy.finish;
                    let led = Led::new(engine.generations.note(), engine.now(), finishes);
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
            let hangs = self.hangs(question, flight) || self.is_outlived(question, flight);
            !waits
                && !hangs
                && (flight.note == note || self.holds(question, family, request, flight))
        })
    }

    /// Whether a flight has had nothing new to show for longer than anybody waits for
    /// it. Its key is not to wait for it any more.
    fn hangs(&self, question: &Question, flight: &Flight) -> bool {
        self.shared.engine.since(flight.silent_since()) > question.policy.wait
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
        if opened.is_some_and(|opened| engine.generations.reached(&opened.entry, note.number)) {
            return false;
        }
        let route = Route::of_request(&self.shared, Arc::clone(family), request);
        let asked = route.asked(engine, question);
        !engine.generations.reached(&asked, note.number)
    }

    /// Leads: polls the fill until it moves away, and gets its answer wherever it
    /// runs.
    pub(super) async fn lead<R, B>(
        self,
        (led, landing, fills): (Led, Landing, Fills),
        question: Question,
        family: Arc<str>,
        missed: Missed,
        mut request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let late = self
            .soft(&question, &missed, request.headers())
            .map(|longest| (longest, Late::new(&self, &question, &missed, &request)));
        let (policy, asks) = (Arc::clone(&question.policy), question.asks.clone());
        let shared = fills == Fills::Shared;
        let conditions = (shared && asks.conditional).then(|| request.headers().clone());
        if shared {
            // others want the whole: the client's own conditions are for the reply
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
                request.headers_mut().remove(name);
            }
        }
        let handoff = Handoff::new();
        let flight = led.flight();
        if policy.finish {
            self.shared.engine.watch_over(flight, policy.wait);
        }
        let (giving, boarded) = (Arc::clone(&handoff), Arc::clone(flight));
        flight.board(Box::pin(async move {
            let answer = match fills {
                Fills::Shared => {
                    let fill = self.fill_rightly(question, family, missed, request, landing);
                    fill.await
                }
                Fills::Alone => {
                    let rights = Rights::of(landing);
                    self.ask(question, family, missed, request, rights).await
                }
            };
            match answer {
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
        let mut answer = pin!(led.lead(|| handoff.take()));
        let response = match late {
            None => answer.await?,
            Some((longest, late)) => {
                match select(answer.as_mut(), pin!(tokio::time::sleep(longest))).await {
                    Either::Left((answer, _)) => answer?,
                    Either::Right(_) => match late.response(led.flight()) {
                        Some(response) => return Ok(response),
                        None => answer.await?, // it comes just now
                    },
                }
            }
        };
        Ok(match conditions {
            Some(headers) => spared(response, &policy, &headers, &asks),
            None => response,
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
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = Arc::clone(&self.shared.engine);
        let (start, cause) = (engine.now(), missed.cause);
        let headers = request.headers().clone();
        let policy = Arc::clone(&question.policy);
        let route = Route::of_request(&self.shared, Arc::clone(&family), &request);
        let least = engine.generations.last(&route.asked(&engine, &question));
        let key = || question.key(&engine.context.prefix, &family);
        let right = match nested::lent(request.extensions(), &engine, key) {
            Loan::Right(lease) => Right::Fill(Some(lease)),
            loan => {
                let mut asks = AsksToFill::new(cause, seen(missed.stale.as_deref()), least);
                asks.at_once = matches!(loan, Loan::Elsewhere); // the holder may wait for it
                let right = engine.right_to_fill(&mut question, &family, &headers, asks);
                right.await
            }
        };
        match right {
            Right::Fill(lease) => {
                let mut rights = Rights::of(landing);
                rights.lease = lease;
                self.ask(question, family, missed, request, rights).await
            }
            Right::Alone => {
                let asker = Arc::clone(landing.flight());
                landing.alone(None);
                let led = Led::new(engine.generations.note(), engine.now(), policy.finish);
                let mut rights = Rights::of(Landing::unlisted(&led));
                rights.asker = Arc::clone(&asker);
                let answer = self.ask(question, family, missed, request, rights).await?;
                let (response, drive) = answer;
                if !asker.answers() {
                    led.flight().go_on(); // its request has its answer
                }
                Ok((
                    begin(response, drive, |drive| led.flight().board(drive)).await,
                    None,
                ))
            }
            Right::Found(found) => {
                let (entry, note) = (found.entry, landing.flight().note);
                let held = Arc::new(engine.held(*entry, found.age, note.number));
                let outcome = Outcome::Coalesced {
                    cause,
                    waited: engine.since(start),
                    status: held.entry.status,
                };
                let fields = held.entry.fields.to_map((found.age / 1000, None));
                if landing.flight().answers() {
                    reply::seen(&outcome);
                }
                landing.make(|_landing| Landed::Stored(Arc::clone(&held)));
                let response = reply::stored(&engine, &held.entry, fields, false, outcome);
                // its conditions are looked at where the leader has them
                let whole = Asks::default();
                let response = reply::shape(response, &policy, &[], &headers, &whole);
                Ok((response, None))
            }
        }
    }
}
