//! Redis behind Sentinel: the present primary is asked for at every connect.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{IntoConnectionInfo, RedisResult};
use tokio::sync::Mutex;

use super::connect::{Connect, Connection};
use super::push::{Pushes, Topic, listen};
use super::single::{One, config, tcp};
use super::url::SentinelUrl;
use crate::inspect::Topology;

struct Sentinel(Mutex<SentinelClient>);

/// The feature is there.
pub(super) fn prepare() -> Result<(), &'static str> {
    Ok(())
}

pub(super) fn open(url: SentinelUrl) -> RedisResult<Box<dyn Connect>> {
    let sentinels: Vec<_> = url
        .sentinels
        .iter()
        .map(|node| Ok(node.as_str().into_connection_info()?.addr().clone()))
        .collect::<RedisResult<_>>()?;
    let primary = SentinelServerType::Master;
    let mut builder = SentinelClientBuilder::new(sentinels, url.service, primary)?
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_redis_db(url.database);
    if let Some(user) = url.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = url.password {
        builder = builder.set_client_to_redis_password(password);
    }
    Ok(Box::new(Sentinel(Mutex::new(builder.build()?))))
}

impl Connect for Sentinel {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        async {
            let mut client = self.0.lock().await;
            let connection = client.get_async_connection_with_config(&config()).await?;
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
            let primary = self.0.lock().await.async_get_client().await?;
            listen(&primary, topic).await
        }
        .boxed()
    }
}
