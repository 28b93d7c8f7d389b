//! Redis Cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    Arg, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisError,
    RedisResult, Value,
};

use super::connect::{Connect, Connection, Node, Work};
use super::line::connect_within;
use super::push::{Pushes, Topic, listen, together};
use super::single::{One, config, tcp};
use crate::inspect::Topology;

struct Cluster {
    client: ClusterClient,
    /// Some of its nodes.
    nodes: Vec<Client>,
    operation: Duration,
}

/// The feature is there.
pub(super) fn prepare() -> Result<(), &'static str> {
    Ok(())
}

/// A cluster by some of its nodes.
pub(super) fn open(nodes: Vec<String>, timeout: Duration) -> RedisResult<Box<dyn Connect>> {
    let each = nodes.iter().map(|node| Client::open(node.as_str()));
    let each = each.collect::<RedisResult<_>>()?;
    let client = ClusterClientBuilder::new(nodes)
        .connection_timeout(connect_within(timeout))
        .response_timeout(timeout)
        .overall_response_timeout(Some(timeout * 2))
        .retries(1)
        .tcp_settings(tcp())
        .build()?;
    Ok(Box::new(Cluster {
        client,
        nodes: each,
        operation: timeout,
    }))
}

impl Cluster {
    /// The slots, and how the node that told of them was reached.
    async fn ranges(&self) -> RedisResult<(ConnectionInfo, Vec<Range>)> {
        let mut last = RedisError::from(nobody());
        for node in &self.nodes {
            match ask(node, self.operation).await {
                Ok(ranges) => return Ok((node.get_connection_info().clone(), ranges)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Asks one node for the slots.
async fn ask(node: &Client, operation: Duration) -> RedisResult<Vec<Range>> {
    let config = config(operation);
    let connection = node.get_multiplexed_async_connection_with_config(&config);
    ranges(&mut connection.await?, &[address(node)]).await
}

/// As it is named in the URL.
fn address(node: &Client) -> Address {
    match node.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        _ => (String::new(), 0),
    }
}

/// Another server, reached as this one was.
fn at(known: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    let mut addr = known.clone();
    match &mut addr {
        ConnectionAddr::TcpTls {
            host: h, port: p, ..
        } => (*h, *p) = (host, port),
        _ => addr = ConnectionAddr::Tcp(host, port),
    }
    addr
}

impl Connect for Cluster {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        async {
            let mut connection = self.client.get_async_connection().await?;
            let named: Vec<Address> = self.nodes.iter().map(address).collect();
            let ranges = ranges(&mut connection, &named).await?;
            let primaries = primaries(&ranges);
            let connection: Arc<dyn Connection> = Arc::new(Slots {
                connection,
                ranges,
                primaries,
                named,
            });
            Ok(connection)
        }
        .boxed()
    }

    fn connect_to<'a>(&'a self, node: &'a Node) -> BoxFuture<'a, RedisResult<Arc<dyn Connection>>> {
        async move {
            let (info, ranges) = self.ranges().await?;
            let (host, port) = match node {
                Node::Holding(key) => primary(&ranges, key.as_bytes()).cloned(),
                Node::At { host, port } => Some((host.clone(), *port)),
                Node::Only => None,
            }
            .ok_or_else(|| RedisError::from(nobody()))?;
            let at = info.clone().set_addr(at(info.addr(), host, port));
            let client = Client::open(at)?;
            let config = config(self.operation);
            let connection = client.get_multiplexed_async_connection_with_config(&config);
            let connection: Arc<dyn Connection> = Arc::new(One(connection.await?));
            Ok(connection)
        }
        .boxed()
    }

    /// Each node tells what is published on any of them, but only its own keys.
    fn listen(&self, topic: Topic) -> BoxFuture<'_, RedisResult<Pushes>> {
        async move {
            let (info, ranges) = self.ranges().await?;
            let mut links = Vec::new();
            for (host, port) in primaries(&ranges) {
                let mut topic = topic.clone();
                if !links.is_empty() {
                    topic.channel = None;
                    if topic.tracked.is_none() {
                        break;
                    }
                }
                let at = info.clone().set_addr(at(info.addr(), host, port));
                links.push(listen(&Client::open(at)?, topic, self.operation).await?);
            }
            Ok(together(links))
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

struct Slots {
    connection: ClusterConnection,
    /// As they were when it was made.
    ranges: Vec<Range>,
    primaries: Vec<Address>,
    /// The nodes of the URL.
    named: Vec<Address>,
}

type Address = (String, u16);

/// Slots that lie together, and their primary.
struct Range {
    first: u16,
    last: u16,
    primary: Address,
}

impl Connection for Slots {
    fn run<'a>(&self, work: Work<'a>) -> BoxFuture<'a, RedisResult<Value>> {
        let mut connection = self.connection.clone();
        let (host, port, cmd) = match work {
            Work::One(Node::At { host, port }, cmd) => (host, port, cmd),
            Work::One(Node::Holding(key), cmd) => {
                let route = Route::with_key(key.as_bytes(), SlotAddr::Master);
                let node = SingleNodeRoutingInfo::SpecificNode(route);
                let routing = RoutingInfo::SingleNode(node);
                return Box::pin(
                    async move { connection.route_command(cmd.clone(), routing).await },
                );
            }
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

    fn shard(&self, work: Work<'_>) -> usize {
        let holder = |key| primary(&self.ranges, key);
        let at = |address: &Address| self.primaries.iter().position(|known| known == address);
        let shard = match work {
            Work::One(Node::At { host, port }, _) => at(&(host.clone(), *port)),
            Work::One(Node::Holding(key), _) => holder(key.as_bytes()).and_then(at),
            Work::One(Node::Only, cmd) => key(cmd).and_then(holder).and_then(at),
            Work::Reads(_) => None,
        };
        shard.unwrap_or(0)
    }

    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        let mut connection = self.connection.clone();
        async move {
            let now = ranges(&mut connection, &self.named).await?;
            let node = |(host, port)| Node::At { host, port };
            Ok(primaries(&now).into_iter().map(node).collect())
        }
        .boxed()
    }
}

/// The primary that holds a key.
fn primary<'a>(ranges: &'a [Range], key: &[u8]) -> Option<&'a Address> {
    let slot = slot(key);
    let mut ranges = ranges.iter();
    let range = ranges.find(|range| (range.first..=range.last).contains(&slot))?;
    Some(&range.primary)
}

fn nobody() -> (ErrorKind, &'static str) {
    let kind = ErrorKind::ClusterConnectionNotFound;
    (kind, "no node is known that would be asked")
}

/// The primaries of ranges, each once, in an order that is always the same.
fn primaries(ranges: &[Range]) -> Vec<Address> {
    let mut primaries: Vec<_> = ranges.iter().map(|range| range.primary.clone()).collect();
    primaries.sort_unstable();
    primaries.dedup();
    primaries
}

/// The first key of a command.
fn key(cmd: &Cmd) -> Option<&[u8]> {
    let word = |n| match cmd.args_iter().nth(n) {
        Some(Arg::Simple(word)) => Some(word),
        _ => None,
    };
    match word(0)?.starts_with(b"EVAL") {
        true => word(3), // behind the script and the number of keys
        false => word(1),
    }
}

/// The slot of a key: CRC-16 (XMODEM) of what stands in its first braces, or of all.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc >> 15 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % 16_384
}

/// What `CLUSTER SLOTS` says now, to one of these.
async fn ranges(
    connection: &mut impl ConnectionLike,
    asked: &[Address],
) -> RedisResult<Vec<Range>> {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let slots = connection.req_packed_command(&ask).await?.extract_error()?;
    read_ranges(slots, asked).ok_or_else(|| {
        let kind = ErrorKind::UnexpectedReturnType;
        (kind, "CLUSTER SLOTS has another form").into()
    })
}

/// For each range its ends, its primary, its replicas. A node that does not know its host, or
/// is not to tell it, is where the one that was asked is.
fn read_ranges(slots: Value, asked: &[Address]) -> Option<Vec<Range>> {
    let array = |value| match value {
        Value::Array(items) => Some(items.into_iter()),
        _ => None,
    };
    let number = |value| u16::from_redis_value(value).ok();
    let range = |value| {
        let mut range = array(value)?;
        let (first, last) = (number(range.next()?)?, number(range.next()?)?);
        let mut primary = array(range.next()?)?;
        let host = Option::<String>::from_redis_value(primary.next()?).ok()?;
        let port = number(primary.next()?)?;
        let host = match host.filter(|host| !host.is_empty()) {
            Some(host) => host,
            None => {
                let same = asked.iter().find(|(_, known)| *known == port);
                same.or(asked.first())?.0.clone()
            }
        };
        Some(Range {
            first,
            last,
            primary: (host, port),
        })
    };
    array(slots)?.map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3); // below 16,384
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), 8_363);
        assert_eq!(slot(b"{clock}"), slot(b"api:!{clock}:scopes"));
    }

    #[test]
    fn a_host_that_is_not_told_is_that_of_the_node_that_was_asked() {
        let asked = [("a".to_owned(), 1), ("b".to_owned(), 2)];
        for (host, port, is) in [("$0\r\n", 2, "b"), ("$-1\r\n", 3, "a"), ("$1\r\nc", 3, "c")] {
            let slots = format!("*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n{host}\r\n:{port}\r\n");
            let slots = slots.replace("$-1\r\n\r\n", "$-1\r\n");
            let slots = redis::parse_redis_value(slots.as_bytes()).unwrap();
            let ranges = read_ranges(slots, &asked).unwrap();
            assert_eq!(ranges[0].primary, (is.to_owned(), port));
        }
    }

    #[test]
    fn a_commands_server_is_that_of_its_first_key() {
        let mut eval = redis::cmd("EVALSHA");
        eval.arg("hash").arg(2).arg("first").arg("second");
        assert_eq!(key(&eval), Some(&b"first"[..]));
        assert_eq!(key(redis::cmd("GET").arg("first")), Some(&b"first"[..]));
        assert_eq!(key(&redis::cmd("PING")), None);
    }
}
