//! Running the handler, and what a request that does so has in its hands.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::TRANSFER_ENCODING;
use http::{Request, Response};
use tower::util::Oneshot;
use tower_service::Service;
use tracing::Instrument;

use crate::answered::Answered;
use crate::body::ResponseBody;
use crate::cache::{Engine, Leased, Missed};
use crate::flight::{Drive, Flight, Landed, Landing};
use crate::generation::{Rule, keeps};
use crate::inner::Content;
use crate::nested;
use crate::outcome::{Bypass, Fault, Outcome, Refusal};
use crate::policy::FailureKind;
use crate::question::Question;
use crate::reply;
use crate::route::Route;
use crate::shared::Shared;
use crate::spared::{match_whole, want_whole};
use crate::stats::Ticket;
use crate::way::Serve;

type Answer<B, E> = Result<Response<ResponseBody<B>>, E>;

/// What a request that runs the handler has in its hands.
pub(crate) struct Rights {
    pub(crate) landing: Landing,
    /// The right to fill, among instances.
    pub(crate) lease: Option<Leased>,
    /// The flight of the request that asks.
    pub(crate) asker: Arc<Flight>,
}

impl Rights {
    /// Those of a flight's own leader.
    pub(crate) fn of(landing: Landing) -> Self {
        let asker = Arc::clone(landing.flight());
        Self {
            landing,
            lease: None,
            asker,
        }
    }
}

impl<S> Serve<S> {
    /// Nothing stored can answer as it is: the handler does, or says that what
    /// is stale still holds. Gives the response, and what drives its recording.
    pub(crate) async fn ask<R, B>(
        self,
        question: Question,
        family: Arc<str>,
        missed: Missed,
        request: Request<R>,
        rights: Rights,
    ) -> Result<(Response<ResponseBody<B>>, Option<Drive>), S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
        B: Content,
    {
        let engine = &self.shared.engine;
        let Missed { cause, stale } = missed;
        let Rights {
            landing,
            lease,
            asker,
        } = rights;
        let (mut parts, body) = request.into_parts();
        let route = Route::of(&self.shared, Arc::clone(&family), &parts);
        let note = landing.flight().note; // from before the handler starts
        question.policy.hide(&mut parts.headers);
        let seen = parts.headers.clone();
        let validating = !question.head
            && stale
                .as_ref()
                .is_some_and(|stale| stale.validates() && stale.ask(&mut parts.headers));
        let enclosing = nested::enclosing(&parts.extensions);
        nested::fill(&mut parts.extensions, landing.flight());
        let lent = lease.map(|lease| nested::lend(&mut parts.extensions, engine, lease));
        let request = Request::from_parts(parts, body);
        let started = engine.now();
        let began = engine.flights.begins(started);
        let asking = forward(self.inner, request, &self.shared, &self.ticket);
        let filling = self.counts.filling(&*engine.clock);
        let response = within(engine, question.policy.hard_timeout, asking)
            .instrument(tracing::info_span!(target: "larder", "fill", endpoint = &*family))
            .await;
        // a layer further in that has decided counts its own, if the handler has run at all
        if !matches!(&response, Some(Ok(response)) if nested::decided(response, engine)) {
            filling.ended(&*engine.clock);
        }
        let lease = lent.and_then(|lent| lent.take());
        let counted = !self.behind && asker.answers() && enclosing.answers();
        let adapted = self.counts.watch.adapted(&question.policy);
        let mut answered = Answered {
            question,
            cause,
            note: if keeps(Rule::NoteFirst) {
                note
            } else {
                engine.generations.note()
            },
            seen,
            route,
            began,
            took: engine.since(started),
            chance: engine.dice.chance(),
            counted,
            stale,
            validating,
            lease,
            adapted,
            named: Ok(Vec::new()),
        };
        let (mut response, drive) = match response {
            None => {
                engine
                    .flights
                    .throttle(answered.question.place(), engine.now(), true);
                asker.overtaken(); // whatever a layer further in comes to
                landing.make(|_landing| Landed::TimedOut);
                let late = answered.too_late(engine);
                if !is_told(&late) {
                    self.counts.fault(Fault::HandlerHidden);
                }
                (late, None)
            }
            Some(Ok(mut response)) if nested::decided(&response, engine) => {
                self.shared.decided(&answered.question, self.nested, true);
                landing.alone(None);
                answered.name_tags(response.headers_mut());
                return Ok((answered.decided(response), None));
            }
            Some(Ok(response)) if self.nested && answered.is_told_behind(response.status()) => {
                landing.alone(None);
                return Ok((response.map(ResponseBody::inner), None));
            }
            Some(Ok(response)) => {
                self.shared.decided(&answered.question, self.nested, false);
                answered.answer(engine, response, landing)
            }
            Some(Err(error)) => {
                engine
                    .flights
                    .throttle(answered.question.place(), engine.now(), true);
                landing.make(|_landing| Landed::Unreached);
                let stale = answered.stand_in(engine, None);
                let kind = FailureKind::Error;
                let served = stale.or_else(|| answered.fall_back(engine, kind, None));
                if served.is_some() || !counted {
                    self.counts.fault(Fault::HandlerHidden);
                }
                (served.ok_or(error)?, None)
            }
        };
        nested::mark(&mut response, self.nested, engine);
        Ok((response, drive))
    }

    /// A request that does not take part in caching.
    pub(crate) async fn pass<R, B>(
        self,
        reason: Bypass,
        mut request: Request<R>,
    ) -> Answer<B, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
    {
        if reason == Bypass::OnlyIfCached {
            let mut response = reply::only_if_cached(&self.shared.engine);
            nested::mark(&mut response, self.nested, &self.shared.engine);
            return Ok(response);
        }
        let policy = self.shared.policy(&request).cloned();
        want_whole(request.headers_mut(), policy.as_deref());
        match_whole(request.headers_mut(), policy.as_deref());
        let response = forward(self.inner, request, &self.shared, &self.ticket).await?;
        Ok(reply::passed(
            &self.shared.engine,
            policy.as_deref(),
            response,
            reason,
            self.nested,
        ))
    }
}

/// Polls a recording for the first time: a body that is there at once is stored
/// at once, and served as stored. One that is not goes on by `later`.
pub(crate) async fn begin<B>(
    response: Response<ResponseBody<B>>,
    drive: Option<Drive>,
    later: impl FnOnce(Drive),
) -> Response<ResponseBody<B>> {
    let Some(mut drive) = drive else {
        return response;
    };
    let first = std::future::poll_fn(|cx| Poll::Ready(drive.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(()) => whole(response),
        Poll::Pending => {
            later(drive);
            response
        }
    }
}

/// A body that is there has a length, which a server says; it must not say a transfer
/// coding of the handler's beside it (RFC 9112, 6.2).
fn whole<B>(response: Response<ResponseBody<B>>) -> Response<ResponseBody<B>> {
    let mut response = response.map(ResponseBody::settled);
    if response.body().is_stored() {
        response.headers_mut().remove(TRANSFER_ENCODING);
    }
    response
}

/// Waits for the handler's answer, for so long at most. Without a runtime nobody
/// could end the wait.
pub(crate) async fn within<T>(
    engine: &Engine,
    longest: Option<Duration>,
    asking: impl Future<Output = T>,
) -> Option<T> {
    match longest {
        Some(longest) if engine.has_runtime() => tokio::time::timeout(longest, asking).await.ok(),
        _ => Some(asking.await),
    }
}

/// Readies a clone of the inner service and calls it.
pub(crate) fn forward<S, R>(
    inner: S,
    mut request: Request<R>,
    shared: &Shared,
    ticket: &Arc<Ticket>,
) -> Oneshot<S, Request<R>>
where
    S: Service<Request<R>>,
{
    nested::enclose(&mut request, &shared.engine, ticket);
    Oneshot::new(inner, request)
}

/// Whether it tells itself that the handler took too long, and is counted by that.
fn is_told<B>(response: &Response<B>) -> bool {
    let told = response.extensions().get::<Outcome>();
    let late = |outcome: &Outcome| matches!(outcome, Outcome::Miss { stored, .. } if *stored == Err(Refusal::Timeout));
    told.is_some_and(late)
}
