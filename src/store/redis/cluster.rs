//! Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Client, ErrorKind, FromRedisValue, RedisResult, Value};

use super::connect::{Connect, Connection, Messages, Node, Work};
use super::link::CONNECT;
use super::single::{listen, tcp};
use crate::inspect::Topology;

struct Cluster {
    client: ClusterClient,
    /// Some of its nodes: each tells what is published on any of them.
    nodes: Vec<Client>,
}

/// A cluster by some of its nodes.
pub(super) fn open(nodes: Vec<String>, timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    let each = nodes.iter().map(|node| Client::open(node.as_str()));
    let each = each.collect::<RedisResult<_>>()?;
    let client = ClusterClientBuilder::new(nodes)
        .connection_timeout(CONNECT)
        .response_timeout(timeout)
        .overall_response_timeout(Some(timeout * 2))
        .retries(1)
        .tcp_settings(tcp())
        .build()?;
    Ok(Box::new(Cluster {
        client,
        nodes: each,
    }))
}

impl Connect for Cluster {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        async {
            let connection: Arc<dyn Connection> =
                Arc::new(Slots(self.client.get_async_connection().await?));
            Ok(connection)
        }
        .boxed()
    }

    fn listen(&self, channel: String) -> BoxFuture<'_, RedisResult<Messages>> {
        async move {
            let mut last = (ErrorKind::ClusterConnectionNotFound, "no node is named").into();
            for node in &self.nodes {
                match listen(node, channel.clone()).await {
                    Ok(messages) => return Ok(messages),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        .boxed()
    }

    fn topology(&self) -> Topology {
        Topology::Cluster
    }

    fn any_keys(&self) -> bool {
        false
    }
}

struct Slots(ClusterConnection);

impl Connection for Slots {
    fn run<'a>(&self, work: Work<'a>) -> BoxFuture<'a, RedisResult<Value>> {
        let mut connection = self.0.clone();
        let (host, port, cmd) = match work {
            Work::One(Node::At { host, port }, cmd) => (host, port, cmd),
            Work::One(Node::Only, cmd) => {
                return Box::pin(async move { connection.req_packed_command(cmd).await });
            }
            Work::Reads(all) => {
                return Box::pin(async move {
                    let values = connection.req_packed_commands(all, 0, all.len()).await;
                    values.map(Value::Array)
                });
            }
        };
        let place = SingleNodeRoutingInfo::ByAddress {
            host: host.clone(),
            port: *port,
        };
        let routing = RoutingInfo::SingleNode(place);
        Box::pin(async move { connection.route_command(cmd.clone(), routing).await })
    }

    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        let mut connection = self.0.clone();
        async move {
            let mut ask = redis::cmd("CLUSTER");
            ask.arg("SLOTS");
            primaries(connection.req_packed_command(&ask).await?.extract_error()?)
        }
        .boxed()
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
