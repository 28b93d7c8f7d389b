//! Redis Cluster.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, Value};

use super::connect::{Connect, Connection, Node};
use super::link::CONNECT;
use super::single::tcp;

struct Cluster(ClusterClient);

/// A cluster by some of its nodes.
pub(super) fn open(nodes: Vec<String>, timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    let client = ClusterClientBuilder::new(nodes)
        .connection_timeout(CONNECT)
        .response_timeout(timeout)
        .overall_response_timeout(Some(timeout * 2))
        .retries(1)
        .tcp_settings(tcp())
        .build()?;
    Ok(Box::new(Cluster(client)))
}

impl Connect for Cluster {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Box<dyn Connection>>> {
        async {
            let connection: Box<dyn Connection> =
                Box::new(Slots(self.0.get_async_connection().await?));
            Ok(connection)
        }
        .boxed()
    }

    fn any_keys(&self) -> bool {
        false
    }
}

struct Slots(ClusterConnection);

impl Connection for Slots {
    fn share(&self) -> Box<dyn Connection> {
        Box::new(Self(self.0.clone()))
    }

    fn run<'a>(&'a mut self, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>> {
        self.0.req_packed_command(cmd)
    }

    fn primaries(&mut self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        async {
            let mut ask = redis::cmd("CLUSTER");
            ask.arg("SLOTS");
            primaries(self.0.req_packed_command(&ask).await?.extract_error()?)
        }
        .boxed()
    }

    fn run_on<'a>(&'a mut self, node: &'a Node, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>> {
        let Node::At { host, port } = node else {
            return self.run(cmd);
        };
        let place = SingleNodeRoutingInfo::ByAddress {
            host: host.clone(),
            port: *port,
        };
        let routing = RoutingInfo::SingleNode(place);
        self.0.route_command(cmd.clone(), routing).boxed()
    }
}

/// The primaries of `CLUSTER SLOTS`: for each range its ends, its primary, its
/// replicas.
fn primaries(slots: Value) -> RedisResult<Vec<Node>> {
    let bad = || {
        (
            ErrorKind::UnexpectedReturnType,
            "CLUSTER SLOTS has another form",
        )
    };
    let Value::Array(ranges) = slots else {
        return Err(bad().into());
    };
    let mut nodes: Vec<(String, u16)> = Vec::new();
    for range in ranges {
        let Value::Array(range) = range else {
            return Err(bad().into());
        };
        let Some(Value::Array(primary)) = range.into_iter().nth(2) else {
            return Err(bad().into());
        };
        let mut primary = primary.into_iter();
        let (Some(host), Some(port)) = (primary.next(), primary.next()) else {
            return Err(bad().into());
        };
        nodes.push((
            String::from_redis_value(host)?,
            u16::from_redis_value(port)?,
        ));
    }
    nodes.sort_unstable();
    nodes.dedup();
    let node = |(host, port)| Node::At { host, port };
    Ok(nodes.into_iter().map(node).collect())
}
