//! [`Warming`]: a run that is under way.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{join, select};
use futures_util::stream::{self, StreamExt};
use futures_util::{FutureExt, Stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::list::{Item, WarmList};
use super::mark::Told;
use super::report::{WarmReport, WarmStep, Warmed};
use super::settings::Warmup;
use super::turns::Turns;
use crate::cache::Engine;

/// A run that is under way: a stream of its steps, and its report at the end. It
/// goes on if this is dropped, and ends early with [`cancel`](Self::cancel) or
/// with the cache's [`shutdown`](crate::Cache::shutdown).
#[derive(Debug)]
pub struct Warming {
    steps: UnboundedReceiver<WarmStep>,
    report: Option<JoinHandle<WarmReport>>,
    turns: Arc<Turns>,
    total: usize,
}

impl Warming {
    /// How many items there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The next item that is done with; none when all are.
    pub async fn next(&mut self) -> Option<WarmStep> {
        self.steps.recv().await
    }

    /// Begins nothing more. What has begun comes to its end.
    pub fn cancel(&self) {
        self.turns.cancel();
    }

    /// Waits for the end, and tells what the run has come to.
    pub async fn report(self) -> WarmReport {
        let nothing = WarmReport {
            total: self.total,
            left: self.total,
            ..WarmReport::default()
        };
        match self.report {
            Some(run) => run.await.unwrap_or(nothing), // its runtime has ended
            None => nothing,
        }
    }
}

impl Stream for Warming {
    type Item = WarmStep;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WarmStep>> {
        self.steps.poll_recv(cx)
    }
}

impl Warmup {
    /// Runs `work` for each item, as for requests: bounded, paced, told and
    /// reported. For what is not warmed by a request or a typed value. Every item
    /// takes a turn ([`every`](Self::every)).
    ///
    /// ```
    /// # async fn run(cache: larder::Cache) {
    /// let run = cache.warm().concurrency(3).each(["a", "b"], |name| async move {
    ///     println!("{name}");
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// assert!(run.report().await.is_complete());
    /// # }
    /// ```
    pub fn each<T, F, E>(
        self,
        items: impl Into<WarmList<T>>,
        work: impl Fn(T) -> F + Send + Sync + 'static,
    ) -> Warming
    where
        T: Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let longest = self.timeout;
        let work = Arc::new(work);
        self.begin(items.into(), move |item, turns| {
            let work = Arc::clone(&work);
            async move {
                if turns.next().await.is_err() {
                    return Told::Cancelled;
                }
                match tokio::time::timeout(longest, work(item)).await {
                    Ok(Ok(())) => Told::Done(Warmed::Filled),
                    Ok(Err(error)) => Told::failed(error),
                    Err(_) => too_long(longest),
                }
            }
        })
    }

    /// Begins a run that does `work` with each item that can be read.
    pub(super) fn begin<T, F>(
        self,
        list: WarmList<T>,
        work: impl Fn(T, Arc<Turns>) -> F + Send + Sync + 'static,
    ) -> Warming
    where
        T: Send + 'static,
        F: Future<Output = Told> + Send + 'static,
    {
        let turns = Arc::new(Turns::new(self.every));
        let (told, steps) = unbounded_channel();
        let total = list.len();
        let runtime = Handle::try_current();
        if runtime.is_err() {
            tracing::error!(target: "larder", "no tokio runtime: nothing is warmed");
        }
        let report = runtime.ok().map(|runtime| {
            let tasks = Arc::clone(&self.engine);
            let run = run(self, list.items, Arc::clone(&turns), told, work);
            tasks.tasks.spawn(&runtime, run)
        });
        Warming {
            steps,
            report,
            turns,
            total,
        }
    }
}

async fn run<T, F>(
    how: Warmup,
    items: Vec<Item<T>>,
    turns: Arc<Turns>,
    told: UnboundedSender<WarmStep>,
    work: impl Fn(T, Arc<Turns>) -> F,
) -> WarmReport
where
    F: Future<Output = Told>,
{
    let engine: &Engine = &how.engine;
    let (start, total) = (engine.now(), items.len());
    let mut report = WarmReport {
        total,
        left: total,
        ..WarmReport::default()
    };
    let wrong = how.wrong.as_deref();
    let begun = stream::iter(items)
        .take_while(|_| std::future::ready(!turns.is_cancelled() && !engine.renewals.is_closed()));
    let mut done = pin!(
        begun
            .map(|item| {
                let (work, turns) = (&work, Arc::clone(&turns));
                async move {
                    let began = engine.now();
                    let told = match (wrong, item.what) {
                        (Some(why), _) => Told::failed(why),
                        (None, Err(why)) => Told::failed(why),
                        (None, Ok(what)) => guarded(work(what, turns)).await,
                    };
                    (item.at, item.name, told, engine.since(began))
                }
            })
            .buffer_unordered(how.concurrency)
    );
    let working = async {
        while let Some((at, name, what, took)) = done.next().await {
            let Told::Done(warmed) = what else { continue };
            let step = WarmStep {
                at,
                name,
                warmed,
                took,
                done: total - report.left + 1,
                total,
            };
            log(&step);
            report.count(&step);
            let _ = told.send(step); // nobody need listen
        }
    };
    let ending = async {
        engine.tasks.ends().await;
        turns.cancel(); // who waits for a turn waits for nothing
    };
    select(pin!(working), pin!(join(turns.grant(), ending))).await;
    report.took = engine.since(start);
    tracing::info!(target: "larder", %report, "warmed");
    report
}

/// A panic of the work fails its item alone.
async fn guarded(work: impl Future<Output = Told>) -> Told {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|_| Told::failed("it panicked"))
}

pub(super) fn too_long(longest: Duration) -> Told {
    Told::failed(format!("it took longer than {} s", longest.as_secs_f64()))
}

fn log(step: &WarmStep) {
    match &step.warmed {
        Warmed::Failed(why) => {
            tracing::warn!(target: "larder", at = step.at, name = step.name, why, "not warmed");
        }
        warmed => tracing::debug!(target: "larder", name = step.name, %warmed, "warmed"),
    }
}
