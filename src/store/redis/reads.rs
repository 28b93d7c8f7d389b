//! Reads that go together. While few are under way each is sent at once, by who
//! asks. Else whoever asks first starts a task; all who ask until it runs share
//! its command and its wait for the connection. Each has a bound and an end of its
//! own; for the breaker they are the one command that they are.
//!
//! The first answer waits for the last. So what is large goes in smaller commands, and
//! after one that was late each read goes by itself, until one has had its reply.
//!
//! Nobody waits for a task that may never run: only readers of the runtime
//! that runs it join it, and one that is dropped with its runtime takes what
//! was waiting along. All others ask by themselves.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use redis::{Cmd, ErrorKind, Pipeline, Value};
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connect::{Node, Work};
use super::line::is_outage;
use super::link::{Admission, Failure, Link};
use crate::error::StoreError;
use crate::key::Key;

const GET: &str = "GET";
const MGET: &str = "MGET";
/// More reads than this are more than one command: the first answer waits for
/// the last.
const MOST: usize = 16;
/// Until so many are under way, reads go by themselves: a task costs more than it spares.
const FEW: usize = 4;
/// A reply is not to be longer than this, in bytes.
const LONG: usize = 1 << 20;

/// The reads that are under way, and those that wait for their task to run.
pub(super) struct Reads {
    under_way: AtomicUsize,
    forming: Mutex<Forming>,
    /// So many go together: what the last replies were like decides.
    most: AtomicUsize,
}

impl Default for Reads {
    fn default() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            forming: Mutex::default(),
            most: AtomicUsize::new(MOST),
        }
    }
}

/// A read that is under way, until it has ended or is dropped.
struct UnderWay<'a> {
    reads: &'a Reads,
    /// Few others were when it began.
    alone: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.reads.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Forming {
    /// Where the task will run that takes them, if there is one.
    runtime: Option<Id>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    key: Key,
    end: oneshot::Sender<Result<Value, Failure>>,
}

/// The threads of a runtime. Where there are many, the task may be stuck behind one that
/// blocks its thread, while its readers go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workers {
    One,
    Many,
}

impl Workers {
    fn of(runtime: &Handle) -> Self {
        match runtime.runtime_flavor() {
            RuntimeFlavor::CurrentThread => Self::One,
            _ => Self::Many,
        }
    }
}

impl Reads {
    fn forming(&self) -> MutexGuard<'_, Forming> {
        let forming = self.forming.lock();
        forming.unwrap_or_else(|broken| broken.into_inner())
    }

    fn begin(&self) -> UnderWay<'_> {
        let alone = self.under_way.fetch_add(1, Ordering::Relaxed) < FEW;
        UnderWay { reads: self, alone }
    }

    /// Learns from a reply to so many reads how many to ask for in the next command. `slow` is
    /// that it took long.
    fn heard(&self, reads: usize, bytes: usize, slow: bool) {
        let most = self.most.load(Ordering::Relaxed);
        let more = if slow { reads / 2 } else { most + 1 };
        let fit = LONG / (bytes / reads.max(1)).max(1);
        let next = more.min(fit).clamp(1, MOST);
        if next != most {
            self.most.store(next, Ordering::Relaxed);
        }
    }

    fn were_late(&self) {
        self.most.store(1, Ordering::Relaxed);
    }

    /// One more that waits, if those who do are of its runtime, and reads go together. Returns
    /// whether it is the first, for whom a task is to be started, and all of them if they are
    /// enough.
    fn add(&self, runtime: Id, waiting: Waiting) -> Option<(bool, Option<Vec<Waiting>>)> {
        let most = self.most.load(Ordering::Relaxed);
        let mut forming = self.forming();
        if forming.runtime.map_or(most < 2, |id| id != runtime) {
            return None;
        }
        let first = forming.runtime.replace(runtime).is_none();
        forming.waiting.push(waiting);
        let enough = forming.waiting.len() >= most;
        Some((first, enough.then(|| mem::take(&mut forming.waiting))))
    }
}

impl Link {
    /// Runs `GET` within `timeout`, together with others where it can.
    pub(super) async fn read(
        self: &Arc<Self>,
        key: &Key,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        if !self.any_keys() {
            let get = get(key);
            return Box::pin(self.run(&Node::Only, &get, timeout)).await;
        }
        let admission = self.admit(0)?; // keys that lie anywhere are on one server
        let under_way = self.reads.begin();
        let joined = match under_way.alone {
            true => None,
            false => self.join(key, timeout),
        };
        let Some((end, workers)) = joined else {
            return Box::pin(self.read_alone(admission, key, timeout)).await;
        };
        let end = match workers {
            // on one thread nobody is polled while the task is stuck, and that has a timer
            Workers::One => end.await.unwrap_or_else(|_| Err(stopped())),
            Workers::Many => match tokio::time::timeout(timeout, end).await {
                Ok(end) => end.unwrap_or_else(|_| Err(stopped())),
                Err(_) => Err(Failure::Timeout),
            },
        };
        end.map_err(Failure::into_error)
    }

    /// By who asks. On a runtime that has ended its timer panics.
    async fn read_alone(
        &self,
        admission: Admission,
        key: &Key,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let get = get(key);
        let work = Work::One(&Node::Only, &get);
        let end = AssertUnwindSafe(self.bounded(self.current(), work, timeout));
        let end = end.catch_unwind().await;
        let end = end.unwrap_or_else(|_| Err(stopped()));
        if let Ok(value) = &end {
            self.reads.heard(1, len_of(value), false);
        }
        self.settle(admission, end)
    }

    /// Waits with others, if they are of the same runtime.
    fn join(
        self: &Arc<Self>,
        key: &Key,
        timeout: Duration,
    ) -> Option<(oneshot::Receiver<Result<Value, Failure>>, Workers)> {
        let runtime = Handle::try_current().ok()?;
        let (end, ended) = oneshot::channel();
        let key = key.clone();
        let (first, full) = self.reads.add(runtime.id(), Waiting { key, end })?;
        // without the lock: a runtime that has ended drops here what is spawned
        if first {
            let mut taker = Taker(Some(Arc::clone(self)));
            runtime.spawn(async move {
                if let Some((link, waiting)) = taker.take() {
                    link.read_all(waiting, timeout).await;
                }
            });
        }
        if let Some(full) = full {
            let link = Arc::clone(self);
            runtime.spawn(async move { link.read_all(full, timeout).await });
        }
        Some((ended, Workers::of(&runtime)))
    }

    async fn read_all(&self, mut waiting: Vec<Waiting>, timeout: Duration) {
        waiting.retain(|waiting| !waiting.end.is_closed());
        if waiting.is_empty() {
            return;
        }
        let (admission, asked) = (self.noted(0), Instant::now());
        let values = match self.values(&waiting, timeout).await {
            Ok(values) if values.len() == waiting.len() => Ok(values),
            Ok(_) => Err(failure("redis answered to something else")),
            Err(failure) => Err(failure),
        };
        self.ended(admission, values.as_ref().err());
        let values = match values {
            Ok(values) => values,
            Err(failure) => {
                if let Failure::Timeout = failure {
                    self.reads.were_late();
                }
                return end_all(waiting, &failure);
            }
        };
        let slow = asked.elapsed() > timeout / 2;
        let bytes = values.iter().map(len_of).sum();
        self.reads.heard(waiting.len(), bytes, slow);
        for (Waiting { end, .. }, value) in waiting.into_iter().zip(values) {
            // nobody may be there any more
            let _ = end.send(match value {
                Value::ServerError(error) => Err(Failure::Redis(error.into())),
                value => Ok(value),
            });
        }
    }

    /// What lies under the keys of those who wait.
    async fn values(&self, waiting: &[Waiting], timeout: Duration) -> Result<Vec<Value>, Failure> {
        match waiting {
            [one] => {
                let get = get(&one.key);
                let work = Work::One(&Node::Only, &get);
                let value = self.bounded(self.current(), work, timeout).await?;
                Ok(vec![value])
            }
            many => self.values_together(many, timeout).await,
        }
    }

    /// By one command, which takes what is no string for nothing.
    async fn values_together(
        &self,
        waiting: &[Waiting],
        timeout: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let end = Instant::now() + timeout;
        let all = get_all(waiting);
        let work = Work::One(&Node::Only, &all);
        match self.bounded(self.current(), work, timeout).await {
            Ok(Value::Array(values)) => Ok(values),
            Ok(_) => Ok(Vec::new()),
            Err(Failure::Redis(error)) if !is_outage(&error) => {
                let left = end.saturating_duration_since(Instant::now());
                Box::pin(self.values_one_by_one(waiting, left)).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// The same by a command for each: who may not read one of the keys may read the others.
    async fn values_one_by_one(
        &self,
        waiting: &[Waiting],
        timeout: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let mut pipeline = Pipeline::with_capacity(waiting.len());
        for Waiting { key, .. } in waiting {
            pipeline.add_command(get(key));
        }
        let work = Work::Reads(&pipeline);
        match self.bounded(self.current(), work, timeout).await? {
            Value::Array(values) => Ok(values),
            _ => Ok(Vec::new()),
        }
    }
}

fn end_all(waiting: Vec<Waiting>, failure: &Failure) {
    for Waiting { end, .. } in waiting {
        let _ = end.send(Err(failure.clone()));
    }
}

/// Takes what is waiting, once; also where its task never runs.
struct Taker(Option<Arc<Link>>);

impl Taker {
    fn take(&mut self) -> Option<(Arc<Link>, Vec<Waiting>)> {
        let link = self.0.take()?;
        let waiting = mem::take(&mut *link.reads.forming()).waiting;
        Some((link, waiting))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.take();
    }
}

fn len_of(value: &Value) -> usize {
    match value {
        Value::BulkString(bytes) => bytes.len(),
        _ => 0,
    }
}

fn get(key: &Key) -> Cmd {
    let name = key.as_str();
    let mut get = Cmd::with_capacity(2, GET.len() + name.len());
    get.arg(GET).arg(name);
    get
}

fn get_all(waiting: &[Waiting]) -> Cmd {
    let names = waiting.iter().map(|waiting| waiting.key.as_str().len());
    let len = MGET.len() + names.sum::<usize>();
    let mut all = Cmd::with_capacity(1 + waiting.len(), len);
    all.arg(MGET);
    for Waiting { key, .. } in waiting {
        all.arg(key.as_str());
    }
    all
}

fn stopped() -> Failure {
    failure("the runtime of a read ended")
}

fn failure(why: &'static str) -> Failure {
    Failure::Redis((ErrorKind::Io, why).into())
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
