//! What a topology must do: connect, and run a command.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{Cmd, RedisResult, Value};

/// How to reach Redis. Nothing is done before `connect` is called.
pub(super) trait Connect: Send + Sync + 'static {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>>;

    /// Whether the keys of one command may lie anywhere.
    fn any_keys(&self) -> bool {
        true
    }
}

/// One multiplexed connection.
pub(super) trait Connection: Send + Sync {
    /// Runs a command on a server, or where its keys are.
    fn run<'a>(&self, node: &'a Node, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>>;

    /// The servers that hold keys, to be scanned one by one.
    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>>;
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
    /// One of a cluster.
    At { host: String, port: u16 },
}
