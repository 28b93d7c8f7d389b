//! A request that warms ([`Cache::warm`](crate::Cache::warm)): what is not fresh is
//! filled, behind everybody's back, and its run of warming is told what came of it.
//!
//! ```text
//! memory, store -> fresh for long enough             -> Fresh
//!    |          -> no answer of this policy          -> Failed, and the handler does not run
//!    v
//! its turn (warm/turns.rs), and a second look if that took time
//!    v
//! flight, lease -> another request, another process  -> Shared
//!    v
//! handler -> stored                                  -> Filled
//!         -> refused, failed, broke off, invalidated -> Failed
//! ```

use std::future::Future;
use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use http_body::Body;

use crate::arrived::Arrived;
use crate::ask::{Aside, ask};
use crate::body::ResponseBody;
use crate::cache::{Engine, Family, Found, Missed, Right, Stale};
use crate::entry::Held;
use crate::flight::{Crowded, Entered, Landed, Leads};
use crate::handler::{Rights, begin};
use crate::inner::{Content, Inner};
use crate::key::Writer;
use crate::nested;
use crate::outcome::{Bypass, Cause, Outcome, Tier};
use crate::policy::freshness::Use;
use crate::policy::request::Asks;
use crate::question::Question;
use crate::reply;
use crate::warm::{Told, Warmed, Warms};
use crate::way::Serve;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

impl<S> Serve<S> {
    /// Fills what is not fresh, and tells so in a response without a body.
    pub(crate) fn warm<R, B>(
        mut self,
        warms: Warms,
        request: Request<R>,
    ) -> impl Future<Output = Answer<B, S::Error>>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        self.behind = true;
        let mut canonical = Writer::empty();
        let question = match ask(&self.shared, &Arrived::of(&request), &mut canonical, false) {
            Ok(asked) => Ok(asked.question(&canonical, None)),
            Err(Aside::Bypass(reason)) => Err(reason),
            Err(Aside::Write(..)) | Err(Aside::Content(_)) => Err(Bypass::Method),
        };
        async move {
            let question = match question {
                Ok(question) => question,
                // a layer further in may have a policy
                Err(reason @ (Bypass::NoPolicy | Bypass::NotCached | Bypass::Unmatched)) => {
                    return self.pass(reason, request).await;
                }
                Err(reason) => return Ok(self.told(Told::failed(reason))),
            };
            self.fill_ahead(question, &warms, request).await
        }
    }

    fn told<B>(&self, told: Told) -> Response<ResponseBody<B>> {
        answer(&self.shared.engine, told)
    }

    async fn fill_ahead<R, B>(
        self,
        mut question: Question,
        warms: &Warms,
        request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = Arc::clone(&self.shared.engine);
        let (parts, body) = request.into_parts();
        let family = question.family(&self.shared, &parts);
        let request = Request::from_parts(parts, body);
        let headers = request.headers().clone();
        question.asks = Asks {
            authorized: question.asks.authorized,
            ..Asks::default()
        };
        let mut missed = match engine.wants(&mut question, &family, &headers, warms).await {
            Some(missed) => missed,
            None => return Ok(self.told(Told::Done(Warmed::Fresh))),
        };
        match warms.turn().await {
            Err(_) => return Ok(self.told(Told::Cancelled)),
            Ok(false) => {}
            Ok(true) => match engine.wants(&mut question, &family, &headers, warms).await {
                Some(again) => missed = again,
                None => return Ok(self.told(Told::Done(Warmed::Fresh))),
            },
        }
        if !engine.enabled() {
            return Ok(self.told(Told::failed(Bypass::Disabled)));
        }
        if missed.cause == Cause::StoreError && !engine.serves_alone() {
            return Ok(self.told(Told::failed(missed.cause)));
        }
        if missed.stale.is_some() && engine.flights.is_throttled(question.place(), engine.now()) {
            return Ok(self.told(Told::failed("the handler has failed a moment ago")));
        }
        let (led, landing) = match self.enter(&question, &family, &request, Leads::Renews) {
            Entered::Lead(led, landing) => (led, landing),
            Entered::Alone(Crowded::Yes) => {
                return Ok(self.told(Told::failed(Bypass::Crowded)));
            }
            _ => return Ok(self.told(Told::Done(Warmed::Shared))),
        };
        // a layer further out fills by this request: its lease may be of the same key
        let right = match nested::is_within(request.extensions()) {
            true => Right::Fill(None),
            false => {
                let right = engine.right_to_renew(&mut question, &family, &headers, &missed);
                right.await
            }
        };
        let Right::Fill(lease) = right else {
            return Ok(self.told(Told::Done(Warmed::Shared)));
        };
        let mut rights = Rights::of(landing);
        rights.lease = lease;
        let asked = self.ask(question, family, missed, request, rights).await?;
        let response = begin(asked.0, asked.1, |drive| led.flight().board(drive)).await;
        if response.extensions().get::<Told>().is_some() {
            return Ok(response); // a layer further in has decided
        }
        let (parts, body) = response.into_parts();
        reply::drain(body).await;
        let said = (parts.status, parts.extensions.get::<Outcome>());
        Ok(answer(&engine, outcome(said, led.flight().landed())))
    }
}

impl Engine {
    /// Whether a key is to be filled: what was missed, or what is fresh but not for
    /// long enough.
    pub(crate) async fn wants(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
        warms: &Warms,
    ) -> Option<Missed> {
        let missed = match self.look_ahead(question, family, headers).await {
            Err(missed) => missed,
            Ok(stale) => Missed {
                cause: Cause::Expired,
                stale: Some(Box::new(stale)),
            },
        };
        match missed.stale.as_ref().map(|stale| stale.usable) {
            Some(Use::Fresh(left) | Use::Early(left)) if warms.is_enough(left) => None,
            _ => Some(missed),
        }
    }

    /// What the tiers say, counted by nobody: what is fresh as something that can be
    /// renewed early.
    async fn look_ahead(
        self: &Arc<Self>,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
    ) -> Result<Stale, Missed> {
        let nothing = Missed::from(Cause::New);
        let held = self.look_again(question, headers, nothing).await;
        let mut missed = match own(held, question.place()) {
            Ok(found) => return Ok(found),
            Err(missed) => missed,
        };
        if missed.cause != Cause::StoreError {
            let held = self.look_held(question, headers, missed);
            missed = match own(held, question.place()) {
                Ok(found) => return Ok(found),
                Err(missed) => missed,
            };
        }
        let number = self.generations.clock();
        let counts = self.counters.endpoint(family);
        let family = Family {
            name: family,
            counts: &counts,
        };
        let look = self.look_store(question, family, headers, missed, self.now());
        let found = look.await?;
        let held = self.held(*found.entry, found.age, number);
        Ok(renewable(Arc::new(held), Tier::Redis, found.age, found.ttl))
    }
}

/// What memory holds of this place itself. It answers by another language's, too, and nobody
/// finds that in the store.
fn own(held: Result<Found<Arc<Held>>, Missed>, place: &[u8]) -> Result<Stale, Missed> {
    match held {
        Ok(found) if found.entry.is_of(place) => {
            Ok(renewable(found.entry, Tier::Memory, found.age, found.ttl))
        }
        Ok(_) => Err(Cause::Variant.into()),
        Err(mut missed) => {
            missed.stale = missed.stale.filter(|stale| stale.held.is_of(place));
            Err(missed)
        }
    }
}

fn renewable(held: Arc<Held>, tier: Tier, age: u64, left: u64) -> Stale {
    Stale {
        held,
        tier,
        age,
        usable: Use::Early(left),
    }
}

/// What came of a run of the handler.
fn outcome(
    (status, outcome): (http::StatusCode, Option<&Outcome>),
    landed: Option<Landed>,
) -> Told {
    let stored = match outcome {
        Some(Outcome::Miss { stored, .. } | Outcome::Revalidated { stored, .. }) => *stored,
        _ => return Told::failed(format!("status {}", status.as_u16())),
    };
    match (stored, landed) {
        (Err(_), _) if status.is_server_error() => {
            Told::failed(format!("status {}", status.as_u16()))
        }
        (Err(refusal), _) => Told::failed(format!("not stored: {refusal}")),
        (Ok(()), Some(Landed::Stored(_))) => Told::Done(Warmed::Filled),
        (Ok(()), Some(Landed::Outdated)) => Told::failed("invalidated while it was made"),
        (Ok(()), Some(Landed::Alone)) => Told::failed("not stored, its body says why"),
        (Ok(()), _) => Told::failed("its body broke off"),
    }
}

fn answer<B>(engine: &Engine, told: Told) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::empty());
    response.extensions_mut().insert(told);
    nested::mark(&mut response, true, engine);
    response
}
