//! Each request is counted once.
//!
//! 1. A request has one ticket in all layers of one cache; the outermost one
//!    writes it, and it goes along with the request (`nested.rs`). It is counted
//!    under the label, and as the user, that the outermost layer with one gives it.
//! 2. The layer that decides what the request gets counts it when its answer
//!    leaves; whoever comes second finds the ticket used.
//! 3. Where no answer leaves (the client went away, the handler panicked or
//!    failed), the outermost layer counts it: it ends last, for layers further in
//!    may end for other reasons.
//! 4. A renewal behind a request's back has a ticket that was never good: it is no
//!    request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::{Level, Span, field};

use super::counts::Counts;
use crate::body::ResponseBody;
use crate::cache::Engine;
use crate::inner::Content;
use crate::nested;
use crate::outcome::{Fault, Outcome};

/// A request's right to be counted, under a label and as somebody's too.
#[derive(Debug)]
pub(crate) struct Ticket {
    used: AtomicBool,
    labelled: AtomicBool,
    named: AtomicBool,
    began: Duration,
}

impl Ticket {
    pub(crate) fn new(began: Duration) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicBool::new(false),
            labelled: AtomicBool::new(false),
            named: AtomicBool::new(false),
            began,
        })
    }

    /// Of what is no request.
    pub(crate) fn void() -> Arc<Self> {
        let ticket = Self::new(Duration::ZERO);
        for part in [&ticket.used, &ticket.labelled, &ticket.named] {
            part.store(true, Ordering::Relaxed);
        }
        ticket
    }

    /// Whether it was good until now.
    pub(crate) fn take(&self) -> bool {
        !self.used.swap(true, Ordering::AcqRel)
    }

    /// Whether no layer has put it under a label.
    pub(crate) fn take_label(&self) -> bool {
        !self.labelled.swap(true, Ordering::AcqRel)
    }

    /// Whether no layer has counted its user.
    pub(crate) fn take_user(&self) -> bool {
        !self.named.swap(true, Ordering::AcqRel)
    }
}

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
