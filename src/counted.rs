//! [`Counted`]: a request on its way is counted when it ends, by the rules of
//! `stats/ticket.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::{Level, Span, field};

use crate::body::ResponseBody;
use crate::cache::Engine;
use crate::inner::Content;
use crate::nested;
use crate::outcome::{Fault, Outcome};
use crate::stats::{Counts, Ticket};

/// One layer's part in counting a request.
pub(crate) struct Counting {
    pub(crate) engine: Arc<Engine>,
    /// Those of the endpoint that this layer knows the request by.
    pub(crate) counts: Arc<Counts>,
    pub(crate) ticket: Arc<Ticket>,
    /// A layer of the same cache is further out.
    pub(crate) nested: bool,
    /// It takes part in caching, as far as is known at its start.
    pub(crate) takes_part: bool,
    /// It is one of those hits whose time is taken.
    pub(crate) sampled: bool,
}

impl Counting {
    fn answered<B: Content>(&self, response: &mut Response<ResponseBody<B>>) {
        let engine = &self.engine;
        if (self.nested && !nested::decided(response, engine)) || !self.ticket.take() {
            return;
        }
        let counts = &self.counts;
        let Some(outcome) = response.extensions().get::<Outcome>() else {
            return counts.unanswered(self.takes_part);
        };
        let length = response.body().size_hint().exact();
        let whose = counts.request(outcome, length.unwrap_or(0));
        let took = || engine.clock.precise().saturating_sub(self.ticket.began);
        match outcome {
            Outcome::Hit { .. } if self.sampled => counts.hit_took(took()),
            Outcome::Hit { .. } | Outcome::Bypass { .. } => {}
            Outcome::Stale { why, .. } if !why.has_waited() => {
                counts.measured.hit.record(took(), 1);
            }
            _ => counts.measured.miss.record(took(), 1),
        }
        if length.is_none() {
            let counts = Arc::clone(counts);
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = body.metered(move |bytes| counts.sent(whose, bytes));
        }
    }

    fn failed(&self) {
        if !self.nested && self.ticket.take() {
            self.counts.unanswered(self.takes_part);
            self.counts.fault(Fault::Handler);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.nested && self.ticket.take() {
            self.counts.unanswered(self.takes_part);
            self.counts.abandoned();
        }
    }
}

pin_project! {
    /// A request on its way, counted when it ends.
    pub(crate) struct Counted<F> {
        #[pin]
        future: F,
        counting: Counting,
        span: Span,
    }
}

impl<F> Counted<F> {
    pub(crate) fn new(counting: Counting, future: F) -> Self {
        // a span that nobody listens to costs more than the question whether somebody does
        let span = match tracing::span_enabled!(target: "larder", Level::INFO) {
            true => tracing::info_span!(target: "larder", "cache", outcome = field::Empty),
            false => Span::none(),
        };
        Self {
            future,
            counting,
            span,
        }
    }
}

impl<F, B, E> Future for Counted<F>
where
    F: Future<Output = Result<Response<ResponseBody<B>>, E>>,
    B: Content,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let mut answer = ready!(this.future.poll(cx));
        if let Ok(response) = &answer
            && let Some(outcome) = response.extensions().get::<Outcome>()
        {
            this.span.record("outcome", outcome.word());
        }
        match &mut answer {
            Ok(response) => this.counting.answered(response),
            Err(_) => this.counting.failed(),
        }
        Poll::Ready(answer)
    }
}
