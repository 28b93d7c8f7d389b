//! The story of a request.
//!
//! ```text
//! request -> ask: policy, admission, key     (service.rs, ask.rs)
//!    |          | no                                  -> bypass: the handler, as if there were no cache
//!    |          v
//!    |       memory -> fresh                          -> hit
//!    |          v
//!    |       (fresh, and chance renews it early       -> hit, and renewed behind the request's back)
//!    |          v
//!    |       store  -> fresh                          -> hit, kept in memory
//!    |          v
//!    |       stale  -> may be served                  -> stale, and renewed behind the request's back
//!    |          v
//!    |       flight -> another's is under way         -> coalesced: its answer as it comes (share.rs)
//!    |          v
//!    |       note -> handler, asked to validate what is stale
//!    |                  | failed                      -> stale, where it may stand in
//!    |                  | 304                         -> revalidated: the entry lives on
//!    |                  '-> judge -> refused          -> the answer as it is
//!    |                         '-> terms              -> the answer, recorded on its way, then kept
//!    '- unsafe: handler -> it may have written        -> invalidate, then the answer
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::{Extensions, HeaderMap, Request, Response, request};

use crate::body::ResponseBody;
use crate::cache::{Family, Found, Missed, Right, Stale};
use crate::clock::minutes;
use crate::entry::{Entry, Held};
use crate::flight::{Entered, Landing, Leads, Led};
use crate::handler::{Rights, begin};
use crate::inner::{Content, Inner};
use crate::nested;
use crate::outcome::{Bypass, Cause, Staleness, Tier};
use crate::policy::freshness::Use;
use crate::question::Question;
use crate::reply;
use crate::share::Fills;
use crate::spared::want_whole;
use crate::stats::Ticket;
use crate::way::Serve;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// A renewal of whose body nothing comes for so long is given up.
const STALLED: Duration = minutes(5);

impl<S> Serve<S> {
    /// A request that memory could not answer. What it holds is taken apart
    /// before its future is made: an `async fn` would keep room for it twice.
    pub(crate) fn read<R, B>(
        self,
        mut question: Box<Question>,
        family: Arc<str>,
        mut missed: Missed,
        request: Request<R>,
    ) -> impl Future<Output = Answer<B, S::Error>>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let (mut parts, body) = request.into_parts();
        async move {
            // what is seldom is in boxes of its own: what the store answers pays nothing
            // for it
            let engine = &self.shared.engine;
            let mut now = engine.now();
            if !engine.is_leased(now) {
                let again = Box::pin(engine.look_again(&mut question, &parts.headers, missed));
                missed = match again.await {
                    Ok(found) => return Ok(self.hit(&found, *question, parts, body)),
                    Err(missed) => missed,
                };
                now = engine.now();
            }
            if !engine.enabled() {
                let request = Request::from_parts(parts, body);
                return Box::pin(self.pass(Bypass::Disabled, request)).await;
            }
            let plain = missed.stale.is_none() && question.asks.wish.is_none();
            if plain && self.shared.is_decided_inside(&question, self.nested) {
                want_whole(&mut parts.headers, Some(&question.policy));
                let request = Request::from_parts(parts, body);
                return Box::pin(self.fill(*question, family, missed, request)).await;
            }
            let of = Family {
                name: &family,
                counts: &self.counts,
            };
            let look = engine.look_store(&mut question, of, &parts.headers, missed, now);
            let missed = match look.await {
                Ok(found) => {
                    let verified = engine.is_verified(&question.policy);
                    let against = verified.then(|| Arc::new(Entry::clone(&found.entry)));
                    let spare = spare(verified, &mut parts.extensions);
                    let response = self.found(found, &question, &parts.headers, spare);
                    if let Some(against) = against {
                        self.verify(*question, against, Request::from_parts(parts, body));
                    }
                    return Ok(response);
                }
                Err(missed) => missed,
            };
            let request = Request::from_parts(parts, body);
            Box::pin(self.not_fresh(*question, family, missed, request)).await
        }
    }

    /// A hit in memory that the first look could not find: once there is a lease, or
    /// the content has been read.
    pub(crate) fn hit<R, B>(
        self,
        found: &Found<Arc<Held>>,
        question: Question,
        mut parts: request::Parts,
        body: R,
    ) -> Response<ResponseBody<B>>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = &self.shared.engine;
        let verified = engine.is_verified(&question.policy);
        let spare = spare(verified, &mut parts.extensions);
        let (whole, times) = (Arc::clone(&found.entry), found.times());
        let mut response = reply::held(engine, whole, times, Tier::Memory, question.head, spare);
        let (policy, asks, coded) = (&question.policy, &question.asks, &found.entry.coded);
        if reply::has_shape(policy, asks) {
            response = reply::shape(response, policy, coded, &parts.headers, asks);
        }
        nested::mark(&mut response, self.nested, engine);
        if verified {
            let against = Arc::new(found.entry.entry.clone());
            self.verify(question, against, Request::from_parts(parts, body));
        }
        response
    }

    /// A hit in the store.
    fn found<B>(
        &self,
        found: Found<Box<Entry>>,
        question: &Question,
        headers: &HeaderMap,
        spare: Extensions,
    ) -> Response<ResponseBody<B>> {
        let engine = &self.shared.engine;
        let times = found.times();
        let mut response = reply::found(engine, found.entry, times, question.head, spare);
        let (policy, asks) = (&question.policy, &question.asks);
        if reply::has_shape(policy, asks) {
            response = reply::shape(response, policy, &[], headers, asks);
        }
        nested::mark(&mut response, self.nested, engine);
        response
    }

    /// Nothing fresh is stored: something stale may be served, or the handler
    /// answers.
    async fn not_fresh<R, B>(
        self,
        question: Question,
        family: Arc<str>,
        missed: Missed,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let Missed { cause, stale } = missed;
        let cause = self.missed(question.place(), cause);
        let usable = stale.as_ref().map(|stale| stale.usable);
        if let (Some(Use::Early(left)), Some(found)) = (usable, &stale) {
            let (whole, times) = (Arc::clone(&found.held), (found.age, left));
            let engine = &self.shared.engine;
            let spare = Extensions::new();
            let response = reply::held(engine, whole, times, found.tier, question.head, spare);
            let (policy, asks, coded) = (&question.policy, &question.asks, &found.held.coded);
            let mut response = reply::shape(response, policy, coded, request.headers(), asks);
            nested::mark(&mut response, self.nested, engine);
            self.renew(question, family, missed_again(cause, found), request);
            return Ok(response);
        }
        let why = match usable {
            Some(Use::WhileRevalidating) => Some(Staleness::WhileRevalidating),
            Some(Use::AsAsked) => Some(Staleness::MaxStale),
            _ => None,
        };
        if let (Some(why), Some(stale)) = (why, &stale) {
            let response = reply::stale(
                &self.shared.engine,
                stale,
                (why, cause),
                None,
                question.head,
            );
            let (policy, asks, coded) = (&question.policy, &question.asks, &stale.held.coded);
            let mut response = reply::shape(response, policy, coded, request.headers(), asks);
            nested::mark(&mut response, self.nested, &self.shared.engine);
            if why == Staleness::WhileRevalidating {
                self.renew(question, family, missed_again(cause, stale), request);
            }
            return Ok(response);
        }
        if question
            .asks
            .wish
            .as_ref()
            .is_some_and(|wish| wish.only_if_cached)
        {
            let mut response = reply::only_if_cached(&self.shared.engine);
            nested::mark(&mut response, self.nested, &self.shared.engine);
            return Ok(response);
        }
        self.share(question, family, Missed { cause, stale }, request)
            .await
    }

    /// Takes note of why nothing fresh was found.
    pub(crate) fn missed(&self, place: &[u8], cause: Cause) -> Cause {
        let engine = &self.shared.engine;
        let (cause, by) = engine.traced(place, cause);
        if let Some(by) = by {
            self.counts.invalidated(by);
        }
        engine.counters.traces.missed(place, cause);
        cause
    }

    /// Renews an entry behind the back of the request that was served stale,
    /// one request for each entry at a time. A HEAD renews nothing: axum lays a layer
    /// around each handler of a route apart, and GET may have another one.
    fn renew<R, B>(
        mut self,
        mut question: Question,
        family: Arc<str>,
        missed: Missed,
        mut request: Request<R>,
    ) where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = Arc::clone(&self.shared.engine);
        let Some(runtime) = engine.runtime() else {
            return;
        };
        if question.head {
            return; // it may be on its way to a handler of its own
        }
        if engine.flights.is_throttled(question.place(), engine.now()) {
            return; // it has failed a moment ago
        }
        let Entered::Lead(led, landing) = self.enter(&question, &family, &request, Leads::Renews)
        else {
            return; // somebody is at it
        };
        question.ask_for_all(request.headers_mut());
        self.behind = true;
        self.nested = false; // no layer further out sees its answer
        self.ticket = Ticket::void();
        nested::behind(request.extensions_mut(), &engine);
        let (longest, on) = (question.policy.wait, runtime.clone());
        let work = async move {
            let engine = Arc::clone(&self.shared.engine);
            let headers = request.headers().clone();
            let right = engine.right_to_renew(&mut question, &family, &headers, &missed);
            let Right::Fill(lease) = right.await else {
                return; // another instance is at it
            };
            let mut rights = Rights::of(landing);
            rights.lease = lease;
            let answer = self.ask(question, family, missed, request, rights).await;
            if let Ok((response, drive)) = answer {
                // what a layer further in has decided is recorded there
                let inner = nested::decided(&response, &engine);
                let response = begin(response, drive, |drive| led.flight().board(drive)).await;
                let drained = reply::drain_within(response.into_body(), longest.max(STALLED));
                let drained = pin!(drained);
                let over = pin!(Arc::clone(led.flight()).over());
                let ended = match inner {
                    true => drained.await,
                    false => match select(over, drained).await {
                        Either::Left(_) => true, // the rest is nobody's
                        Either::Right((ended, _)) => ended,
                    },
                };
                if !ended {
                    led.flight().give_up();
                }
            }
            drop(led);
        };
        let turns = Arc::clone(&engine);
        engine.tasks.spawn(&runtime, async move {
            let Ok(_turn) = turns.renewals.try_acquire() else {
                return; // too many, or the cache shuts down
            };
            // one that hangs takes neither a turn nor the cache's end for longer
            if let Either::Right((_, work)) =
                select(Box::pin(work), pin!(tokio::time::sleep(longest))).await
            {
                drop(on.spawn(work));
            }
        });
    }

    /// The same for a layer further out: this one holds nothing against it.
    pub(crate) async fn refill<R, B>(
        mut self,
        question: Question,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        self.behind = true;
        let (parts, body) = request.into_parts();
        let family = question.family(&self.shared, &parts);
        let request = Request::from_parts(parts, body);
        let missed = Missed::from(Cause::Expired);
        self.fill(question, family, missed, request).await
    }

    /// The handler answers this request, and nobody shares that.
    pub(crate) async fn fill<R, B>(
        self,
        question: Question,
        family: Arc<str>,
        missed: Missed,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = &self.shared.engine;
        let goes_on = question.policy.finish && engine.has_runtime();
        let led = Led::new(engine.generations.note(), engine.now(), goes_on);
        let landing = Landing::unlisted(&led);
        if goes_on || self.soft(&question, &missed, request.headers()).is_some() {
            let how = (led, landing, Fills::Alone);
            return Box::pin(self.lead(how, question, family, missed, request)).await;
        }
        let rights = Rights::of(landing);
        let answer = self.ask(question, family, missed, request, rights);
        let (response, drive) = answer.await?;
        Ok(begin(response, drive, |drive| led.flight().board(drive)).await)
    }
}

/// A request's extensions for its answer, unless the handler sees it yet.
fn spare(verified: bool, extensions: &mut Extensions) -> Extensions {
    match verified {
        false => std::mem::take(extensions),
        true => Extensions::new(),
    }
}

fn missed_again(cause: Cause, stale: &Stale) -> Missed {
    Missed {
        cause,
        stale: Some(Box::new(stale.clone())),
    }
}
