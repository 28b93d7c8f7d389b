//! The push link: a connection of its own on which Redis tells, without being asked,
//! what is published and what has gone.
//!
//! It speaks RESP3 and asks for tracking by broadcast. FLUSHALL and FLUSHDB are told to
//! whoever tracks anything, so that asking for a prefix under which nothing is ever
//! written costs the server nothing. Where tracking is refused (an ACL without
//! `+client`), what is published is heard all the same.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind};
use redis::{RedisResult, Value};
use tokio::sync::mpsc;

use super::line::connect_within;
use crate::store::fence::Told;

/// What comes on a push link, until it ends.
pub(super) type Pushes = BoxStream<'static, Told>;

/// What a push link is for.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) channel: Option<String>,
    /// Changes of what begins so are told.
    pub(super) tracked: Option<String>,
}

impl Topic {
    /// A channel alone.
    pub(super) fn channel(channel: String) -> Self {
        Self {
            channel: Some(channel),
            tracked: None,
        }
    }
}

/// Opens a push link to one server.
pub(super) async fn listen(
    client: &Client,
    topic: Topic,
    operation: Duration,
) -> RedisResult<Pushes> {
    let (tell, told) = mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_within(operation)))
        .set_response_timeout(None)
        .set_push_sender(tell);
    let client = with_resp3(client)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    if let Some(channel) = &topic.channel {
        connection.subscribe(channel).await?;
    }
    let mut refused = None;
    if let Some(prefix) = &topic.tracked {
        let mut track = redis::cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST");
        track.arg("PREFIX").arg(prefix);
        if let Err(error) = track.query_async::<()>(&mut connection).await {
            tracing::debug!(target: "larder", %error, "redis does not tell what has gone");
            refused = Some(Told::Untracked(error.to_string()));
        }
    }
    // the connection lives as long as somebody listens
    let pushes = stream::unfold((told, connection), |(mut told, connection)| async {
        let push = told.recv().await?;
        Some((push, (told, connection)))
    });
    let ended = |push: &PushInfo| std::future::ready(push.kind != PushKind::Disconnection);
    let told = pushes
        .take_while(ended)
        .filter_map(|push| std::future::ready(read(push)));
    Ok(stream::iter(refused).chain(told).boxed())
}

/// Several links as one, which ends when one of them does.
#[cfg(feature = "cluster")]
pub(super) fn together(links: Vec<Pushes>) -> Pushes {
    let ending = |link: Pushes| link.map(Some).chain(stream::once(async { None }));
    let all = stream::select_all(links.into_iter().map(|link| ending(link).boxed()));
    let alive = all.take_while(|told| std::future::ready(told.is_some()));
    alive.filter_map(std::future::ready).boxed()
}

fn with_resp3(client: &Client) -> RedisResult<Client> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(settings))
}

/// `message: channel, payload`; `invalidate: keys`, or nothing for all of them.
fn read(push: PushInfo) -> Option<Told> {
    let mut data = push.data.into_iter();
    match push.kind {
        PushKind::Message => match data.nth(1)? {
            Value::BulkString(payload) => Some(Told::Message(payload.to_vec())),
            _ => None,
        },
        PushKind::Invalidate => match data.next()? {
            Value::Array(keys) => Some(Told::Gone(keys.into_iter().filter_map(name).collect())),
            _ => Some(Told::Flushed),
        },
        _ => None,
    }
}

fn name(key: Value) -> Option<String> {
    match key {
        Value::BulkString(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}
