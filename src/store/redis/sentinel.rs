//! Redis behind Sentinel: the present primary is asked for at every connect.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, IntoConnectionInfo, RedisResult};

use super::connect::{Connect, Connection};
use super::nodes::SentinelUrl;
use super::push::{Pushes, Topic, listen};
use super::single::{One, config, tcp};
use crate::inspect::Topology;

struct Sentinel {
    sentinels: Vec<ConnectionAddr>,
    url: SentinelUrl,
    operation: Duration,
}

/// The feature is there.
pub(super) fn prepare() -> Result<(), &'static str> {
    Ok(())
}

pub(super) fn open(url: SentinelUrl, operation: Duration) -> RedisResult<Box<dyn Connect>> {
    let sentinels: Vec<_> = url
        .sentinels
        .iter()
        .map(|node| Ok(node.as_str().into_connection_info()?.addr().clone()))
        .collect::<RedisResult<_>>()?;
    let sentinel = Sentinel {
        sentinels,
        url,
        operation,
    };
    sentinel.client()?;
    Ok(Box::new(sentinel))
}

impl Sentinel {
    /// One for each use: it keeps connections to sentinels, and their runtime may not be
    /// driven.
    fn client(&self) -> RedisResult<SentinelClient> {
        let (primary, url) = (SentinelServerType::Master, &self.url);
        let sentinels = self.sentinels.clone();
        let mut builder = SentinelClientBuilder::new(sentinels, url.service.clone(), primary)?
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_redis_db(url.database);
        if let Some(user) = &url.user {
            builder = builder.set_client_to_redis_username(user.clone());
        }
        if let Some(password) = &url.password {
            builder = builder.set_client_to_redis_password(password.clone());
        }
        builder.build()
    }
}

impl Connect for Sentinel {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        async {
            let mut client = self.client()?;
            let config = config(self.operation);
            let connection = client.get_async_connection_with_config(&config).await?;
            let connection: Arc<dyn Connection> = Arc::new(One(connection));
            Ok(connection)
        }
        .boxed()
    }

    fn topology(&self) -> Topology {
        Topology::Sentinel
    }

    fn listen(&self, topic: Topic) -> BoxFuture<'_, RedisResult<Pushes>> {
        async move {
            let primary = self.client()?.async_get_client().await?;
            listen(&primary, topic, self.operation).await
        }
        .boxed()
    }
}
