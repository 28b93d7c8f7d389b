//! The link to Redis: one connection shared by all, made when it is first
//! needed and again when it has died; every command with a bound in time.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::breaker::Breaker;
use super::connect::{Connect, Connection, Messages, Node, Work};
use super::reads::Reads;
use crate::clock::Clock;
use crate::error::{StoreError, StoreErrorKind};
use crate::inspect::Topology;

/// How long making a connection may take.
pub(super) const CONNECT: Duration = Duration::from_millis(250);
/// How long it may take to begin to listen, where a topology is asked first too.
const LISTEN: Duration = Duration::from_secs(1);
/// A connection on which this many commands in a row ran out of time is given
/// up: it hangs, or leads to a server that does.
const HUNG: u32 = 3;

pub(super) struct Link {
    pub(super) reads: Reads,
    line: Arc<Line>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
}

/// Why a command got no answer.
#[derive(Clone)]
pub(super) enum Failure {
    Redis(RedisError),
    /// On the connection of this number.
    Timeout(u64),
}

/// The connection, and how to make it.
struct Line {
    connect: Box<dyn Connect>,
    current: Mutex<Current>,
    /// Commands in a row that ran out of time on it. Changed under the lock of
    /// `current`, read without.
    timeouts: AtomicU32,
    /// Held while a connection is made, so that one is.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Current {
    connection: Option<Arc<dyn Connection>>,
    /// Counts connections, so that a dead one is given up once.
    number: u64,
}

/// A connection in use.
struct Borrowed {
    connection: Arc<dyn Connection>,
    number: u64,
    /// Made for this very use.
    fresh: bool,
}

impl Borrowed {
    /// An error that the server answers with is an error here too.
    /// An error among the answers of reads stays where it is, unless it ends
    /// the connection.
    async fn run(&self, work: Work<'_>) -> Result<Value, RedisError> {
        match self.connection.run(work).await? {
            Value::ServerError(error) => Err(error.into()),
            Value::Array(values) if matches!(work, Work::Reads(_)) => {
                match values.iter().find_map(deadly) {
                    Some(error) => Err(error),
                    None => Ok(Value::Array(values)),
                }
            }
            value => Ok(value),
        }
    }
}

impl Link {
    pub(super) fn new(connect: Box<dyn Connect>, clock: Arc<dyn Clock>) -> Self {
        Self {
            reads: Reads::default(),
            line: Arc::new(Line {
                connect,
                current: Mutex::default(),
                timeouts: AtomicU32::new(0),
                connecting: tokio::sync::Mutex::new(()),
            }),
            breaker: Breaker::new(),
            clock,
        }
    }

    /// Runs a command within `timeout`, on `node` or where its keys are.
    pub(super) async fn run(
        &self,
        node: &Node,
        cmd: &Cmd,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        self.admit()?;
        let end = self.bounded(Work::One(node, cmd), timeout).await;
        self.settle(end)
    }

    /// Whether to ask now. Who is admitted lets [`settle`](Self::settle) know
    /// how it ended.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        match self.breaker.admits(|| self.clock.monotonic()) {
            true => Ok(()),
            false => Err(unavailable()),
        }
    }

    /// Listens to a channel, on a connection of its own.
    pub(super) fn listen(
        &self,
        channel: String,
    ) -> impl Future<Output = RedisResult<Messages>> + Send + 'static {
        let line = Arc::clone(&self.line);
        async move {
            let listening = tokio::time::timeout(LISTEN, line.connect.listen(channel)).await;
            listening.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()))
        }
    }

    /// The number of the connection now.
    pub(super) fn number(&self) -> u64 {
        self.line.current().number
    }

    /// Does some work within `timeout`.
    pub(super) async fn bounded(
        &self,
        work: Work<'_>,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let current = self.line.current().clone();
        let number = current.number;
        match tokio::time::timeout(timeout, self.attempt(current, work)).await {
            Ok(end) => end.map_err(Failure::Redis),
            Err(_) => Err(Failure::Timeout(number)),
        }
    }

    /// Draws the consequences of how a command ended.
    pub(super) fn settle(&self, end: Result<Value, Failure>) -> Result<Value, StoreError> {
        match end {
            Ok(value) => {
                self.breaker.success();
                self.line.answered();
                Ok(value)
            }
            Err(Failure::Redis(error)) => Err(self.failed(error)),
            Err(Failure::Timeout(number)) => {
                self.breaker.failure(self.clock.monotonic());
                self.line.timed_out(number);
                let why = "redis did not answer in time";
                Err(StoreError::new(StoreErrorKind::Timeout, why))
            }
        }
    }

    /// A connection that was shared may have died since, with its server or
    /// with the runtime that drove it: the command is tried once more on a
    /// fresh one. All commands of this store may be repeated.
    async fn attempt(&self, current: Current, work: Work<'_>) -> Result<Value, RedisError> {
        if let Some(borrowed) = current.borrowed() {
            match borrowed.run(work).await {
                Err(error) if is_dead(&error) => self.line.give_up(borrowed.number),
                result => return result,
            }
        }
        // in a box of its own: an ordinary command pays nothing for it
        Box::pin(self.attempt_anew(current.connection.is_none(), work)).await
    }

    /// Runs a command on a connection that has to be made; once more if
    /// somebody else made it and it has died since.
    async fn attempt_anew(&self, again: bool, work: Work<'_>) -> Result<Value, RedisError> {
        let borrowed = Line::borrow(&self.line).await?;
        match borrowed.run(work).await {
            Err(error) if is_dead(&error) => {
                self.line.give_up(borrowed.number);
                if !again || borrowed.fresh {
                    return Err(error);
                }
            }
            result => return result,
        }
        let borrowed = Line::borrow(&self.line).await?;
        let result = borrowed.run(work).await;
        if result.as_ref().is_err_and(is_dead) {
            self.line.give_up(borrowed.number);
        }
        result
    }

    /// The primaries now.
    pub(super) async fn primaries(&self, timeout: Duration) -> Result<Vec<Node>, StoreError> {
        self.admit()?;
        let ask = async {
            let borrowed = Line::borrow(&self.line).await?;
            borrowed.connection.primaries().await
        };
        match tokio::time::timeout(timeout, ask).await {
            Ok(Ok(nodes)) => {
                self.breaker.success();
                Ok(nodes)
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(elapsed) => Err(StoreError::new(StoreErrorKind::Timeout, elapsed)),
        }
    }

    pub(super) fn topology(&self) -> Topology {
        self.line.connect.topology()
    }

    /// For how long the breaker has been open.
    pub(super) fn open_for(&self) -> Option<Duration> {
        self.breaker.open_for(self.clock.monotonic())
    }

    /// Whether the keys of one command may lie anywhere.
    pub(super) fn any_keys(&self) -> bool {
        self.line.connect.any_keys()
    }

    fn failed(&self, error: RedisError) -> StoreError {
        if is_outage(&error) {
            self.breaker.failure(self.clock.monotonic());
            return StoreError::new(StoreErrorKind::Unavailable, error);
        }
        self.breaker.success(); // an answer is an answer
        StoreError::new(StoreErrorKind::Refused, error)
    }
}

impl Line {
    /// The connection. One that must be made first is made in a task of its
    /// own: a caller whose time is up does not stop it.
    async fn borrow(line: &Arc<Self>) -> Result<Borrowed, RedisError> {
        if let Some(borrowed) = line.current().borrowed() {
            return Ok(borrowed);
        }
        let line = Arc::clone(line);
        let made = tokio::spawn(async move { line.make().await }).await;
        made.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting was stopped").into()))
    }

    async fn make(&self) -> Result<Borrowed, RedisError> {
        let _one = self.connecting.lock().await;
        if let Some(borrowed) = self.current().borrowed() {
            return Ok(borrowed);
        }
        let connection = self.connect.connect().await?;
        let mut current = self.current();
        current.connection = Some(Arc::clone(&connection));
        current.number += 1;
        self.timeouts.store(0, Relaxed);
        Ok(Borrowed {
            connection,
            number: current.number,
            fresh: true,
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    fn give_up(&self, number: u64) {
        let mut current = self.current();
        if current.number == number {
            current.connection = None;
        }
    }

    /// Counts a timeout of the connection that was there when it began.
    fn timed_out(&self, number: u64) {
        let mut current = self.current();
        if current.number != number {
            return;
        }
        if self.timeouts.fetch_add(1, Relaxed) + 1 >= HUNG {
            self.timeouts.store(0, Relaxed);
            current.connection = None;
        }
    }

    /// A command ended in time: what ran out of it was not in a row.
    fn answered(&self) {
        if self.timeouts.load(Relaxed) > 0 {
            let _changing = self.current();
            self.timeouts.store(0, Relaxed);
        }
    }
}

impl Current {
    fn borrowed(&self) -> Option<Borrowed> {
        Some(Borrowed {
            connection: Arc::clone(self.connection.as_ref()?),
            number: self.number,
            fresh: false,
        })
    }
}

fn unavailable() -> StoreError {
    let why = "redis has failed repeatedly just now";
    StoreError::new(StoreErrorKind::Unavailable, why)
}

/// The error that a value is, if the connection is of no use with it.
fn deadly(value: &Value) -> Option<RedisError> {
    match value {
        Value::ServerError(error) => Some(error.clone().into()).filter(is_dead),
        _ => None,
    }
}

/// A new connection may do better.
fn is_dead(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Not the command's fault.
fn is_outage(error: &RedisError) -> bool {
    let kinds = [
        ServerErrorKind::BusyLoading,
        ServerErrorKind::ClusterDown,
        ServerErrorKind::MasterDown,
        ServerErrorKind::ReadOnly,
    ];
    is_dead(error)
        || matches!(error.kind(), ErrorKind::Server(kind) if kinds.contains(&kind))
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed
        )
}
