//! Watching without serving: the handler answers, and its answer is compared with what
//! is stored.
//!
//! What is stored stays as it is meanwhile, and ends when it would have ended: what
//! would be served is what would have been.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::select;
use http::{HeaderMap, Request, Response, StatusCode, header};

use crate::body::ResponseBody;
use crate::cache::{Engine, Family, Missed};
use crate::entry::Entry;
use crate::inner::{Content, Inner};
use crate::nested;
use crate::outcome::{Cause, Mismatch};
use crate::policy::freshness::Use;
use crate::question::{Observed, Question};
use crate::reply;
use crate::stats::Ticket;
use crate::way::Serve;

impl<S> Serve<S> {
    /// The handler answers, whatever is stored.
    pub(crate) async fn observe<R, B>(
        self,
        mut question: Question,
        rate: f64,
        request: Request<R>,
    ) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let engine = Arc::clone(&self.shared.engine);
        let (parts, body) = request.into_parts();
        let family = question.family(&self.shared, &parts);
        let missed = Missed::from(Cause::New);
        let held = match engine.is_leased(engine.now()) {
            true => engine.look_held(&mut question, &parts.headers, missed),
            false => {
                let look = engine.look_again(&mut question, &parts.headers, missed);
                look.await
            }
        };
        let found = match held {
            Ok(found) => Ok(Arc::new(found.entry.entry.clone())),
            Err(missed) => {
                let (headers, now) = (&parts.headers, engine.now());
                let of = Family {
                    name: &family,
                    counts: &self.counts,
                };
                let look = engine.look_store(&mut question, of, headers, missed, now);
                look.await.map(|found| Arc::from(found.entry))
            }
        };
        let whole = !question.head && !question.asks.conditional;
        let compares = whole && engine.dice.chance() < rate;
        let cause = match found {
            Ok(entry) => {
                let against = compares.then_some(entry);
                question.observed = Some(Observed { against });
                Cause::Observed
            }
            Err(Missed {
                stale: Some(stale), ..
            }) if matches!(
                stale.usable,
                Use::WhileRevalidating | Use::AsAsked | Use::Early(_)
            ) =>
            {
                Cause::Observed
            }
            Err(missed) => self.missed(question.place(), missed.cause),
        };
        let request = Request::from_parts(parts, body);
        self.fill(question, family, cause.into(), request).await
    }

    /// A hit was served: the handler answers the same request behind its back.
    pub(crate) fn verify<R, B>(
        mut self,
        mut question: Question,
        against: Arc<Entry>,
        mut request: Request<R>,
    ) where
        S: Inner<R, B>,
        R: Send + 'static,
        B: Content,
    {
        let Some(runtime) = self.shared.engine.runtime() else {
            return;
        };
        if question.head {
            return; // it may be on its way to a handler of its own
        }
        let against = Some(against);
        question.observed = Some(Observed { against });
        question.ask_for_all(request.headers_mut());
        self.behind = true;
        self.ticket = Ticket::void();
        nested::behind(request.extensions_mut(), &self.shared.engine);
        let engine = Arc::clone(&self.shared.engine);
        let longest = question.policy.wait;
        let turns = Arc::clone(&engine);
        engine.tasks.spawn(&runtime, async move {
            let Ok(_turn) = turns.renewals.try_acquire() else {
                return; // too many, or the cache shuts down
            };
            let work = Box::pin(async move {
                if let Ok(response) = self.refill(question, request).await {
                    reply::drain(response.into_body()).await;
                }
            });
            let late = pin!(tokio::time::sleep(longest));
            select(work, late).await; // one that hangs keeps its turn no longer
        });
    }
}

/// Compares an answer with what is stored, counts and tells the result. Without a body
/// it was not one to be stored.
pub(crate) fn compare(
    engine: &Engine,
    stored: &Entry,
    (status, headers): (StatusCode, &HeaderMap),
    body: Option<&Bytes>,
) {
    let counts = engine.counters.of(&stored.key);
    let Some((part, differs)) = mismatch(stored, status, headers, body) else {
        return counts.compared(None);
    };
    counts.compared(Some(part));
    let key = &stored.key;
    tracing::warn!(target: "larder::verify", %key, part = part.as_str(), differs, "the handler's answer is another");
}

/// The first part that differs, and where. Values are not told: they may be somebody's.
fn mismatch(
    stored: &Entry,
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&Bytes>,
) -> Option<(Mismatch, String)> {
    if status != stored.status {
        let differs = format!("{} was {}", status.as_u16(), stored.status.as_u16());
        return Some((Mismatch::Status, differs));
    }
    let Some(body) = body else {
        return Some((Mismatch::Field, "it may not be stored any more".to_owned()));
    };
    if *body != stored.body {
        let same = body.iter().zip(&stored.body).take_while(|(a, b)| a == b);
        let (at, len, was) = (same.count(), body.len(), stored.body.len());
        let differs = format!("from byte {at} on; {len} bytes, were {was}");
        return Some((Mismatch::Body, differs));
    }
    let known = stored.fields.to_headers();
    let mut names: Vec<&str> = known
        .keys()
        .chain(headers.keys())
        .filter(|name| ![header::DATE, header::AGE, header::EXPIRES].contains(name))
        .filter(|name| {
            !known
                .get_all(*name)
                .iter()
                .eq(headers.get_all(*name).iter())
        })
        .map(|name| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| (Mismatch::Field, names.join(", ")))
}
