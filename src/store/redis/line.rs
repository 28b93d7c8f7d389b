//! The connection that all share: made when it is first needed, and again when it
//! has died.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::breaker::Breaker;
use super::connect::{Connect, Connection, Node, Work};
use super::mend::Mend;
use super::own::Own;

/// How long making one connection may take, where no operation may take longer.
const CONNECT: Duration = Duration::from_millis(250);

/// And all that a topology needs at least: its nodes are asked first.
const TOPOLOGY: Duration = Duration::from_secs(2);
/// Servers that are told apart; of more, some share a breaker.
pub(super) const SHARDS: usize = 16;

/// How long making a connection may take where an operation may take so long: a server that is
/// far away needs several of its round trips.
pub(super) fn connect_within(operation: Duration) -> Duration {
    CONNECT.max(operation)
}

/// The connection, how to make it, and whether to use it.
pub(super) struct Line {
    pub(super) connect: Box<dyn Connect>,
    pub(super) breakers: [Breaker; SHARDS],
    pub(super) mend: Mend,
    pub(super) own: Own,
    /// Where the shared clock is, and a command there that changes nothing and is
    /// answered as its scripts are.
    pub(super) clock: Node,
    probe: Cmd,
    /// How long an ordinary command may take.
    pub(super) timeout: Duration,
    current: Mutex<Current>,
    /// Held while a connection is made, so that one is.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
pub(super) struct Current {
    pub(super) connection: Option<Arc<dyn Connection>>,
    /// Counts connections, so that a dead one is given up once.
    pub(super) number: u64,
}

/// A connection in use.
pub(super) struct Borrowed {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) number: u64,
    /// Made for this very use.
    pub(super) fresh: bool,
}

impl Borrowed {
    /// An error that the server answers with is an error here too.
    /// An error among the answers of reads stays where it is, unless it ends
    /// the connection.
    pub(super) async fn run(&self, work: Work<'_>) -> RedisResult<Value> {
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

impl Current {
    pub(super) fn borrowed(&self) -> Option<Borrowed> {
        Some(Borrowed {
            connection: Arc::clone(self.connection.as_ref()?),
            number: self.number,
            fresh: false,
        })
    }

    /// Which breaker is that of the server which some work is for.
    pub(super) fn shard(&self, work: Work<'_>) -> usize {
        let connection = self.connection.as_ref();
        connection.map_or(0, |connection| connection.shard(work)) % SHARDS
    }
}

impl Line {
    pub(super) fn new(connect: Box<dyn Connect>, timeout: Duration, clock: String) -> Self {
        let mut probe = redis::cmd("HDEL");
        probe.arg(&clock).arg("-");
        Self {
            connect,
            breakers: Default::default(),
            mend: Mend::default(),
            own: Own::default(),
            clock: Node::Holding(clock),
            probe,
            timeout,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn probe(&self) -> Work<'_> {
        Work::One(&self.clock, &self.probe)
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection. One that must be made first is made in a task of its
    /// own: a caller whose time is up does not stop it.
    pub(super) async fn borrow(line: &Arc<Self>) -> RedisResult<Borrowed> {
        if let Some(borrowed) = line.current().borrowed() {
            return Ok(borrowed);
        }
        let line = Arc::clone(line);
        let made = tokio::spawn(async move { line.make().await }).await;
        made.unwrap_or_else(|_| Err((ErrorKind::Io, "connecting was stopped").into()))
    }

    /// Makes a connection, unless there is one. All who need it wait for this one;
    /// once it fails nobody does any more.
    async fn make(self: &Arc<Self>) -> RedisResult<Borrowed> {
        let _one = self.turn().await;
        if let Some(borrowed) = self.current().borrowed() {
            return Ok(borrowed);
        }
        if !self.is_up() {
            return Err((ErrorKind::Io, "there is no connection").into());
        }
        let made = self.make_one().await;
        if let Err(error) = &made {
            self.away(error);
        }
        made
    }

    /// How long it may take to connect, a topology included.
    pub(super) fn longest(&self) -> Duration {
        TOPOLOGY.max(connect_within(self.timeout))
    }

    /// Makes a connection in place of the one that there is.
    pub(super) async fn make_another(&self) -> RedisResult<Borrowed> {
        let _one = self.turn().await;
        self.make_one().await
    }

    /// Its turn to make a connection. Nobody waits for another for longer than that may
    /// take: his runtime may not be driven.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let turn = tokio::time::timeout(self.longest(), self.connecting.lock());
        turn.await.ok()
    }

    async fn make_one(&self) -> RedisResult<Borrowed> {
        let connecting = tokio::time::timeout(self.longest(), self.connect.connect()).await;
        let late = |_| Err((ErrorKind::Io, "no connection in time").into());
        let connection = connecting.unwrap_or_else(late)?;
        let mut current = self.current();
        current.connection = Some(Arc::clone(&connection));
        current.number += 1;
        Ok(Borrowed {
            connection,
            number: current.number,
            fresh: true,
        })
    }

    /// Whether an error is the end of the connection. That to a cluster outlives a
    /// server that is gone, and not its own runtime.
    pub(super) fn ends(&self, error: &RedisError) -> bool {
        match self.connect.any_keys() {
            true => is_dead(error),
            false => error.is_connection_dropped() && !error.is_connection_refusal(),
        }
    }

    /// The answers that come are those to other questions: one was lost, or came twice. The
    /// next who asks connects anew.
    pub(super) fn out_of_step(&self) {
        self.current().connection = None;
        self.own.close();
    }

    pub(super) fn give_up(&self, number: u64) {
        let mut current = self.current();
        if current.number == number {
            current.connection = None;
        }
    }
}

/// The error that a value is, if the connection is of no use with it.
fn deadly(value: &Value) -> Option<RedisError> {
    match value {
        Value::ServerError(error) => Some(error.clone().into()).filter(is_dead),
        _ => None,
    }
}

/// A new connection may do better.
pub(super) fn is_dead(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Not the command's fault.
pub(super) fn is_outage(error: &RedisError) -> bool {
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
