//! [`CacheService`]: where a request meets the cache.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::ask::{Ask, Asked, Question, ask};
use crate::body::ResponseBody;
use crate::cache::{Found, Missed};
use crate::entry::Held;
use crate::error::BoxError;
use crate::future::ResponseFuture;
use crate::hint::rarely;
use crate::inner::{Content, Inner};
use crate::key::Writer;
use crate::layer::{Arrival, Shared};
use crate::nested;
use crate::outcome::{Bypass, Tier};
use crate::policy::Compiled;
use crate::reply::{self, Hit};
use crate::serve::Serve;
use crate::stats::{Counted, Counting, Counts, Ticket};
use crate::warm::{self, Warms};

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
        let shared = &self.core.shared;
        let engine = &shared.engine;
        let nested = nested::is_inner(request.extensions(), engine);
        if rarely(nested)
            && let Some(warms) = warm::of(request.extensions())
        {
            return self.warm(warms.clone(), request);
        }
        let began = engine.counters.sample(&*engine.clock);
        let mut canonical = Writer::empty();
        let (asked, pattern) = match ask(shared, &request, &mut canonical) {
            Ask::Cache(asked, pattern) => (asked, pattern),
            Ask::Write(policy, question) => {
                return self.write(Arc::clone(policy), question, nested, request);
            }
            Ask::Content(policy) => {
                let policy = Arc::clone(policy);
                return self.content(policy, nested, began.is_some(), request);
            }
            Ask::Bypass(reason) => return self.pass(reason, nested, request),
        };
        if rarely(nested) && nested::is_behind(request.extensions()) {
            return self.refill(asked.question(&canonical, None), request);
        }
        if !asked.policy.usual
            && let Some(rate) = asked.policy.watch.observe
        {
            return self.observe(asked.question(&canonical, None), rate, nested, request);
        }
        match engine.look_memory(&asked, &canonical, request.headers()) {
            Ok(found) => {
                let plain = !nested && began.is_none() && !engine.status.tells_keys();
                if rarely(!plain || !asked.is_plain()) {
                    return self.hit(asked, &canonical, found, (nested, began), request);
                }
                let (times, head) = (found.times(), asked.head);
                found.entry.counts.hit(found.entry.sends(head));
                let spare = std::mem::take(request.extensions_mut());
                let hit = Hit::of(engine, found.entry, times, Tier::Memory, head, spare);
                ResponseFuture::hit(hit)
            }
            Err((missed, variant)) => {
                let known = self.known(nested, &request);
                let new = known.is_none();
                let arrival = shared.arrived(asked.policy, pattern, &request, new);
                let question = asked.question(&canonical, variant);
                let how = (known, nested, began.is_some());
                self.read(question, arrival, missed, how, request)
            }
        }
    }
}

/// All that is no plain hit in memory. Cold, as a compiler sees it: a hit's way through
/// `call` is then short and straight.
impl<S: Clone> CacheService<S> {
    /// A hit in memory that is shaped, told of, checked or measured.
    #[cold]
    fn hit<R, B>(
        &self,
        asked: Asked<'_>,
        canonical: &Writer,
        found: Found<Arc<Held>>,
        (nested, began): (bool, Option<Duration>),
        mut request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let shared = &self.core.shared;
        let (engine, policy) = (&shared.engine, asked.policy);
        let counts = !nested || nested::counts(request.extensions(), engine);
        let (times, whole) = (found.times(), found.entry);
        shared.look_at(policy, &whole.counts, &request);
        let verified = engine.is_verified(policy);
        let spare = match verified {
            false => std::mem::take(request.extensions_mut()),
            true => http::Extensions::new(),
        };
        let held = Arc::clone(&whole);
        let mut response = reply::held(engine, held, times, Tier::Memory, asked.head, spare);
        if reply::has_shape(policy, &asked.asks) {
            let headers = request.headers();
            response = reply::shape(response, policy, &whole.coded, headers, &asked.asks);
        }
        if counts {
            whole.counts.hit(response.body().len());
        }
        nested::mark(&mut response, nested, engine);
        if let Some(began) = began {
            whole.took(&*engine.clock, began);
            engine.sampled(&whole, policy);
        }
        if verified {
            self.verify(asked.question(canonical, None), &whole, nested, request);
        }
        ResponseFuture::ready(response)
    }

    /// A request that memory could not answer.
    #[cold]
    fn read<R, B>(
        &self,
        question: Question,
        arrival: Arrival,
        missed: Missed,
        (known, nested, sampled): (Option<Arc<Ticket>>, bool, bool),
        request: Request<R>,
    ) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        self.core.shared.engine.record();
        let family = question.family_in(arrival.endpoint);
        let (serve, mut counting) = self.counted_by(arrival.counts, known, nested, true);
        counting.sampled = sampled;
        going(counting, serve.read(question, family, missed, request))
    }

    /// The policy only watches.
    #[cold]
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
    #[cold]
    fn verify<R, B>(&self, question: Question, held: &Held, nested: bool, request: Request<R>)
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let arrival = self.core.shared.arrival(&request, false);
        let counts = self.counts_of(arrival);
        let (serve, _) = self.counted_by(counts, Some(Ticket::void()), nested, true);
        serve.verify(question, Arc::new(held.entry.clone()), request);
    }

    /// A layer further out renews by this request.
    #[cold]
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
    #[cold]
    fn warm<R, B>(&self, warms: Warms, request: Request<R>) -> ResponseFuture<B, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let (serve, counting) = self.serve(true, true, &request);
        going(counting, serve.warm(warms, request))
    }

    #[cold]
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

    #[cold]
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

    #[cold]
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
        let known = self.known(nested, request);
        let counts = self.counts_of(shared.arrival(request, known.is_none()));
        self.counted_by(counts, known, nested, takes_part)
    }

    /// What a request is counted by already: a layer further out has it.
    fn known<R>(&self, nested: bool, request: &Request<R>) -> Option<Arc<Ticket>> {
        match nested && nested::is_behind(request.extensions()) {
            true => Some(Ticket::void()),
            false => nested::ticket(request.extensions(), &self.core.shared.engine),
        }
    }

    fn counts_of(&self, arrival: Option<Arrival>) -> Arc<Counts> {
        let rest = || self.core.shared.engine.counters.rest();
        arrival.map_or_else(rest, |arrival| arrival.counts)
    }

    fn counted_by(
        &self,
        counts: Arc<Counts>,
        known: Option<Arc<Ticket>>,
        nested: bool,
        takes_part: bool,
    ) -> (Serve<S>, Counting) {
        let shared = &self.core.shared;
        let engine = &shared.engine;
        let counting = Counting {
            engine: Arc::clone(engine),
            counts,
            ticket: known.unwrap_or_else(|| Ticket::new(engine.clock.precise())),
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
