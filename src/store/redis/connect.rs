//! What a topology must do: connect, and run a command.

use futures_util::future::BoxFuture;
use redis::{Cmd, RedisResult, Value};

/// How to reach Redis. Nothing is done before `connect` is called.
pub(super) trait Connect: Send + Sync + 'static {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Box<dyn Connection>>>;

    /// Whether the keys of one command may lie anywhere.
    fn any_keys(&self) -> bool {
        true
    }
}

/// One multiplexed connection. Clones share it.
pub(super) trait Connection: Send + Sync {
    fn share(&self) -> Box<dyn Connection>;

    /// Runs a command where its keys are.
    fn run<'a>(&'a mut self, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>>;

    /// The servers that hold keys, to be scanned one by one.
    fn primaries(&mut self) -> BoxFuture<'_, RedisResult<Vec<Node>>>;

    /// Runs a command on one of them.
    fn run_on<'a>(&'a mut self, node: &'a Node, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>>;
}

/// A server of a topology.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "cluster"),
    allow(dead_code, reason = "a cluster has several")
)]
pub(super) enum Node {
    /// The only one.
    Only,
    /// One of a cluster.
    At { host: String, port: u16 },
}
