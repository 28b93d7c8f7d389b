//! An unsafe request: the handler runs, and what it may have changed is
//! invalidated before its answer goes out.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, request, response};
use tower_service::Service;

use crate::answered::{Answered, declared};
use crate::body::ResponseBody;
use crate::cache::{Engine, Writing};
use crate::entry::coding;
use crate::fill::Prepared;
use crate::flight::{Landing, Led};
use crate::generation::Generation;
use crate::handler::forward;
use crate::inner::Content;
use crate::named::Named;
use crate::nested;
use crate::outcome::{Bypass, Cause};
use crate::policy::Compiled;
use crate::question::Question;
use crate::reply;
use crate::route::Route;
use crate::shared::Shared;
use crate::way::Serve;

impl<S> Serve<S> {
    /// A request with an unsafe method, under a policy. `question` is that of a
    /// GET for the same target, where the answer may do for it.
    pub(crate) async fn write<R, B>(
        self,
        policy: Arc<Compiled>,
        question: Option<Question>,
        request: Request<R>,
    ) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Service<Request<R>, Response = Response<B>>,
        B: Content,
    {
        let engine = &self.shared.engine;
        if question.is_some() && !engine.is_leased(engine.now()) {
            engine.lease().await; // else nobody could tell whether its answer holds
        }
        // from here on, a handler that is dropped, panics or fails invalidates too
        let mut writing = Writing::new(engine, Route::targets(&self.shared, &policy, &request));
        let named = Named::new(&request);
        let (parts, body) = request.into_parts();
        let posted = question.map(|question| Posted::of(&self.shared, question, &parts));
        let mut request = Request::from_parts(parts, body);
        if !policy.precompress.is_empty() {
            coding::name_plain(request.headers_mut(), &policy.precompress);
        }
        let response = forward(self.inner, request, &self.shared, &self.ticket).await?;
        if !may_have_written(response.status()) || nested::is_asked(&response, engine) {
            writing.disarm();
            let policy = Some(&*policy);
            return Ok(reply::passed(
                engine,
                policy,
                response,
                Bypass::Method,
                self.nested,
            ));
        }
        let stands = !nested::decided(&response, engine) && named.stands_for_get(&response);
        writing.reach(named.targets(engine, response.headers()));
        let (mut parts, body) = response.into_parts();
        // its handler may go on writing while its body is made
        let known = body.size_hint().exact().is_some() || declares(&parts.headers);
        let goes_on = !known && !body.is_end_stream();
        let again = goes_on.then(|| writing.again());
        let posted = posted.filter(|_| stands && !goes_on);
        let posted = posted.and_then(|posted| posted.answered(engine, &mut parts, &body));
        if let Some(prepared) = &posted {
            writing.watch(&prepared.fill.entry, prepared.fill.note);
        }
        let body = match (posted, writing.invalidate().await, again) {
            // nobody but this request has invalidated it since
            (Some(prepared), Some(note), _) => stored(engine, prepared, note, body),
            (_, _, Some(again)) => ResponseBody::ending(body, again),
            _ => ResponseBody::inner(body),
        };
        let response = Response::from_parts(parts, body);
        Ok(reply::passed_on(
            engine,
            Some(&policy),
            response,
            Bypass::Method,
            self.nested,
        ))
    }
}

/// What a POST asks, should its answer do for a GET (RFC 9110, 9.3.3).
struct Posted {
    question: Question,
    route: Route,
    /// The request's fields as the handler sees them.
    seen: HeaderMap,
    /// From before its handler started, and when that was.
    note: Generation,
    started: u64,
}

impl Posted {
    fn of(shared: &Shared, question: Question, request: &request::Parts) -> Self {
        let family = question.family(shared, request);
        Self {
            route: Route::of(shared, family, request),
            question,
            seen: request.headers.clone(),
            note: shared.engine.generations.note(),
            started: shared.engine.now(),
        }
    }

    /// Its answer, if it may be stored.
    fn answered<B: Content>(
        self,
        engine: &Engine,
        parts: &mut response::Parts,
        body: &B,
    ) -> Option<Prepared> {
        let answered = Answered {
            question: self.question,
            cause: Cause::New,
            note: self.note,
            began: engine.flights.begins(self.started),
            seen: self.seen,
            route: self.route,
            took: engine.since(self.started),
            chance: engine.dice.chance(),
            counted: true,
            stale: None,
            validating: false,
            lease: None,
            adapted: None,
            named: Ok(Vec::new()),
        };
        answered.posted(engine, parts, body)
    }
}

/// A body that is recorded on its way, and valid as of the write's own invalidation.
fn stored<B: Content>(
    engine: &Arc<Engine>,
    mut prepared: Prepared,
    note: Generation,
    body: B,
) -> ResponseBody<B> {
    prepared.fill.note = note;
    prepared.fill.began = engine.flights.begins(engine.now());
    prepared.fill.entry.stamp = note.stamp;
    let led = Led::new(note, engine.now(), false);
    let (body, drive) = prepared.record(engine, Landing::unlisted(&led), body);
    led.flight().board(drive);
    body
}

/// Whether a body says beside it how long it is: its client has its end with its last byte.
fn declares(headers: &HeaderMap) -> bool {
    matches!(declared(headers), Ok(Some(_)))
}

/// A success or redirect has done what was asked (RFC 9111, 4.4); one that ran
/// out of time may have.
fn may_have_written(status: StatusCode) -> bool {
    status.is_success()
        || status.is_redirection()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::GATEWAY_TIMEOUT
}
