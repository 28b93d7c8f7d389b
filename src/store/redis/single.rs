//! One server: TCP, TLS or a unix socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisResult, Value};

use super::connect::{Connect, Connection, Node, Work};
use super::line::connect_within;
use super::push::{Pushes, Topic, listen};

/// How many commands may wait to be written. With the crate's 50 a busy server
/// pays for a second wait with each command.
const QUEUE: usize = 1_024;

pub(super) struct Single {
    client: Client,
    operation: Duration,
}

impl Single {
    pub(super) fn new(url: &str, operation: Duration) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        let client = Client::open(info.set_tcp_settings(tcp()))?;
        Ok(Self { client, operation })
    }
}

/// Without `TCP_NODELAY` large values wait for acknowledgements.
pub(super) fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Operations have a bound of their own, see `link.rs`: `operation`.
pub(super) fn config(operation: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_within(operation)))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
}

impl Connect for Single {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        async {
            let config = config(self.operation);
            let connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config);
            let connection: Arc<dyn Connection> = Arc::new(One(connection.await?));
            Ok(connection)
        }
        .boxed()
    }

    fn listen(&self, topic: Topic) -> BoxFuture<'_, RedisResult<Pushes>> {
        listen(&self.client, topic, self.operation).boxed()
    }
}

/// A connection to one server.
pub(super) struct One(pub(super) MultiplexedConnection);

impl Connection for One {
    fn run<'a>(&self, work: Work<'a>) -> BoxFuture<'a, RedisResult<Value>> {
        let mut connection = self.0.clone();
        match work {
            Work::One(_, cmd) => Box::pin(async move { connection.send_packed_command(cmd).await }),
            Work::Reads(all) => Box::pin(async move {
                let values = connection.send_packed_commands(all, 0, all.len()).await;
                values.map(Value::Array)
            }),
        }
    }

    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        ready(Ok(vec![Node::Only])).boxed()
    }
}
