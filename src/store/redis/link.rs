//! The link to Redis: every command with a bound in time, and none where it would
//! not be answered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::connect::{Connect, Node, Work};
use super::line::{Current, Line, connect_within, is_outage};
use super::push::{Pushes, Topic};
use super::reads::Reads;
use crate::error::{StoreError, StoreErrorKind};
use crate::inspect::Topology;
use crate::timers;

/// How long it may take at least to begin to listen, where a topology is asked first too.
const LISTEN: Duration = Duration::from_secs(1);

pub(super) struct Link {
    pub(super) reads: Reads,
    line: Arc<Line>,
}

/// Why a command got no answer.
#[derive(Clone)]
pub(super) enum Failure {
    Redis(RedisError),
    Timeout,
}

const LATE: &str = "redis did not answer in time";

/// Without one nobody could end a wait.
fn needs_runtime() -> Result<(), StoreError> {
    match timers::are_there() {
        true => Ok(()),
        false => Err(StoreError::new(StoreErrorKind::Unavailable, timers::NONE)),
    }
}

impl Failure {
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Redis(error) if is_outage(&error) => {
                StoreError::new(StoreErrorKind::Unavailable, error)
            }
            Self::Redis(error) => StoreError::new(StoreErrorKind::Refused, error),
            Self::Timeout => StoreError::new(StoreErrorKind::Timeout, LATE),
        }
    }
}

/// The right to ask one server, and how much it had answered before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    shard: usize,
    answers: u32,
}

impl Link {
    /// `timeout` is that of an ordinary command, `clock` a key of the shared clock.
    pub(super) fn new(connect: Box<dyn Connect>, timeout: Duration, clock: String) -> Self {
        Self {
            reads: Reads::default(),
            line: Arc::new(Line::new(connect, timeout, clock)),
        }
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Runs a command within `timeout`, on `node` or where its keys are.
    pub(super) async fn run(
        &self,
        node: &Node,
        cmd: &Cmd,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        needs_runtime()?;
        let (work, current) = (Work::One(node, cmd), self.line.current().clone());
        let admission = self.admit(current.shard(work))?;
        let end = self.bounded(current, work, timeout);
        let end = match timeout > self.line.timeout {
            false => end.await,
            // who has so much time has none left once the server is lost
            true => Box::pin(self.line.unless_lost(admission.shard, end)).await,
        };
        self.settle(admission, end)
    }

    /// Whether to ask now. Who is admitted lets [`settle`](Self::settle) know
    /// how it ended.
    pub(super) fn admit(&self, shard: usize) -> Result<Admission, StoreError> {
        let breaker = &self.line.breakers[shard];
        if !breaker.admits() {
            self.line.wanted();
            return Err(self.unavailable());
        }
        Ok(self.noted(shard))
    }

    /// Who has been admitted asks now.
    pub(super) fn noted(&self, shard: usize) -> Admission {
        let answers = self.line.breakers[shard].answers();
        Admission { shard, answers }
    }

    /// Opens a push link, on a connection of its own.
    pub(super) fn listen(
        &self,
        topic: Topic,
    ) -> impl Future<Output = RedisResult<Pushes>> + Send + 'static {
        let line = Arc::clone(&self.line);
        let longest = LISTEN.max(connect_within(line.timeout));
        async move {
            let listening = tokio::time::timeout(longest, line.connect.listen(topic)).await;
            listening.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()))
        }
    }

    /// The connection now.
    pub(super) fn current(&self) -> Current {
        self.line.current().clone()
    }

    /// Does some work within `timeout`.
    pub(super) async fn bounded(
        &self,
        current: Current,
        work: Work<'_>,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        match tokio::time::timeout(timeout, self.attempt(current, work)).await {
            Ok(end) => end.map_err(Failure::Redis),
            Err(_) => Err(Failure::Timeout),
        }
    }

    /// Draws the consequences of how a command ended.
    pub(super) fn settle(
        &self,
        admission: Admission,
        end: Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        self.ended(admission, end.as_ref().err());
        end.map_err(Failure::into_error)
    }

    /// The same, and nothing else.
    pub(super) fn ended(&self, admission: Admission, failure: Option<&Failure>) {
        let breaker = &self.line.breakers[admission.shard];
        match failure {
            Some(Failure::Redis(error)) if is_outage(error) => {
                if breaker.failure() {
                    self.line.lost(error);
                }
            }
            Some(Failure::Timeout) => {
                if breaker.timeout(admission.answers) {
                    self.line.lost(&LATE);
                }
            }
            Some(Failure::Redis(_)) | None => breaker.success(), // an answer is an answer
        }
    }

    /// A connection that was shared may have died since, with its server or
    /// with the runtime that drove it: the command is tried once more on a
    /// fresh one. All commands of this store may be repeated; an entry that was written under
    /// its lease is refused as too late then, and lies there.
    async fn attempt(&self, current: Current, work: Work<'_>) -> RedisResult<Value> {
        if let Some(borrowed) = current.borrowed() {
            match borrowed.run(work).await {
                Err(error) if self.line.ends(&error) => self.line.give_up(borrowed.number),
                result => return result,
            }
        }
        // in a box of its own: an ordinary command pays nothing for it
        Box::pin(self.attempt_anew(current.connection.is_none(), work)).await
    }

    /// Runs a command on a connection that has to be made; once more if
    /// somebody else made it and it has died since.
    async fn attempt_anew(&self, again: bool, work: Work<'_>) -> RedisResult<Value> {
        let borrowed = Line::borrow(&self.line).await?;
        match borrowed.run(work).await {
            Err(error) if self.line.ends(&error) => {
                self.line.give_up(borrowed.number);
                if !again || borrowed.fresh {
                    return Err(error);
                }
            }
            result => return result,
        }
        let borrowed = Line::borrow(&self.line).await?;
        let result = borrowed.run(work).await;
        if result.as_ref().is_err_and(|error| self.line.ends(error)) {
            self.line.give_up(borrowed.number);
        }
        result
    }

    /// The primaries now.
    pub(super) async fn primaries(&self, timeout: Duration) -> Result<Vec<Node>, StoreError> {
        needs_runtime()?;
        let admission = self.admit(0)?;
        let ask = async {
            let borrowed = Line::borrow(&self.line).await?;
            borrowed.connection.primaries().await
        };
        match tokio::time::timeout(timeout, ask).await {
            Ok(Ok(nodes)) => Ok(nodes),
            Ok(Err(error)) => Err(self.failed(admission, Failure::Redis(error))),
            Err(_) => Err(self.failed(admission, Failure::Timeout)),
        }
    }

    fn failed(&self, admission: Admission, failure: Failure) -> StoreError {
        match self.settle(admission, Err(failure)) {
            Err(error) => error,
            Ok(_) => self.unavailable(),
        }
    }

    fn unavailable(&self) -> StoreError {
        let why = "redis has failed repeatedly just now";
        let why = match self.line.mend.why() {
            Some(last) => format!("{why}: {last}"),
            None => why.to_owned(),
        };
        StoreError::new(StoreErrorKind::Unavailable, why)
    }

    pub(super) fn topology(&self) -> Topology {
        self.line.connect.topology()
    }

    /// For how long the breaker has been open.
    pub(super) fn open_for(&self) -> Option<Duration> {
        let breakers = self.line.breakers.iter();
        breakers.filter_map(|breaker| breaker.open_for()).max()
    }

    /// Whether the keys of one command may lie anywhere.
    pub(super) fn any_keys(&self) -> bool {
        self.line.connect.any_keys()
    }
}
