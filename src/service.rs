//! [`CacheService`]: where a request meets the cache.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Extensions, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::arrived::{Arrived, head_of};
use crate::body::ResponseBody;
use crate::counted::{Counted, Counting};
use crate::entry::Held;
use crate::error::BoxError;
use crate::first::{self, First, Missing, Unusual};
use crate::future::ResponseFuture;
use crate::inner::{Content, Inner};
use crate::nested;
use crate::outcome::{Bypass, Tier};
use crate::policy::Compiled;
use crate::question::Question;
use crate::rebuild;
use crate::reply;
use crate::shared::{Arrival, Shared};
use crate::stats::{Counts, Ticket};
use crate::warm::Warms;
use crate::way::Serve;

/// A service whose responses are cached. Made by [`CacheLayer`](crate::CacheLayer).
///
/// Its error is the inner service's own. It is always ready: an inner service
/// is readied only when it is called, so that a hit waits for nobody.
pub struct CacheService<S> {
    core: Arc<Core<S>>,
}

/// All clones share one inner service, and clone it only to call it: a hit
/// does not pay for a clone that it never calls.
struct Core<S> {
    inner: Mutex<S>,
    shared: Arc<Shared>,
}

impl<S> CacheService<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        let inner = Mutex::new(inner);
        Self {
            core: Arc::new(Core { inner, shared }),
        }
    }
}

impl<S> Clone for CacheService<S> {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for CacheService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    ReqBody: Body + Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<ResBody, S::Error>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match self.first(&request) {
            First::Hit(hit, held) => {
                let spare = std::mem::take(request.extensions_mut());
                ResponseFuture::hit(hit, held, spare)
            }
            other => self.aside(other, request),
        }
    }
}

impl<S> CacheService<S> {
    #[inline]
    fn first<R: Body>(&self, request: &Request<R>) -> First {
        self.core.shared.first(&Arrived::of(request))
    }
}

/// All that is no plain hit in memory. Cold, as a compiler sees it: a hit's way through
/// `call` is then short and straight.
impl<S: Clone> CacheService<S> {
    #[cold]
    fn aside<R, B>(&self, first: First, request: Request<R>) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let nested = nested::is_inner(request.extensions(), &self.core.shared.engine);
        match first {
            First::Hit(hit, held) => ResponseFuture::hit(hit, held, Extensions::new()),
            First::Found(found) => self.hit(*found, nested, request),
            First::Missed(missing) => self.read(missing, nested, request),
            First::Write(policy, question) => self.write(policy, question, nested, request),
            First::Content(policy, sampled) => self.content(policy, nested, sampled, request),
            First::Bypass(Bypass::RequestBody) => self.doubt(nested, request),
            First::Bypass(reason) => self.pass(reason, nested, request),
            First::Warm(warms) => self.warm(warms, request),
            First::Refill(question) => self.refill(*question, request),
            First::Observe(question, rate) => self.observe(*question, rate, nested, request),
        }
    }

    /// A hit in memory that is shaped, told of, checked or measured.
    fn hit<R, B>(
        &self,
        unusual: Unusual,
        nested: bool,
        mut request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let shared = &self.core.shared;
        let engine = &shared.engine;
        let Unusual { policy, asks, .. } = unusual;
        let ticket = nested::ticket(request.extensions(), engine);
        let counts = ticket.as_ref().is_none_or(|ticket| ticket.take());
        let (times, whole) = (unusual.found.times(), unusual.found.entry);
        let head = head_of(&request);
        shared.look_at(&policy, &whole.counts, &head, ticket.as_deref());
        let spare = match unusual.verified.is_some() {
            false => std::mem::take(request.extensions_mut()),
            true => Extensions::new(),
        };
        let held = Arc::clone(&whole);
        let mut response = reply::held(engine, held, times, Tier::Memory, unusual.head, spare);
        if reply::has_shape(&policy, &asks) {
            response = reply::shape(response, &policy, &whole.coded, request.headers(), &asks);
        }
        if counts {
            whole.counts.hit(response.body().len());
        }
        nested::mark(&mut response, nested, engine);
        if let Some(began) = unusual.began {
            whole.took(&*engine.clock, began);
            engine.sampled(&whole, &policy);
        }
        if let Some(question) = unusual.verified {
            self.verify(question, &whole, nested, request);
        }
        ResponseFuture::ready(response)
    }

    /// A request that memory could not answer.
    fn read<R, B>(
        &self,
        missing: Missing,
        nested: bool,
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        self.core.shared.engine.record();
        let (question, arrival) = (missing.question, missing.arrival);
        let family = question.family_in(arrival.endpoint);
        let (serve, mut counting) = self.counted_by(arrival.counts, missing.ticket, nested, true);
        counting.sampled = missing.sampled;
        going(
            counting,
            serve.read(question, family, missing.missed, request),
        )
    }

    /// The policy only watches.
    fn observe<R, B>(
        &self,
        question: Question,
        rate: f64,
        nested: bool,
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let (serve, counting) = self.serve(nested, true, &request);
        going(counting, serve.observe(question, rate, request))
    }

    /// The hit that was served is checked with the handler.
    fn verify<R, B>(&self, question: Question, held: &Held, nested: bool, request: Request<R>)
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let ticket = Ticket::void();
        let arrival = self.core.shared.arrival(&head_of(&request), &ticket);
        let counts = self.counts_of(arrival);
        let (serve, _) = self.counted_by(counts, ticket, nested, true);
        serve.verify(question, Arc::new(held.entry.clone()), request);
    }

    /// A layer further out renews by this request.
    fn refill<R, B>(&self, question: Question, request: Request<R>) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let (serve, counting) = self.serve(true, true, &request);
        going(counting, serve.refill(question, request))
    }

    /// A run of warming asks.
    fn warm<R, B>(&self, warms: Warms, request: Request<R>) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let (serve, counting) = self.serve(true, true, &request);
        going(counting, serve.warm(warms, request))
    }

    fn write<R, B>(
        &self,
        policy: Arc<Compiled>,
        question: Option<Box<Question>>,
        nested: bool,
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let question = question.map(|question| *question);
        let (serve, counting) = self.serve(nested, false, &request);
        going(counting, serve.write(policy, question, request))
    }

    fn content<R, B>(
        &self,
        policy: Arc<Compiled>,
        nested: bool,
        sampled: bool,
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let (serve, mut counting) = self.serve(nested, true, &request);
        counting.sampled = sampled;
        going(counting, serve.content(policy, request))
    }

    /// A body may be none and not say so, as some layers wrap it: one that has ended
    /// where it is asked at once. One that says how it is framed is one.
    fn doubt<R, B>(&self, nested: bool, request: Request<R>) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let framed = |name| request.headers().get(name).is_some_and(|said| said != "0");
        if framed(CONTENT_LENGTH) || framed(TRANSFER_ENCODING) {
            return self.pass(Bypass::RequestBody, nested, request);
        }
        let service = self.clone();
        ResponseFuture::going(Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (body, content) = rebuild::read(body, 0, std::future::ready(())).await;
            let request = Request::from_parts(parts, body);
            let answer = match content {
                Some(_) => service.aside(service.first(&request), request),
                None => service.pass(Bypass::RequestBody, nested, request),
            };
            answer.await
        }))
    }

    fn pass<R, B>(
        &self,
        reason: Bypass,
        nested: bool,
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let (serve, counting) = self.serve(nested, false, &request);
        going(counting, serve.pass(reason, request))
    }

    /// A request on its way, and this layer's part in counting it.
    fn serve<R>(
        &self,
        nested: bool,
        takes_part: bool,
        request: &Request<R>,
    ) -> (Serve<S>, Counting) {
        let shared = &self.core.shared;
        shared.engine.record();
        let ticket = first::ticket(shared, nested, request.extensions());
        let counts = self.counts_of(shared.arrival(&head_of(request), &ticket));
        self.counted_by(counts, ticket, nested, takes_part)
    }

    fn counts_of(&self, arrival: Option<Arrival>) -> Arc<Counts> {
        let rest = || self.core.shared.engine.counters.rest();
        arrival.map_or_else(rest, |arrival| arrival.counts)
    }

    fn counted_by(
        &self,
        counts: Arc<Counts>,
        ticket: Arc<Ticket>,
        nested: bool,
        takes_part: bool,
    ) -> (Serve<S>, Counting) {
        let shared = &self.core.shared;
        let engine = &shared.engine;
        let counting = Counting {
            engine: Arc::clone(engine),
            counts,
            ticket,
            nested,
            takes_part,
            sampled: false,
        };
        let serve = Serve {
            inner: self
                .core
                .inner
                .lock()
                .map_or_else(|e| e.into_inner().clone(), |s| s.clone()),
            shared: Arc::clone(shared),
            counts: Arc::clone(&counting.counts),
            ticket: Arc::clone(&counting.ticket),
            nested,
            behind: false,
        };
        (serve, counting)
    }
}

fn going<B, E>(
    counting: Counting,
    answer: impl Future<Output = Result<Response<ResponseBody<B>>, E>> + Send + 'static,
) -> ResponseFuture<B, E>
where
    B: Content,
{
    ResponseFuture::going(Box::pin(Counted::new(counting, answer)))
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.core.inner)
            .finish_non_exhaustive()
    }
}
