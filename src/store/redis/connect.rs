//! What a topology must do: connect, and run a command.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{Cmd, Pipeline, RedisResult, Value};

use super::push::{Pushes, Topic};

use crate::inspect::Topology;

/// How to reach Redis. Nothing is done before `connect` is called.
pub(super) trait Connect: Send + Sync + 'static {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>>;

    /// A connection to the one server that holds a key.
    fn connect_to<'a>(&'a self, _: &'a Node) -> BoxFuture<'a, RedisResult<Arc<dyn Connection>>> {
        self.connect()
    }

    /// Opens a push link, on a connection of its own.
    fn listen(&self, topic: Topic) -> BoxFuture<'_, RedisResult<Pushes>>;

    fn topology(&self) -> Topology {
        Topology::Server
    }

    /// Whether the keys of one command may lie anywhere.
    fn any_keys(&self) -> bool {
        true
    }
}

/// One multiplexed connection.
pub(super) trait Connection: Send + Sync {
    fn run<'a>(&self, work: Work<'a>) -> BoxFuture<'a, RedisResult<Value>>;

    /// Which of the primaries some work is for, as far as this connection knows.
    fn shard(&self, work: Work<'_>) -> usize {
        let _ = work;
        0
    }

    /// The servers that hold keys, to be scanned one by one.
    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>>;
}

/// What a connection is asked to do. It may be done twice.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "a cluster has several servers")
)]
pub(super) enum Work<'a> {
    /// A command on a server, or where its keys are.
    One(&'a Node, &'a Cmd),
    /// Reads, answered by an array. Only where keys may lie anywhere.
    Reads(&'a Pipeline),
}

/// A server of a topology.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "a cluster has several")
)]
pub(super) enum Node {
    /// The only one, or any that has the keys.
    Only,
    /// The one that has this key.
    Holding(String),
    /// One of a cluster.
    At { host: String, port: u16 },
}
