//! One server: TCP, TLS or a unix socket.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, RedisResult, Value};

use super::connect::{Connect, Connection, Node};
use super::link::CONNECT;

pub(super) struct Single(Client);

impl Single {
    pub(super) fn new(url: &str) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        Client::open(info.set_tcp_settings(tcp())).map(Self)
    }
}

/// Without `TCP_NODELAY` large values wait for acknowledgements.
pub(super) fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Operations have a bound of their own, see `link.rs`.
pub(super) fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
}

impl Connect for Single {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Box<dyn Connection>>> {
        async {
            let config = config();
            let connection = self.0.get_multiplexed_async_connection_with_config(&config);
            let connection: Box<dyn Connection> = Box::new(One(connection.await?));
            Ok(connection)
        }
        .boxed()
    }
}

/// A connection to one server.
pub(super) struct One(pub(super) MultiplexedConnection);

impl Connection for One {
    fn share(&self) -> Box<dyn Connection> {
        Box::new(Self(self.0.clone()))
    }

    fn run<'a>(&'a mut self, cmd: &'a Cmd) -> BoxFuture<'a, RedisResult<Value>> {
        self.0.req_packed_command(cmd)
    }

    fn primaries(&mut self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        ready(Ok(vec![Node::Only])).boxed()
    }

    fn run_on<'a>(
        &'a mut self,
        _node: &'a Node,
        cmd: &'a Cmd,
    ) -> BoxFuture<'a, RedisResult<Value>> {
        self.run(cmd)
    }
}
