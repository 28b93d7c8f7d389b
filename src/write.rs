//! An unsafe request: the handler runs, and what it may have changed is
//! invalidated before its answer goes out.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode};
use tower_service::Service;

use crate::answered::{Answered, declared};
use crate::body::ResponseBody;
use crate::cache::Writing;
use crate::entry::coding;
use crate::flight::{Landing, Led};
use crate::handler::forward;
use crate::inner::Content;
use crate::named::Named;
use crate::nested;
use crate::outcome::{Bypass, Cause};
use crate::policy::Compiled;
use crate::question::Question;
use crate::reply;
use crate::route::Route;
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
        let posted = question.map(|question| {
            let family = question.family(&self.shared, &parts);
            let route = Route::of(&self.shared, family, &parts);
            (question, route, parts.headers.clone())
        });
        let (note, started) = (engine.generations.note(), engine.now());
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
        let posted = posted
            .filter(|_| stands && !goes_on)
            .and_then(|(question, route, seen)| {
                let answered = Answered {
                    question,
                    cause: Cause::New,
                    note,
                    began: engine.flights.begins(started),
                    seen,
                    route,
                    took: engine.since(started),
                    chance: engine.dice.chance(),
                    counted: true,
                    stale: None,
                    validating: false,
                    lease: None,
                    adapted: None,
                    named: Ok(Vec::new()),
                };
                answered.posted(engine, &mut parts, &body)
            });
        if let Some(prepared) = &posted {
            writing.watch(&prepared.fill.entry, note);
        }
        let body = match (posted, writing.invalidate().await) {
            // nobody but this request has invalidated it since
            (Some(mut prepared), Some(note)) => {
                prepared.fill.note = note;
                prepared.fill.began = engine.flights.begins(engine.now());
                prepared.fill.entry.stamp = note.stamp;
                let led = Led::new(note, engine.now(), false);
                let landing = Landing::unlisted(&led);
                let (body, drive) = prepared.record(engine, landing, body);
                led.flight().board(drive);
                body
            }
            _ => match again {
                Some(again) => ResponseBody::ending(body, again),
                None => ResponseBody::inner(body),
            },
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
