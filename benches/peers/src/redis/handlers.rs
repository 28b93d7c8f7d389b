//! What larder with Redis is compared with: handlers as one writes them by
//! hand, on one multiplexed connection.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, Client, IntoConnectionInfo, RedisError};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::answer::{Calls, JSON, JSON_TYPE, KEYS, ROUTE};

const HOUR: u64 = 60 * 60;

/// The crate's defaults, and no waiting for acknowledgements.
pub(super) async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let tcp = TcpSettings::default().set_nodelay(true);
    let client = Client::open(url.into_connection_info()?.set_tcp_settings(tcp))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// One bare `GET`: the value is the body. What it needs is put there first.
pub(super) async fn bare(mut connection: MultiplexedConnection) -> Result<Router> {
    for id in 0..KEYS {
        let _: () = connection.set_ex(format!("bare:{id}"), JSON, HOUR).await?;
    }
    Ok(Router::new()
        .route(ROUTE, get(bare_get))
        .with_state(connection))
}

async fn bare_get(
    State(mut connection): State<MultiplexedConnection>,
    Path(id): Path<u32>,
) -> std::result::Result<impl IntoResponse, Failed> {
    let body: Bytes = connection.get(format!("bare:{id}")).await?;
    Ok(([(CONTENT_TYPE, JSON_TYPE)], body))
}

/// A response as serde writes it.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    content_type: String,
    body: String,
}

#[derive(Clone)]
struct ByHand {
    connection: MultiplexedConnection,
    calls: Calls,
}

/// `GET`, and on a miss the answer by `SETEX`, as JSON.
pub(super) fn by_hand(connection: MultiplexedConnection, calls: Calls) -> Router {
    let state = ByHand { connection, calls };
    Router::new()
        .route(ROUTE, get(by_hand_get))
        .with_state(state)
}

async fn by_hand_get(
    State(mut state): State<ByHand>,
    Path(id): Path<u32>,
) -> std::result::Result<Response<Body>, Failed> {
    let key = format!("by-hand:{id}");
    let found: Option<Bytes> = state.connection.get(&key).await?;
    let kept = match found.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(kept) => kept,
        None => state.make(&key).await?,
    };
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, [(CONTENT_TYPE, kept.content_type)], kept.body).into_response())
}

impl ByHand {
    async fn make(&mut self, key: &str) -> std::result::Result<Kept, Failed> {
        self.calls.add();
        let kept = Kept {
            status: 200,
            content_type: JSON_TYPE.to_owned(),
            body: String::from_utf8_lossy(JSON).into_owned(),
        };
        let text = serde_json::to_string(&kept).map_err(|_| Failed)?;
        let _: () = self.connection.set_ex(key, text, HOUR).await?;
        Ok(kept)
    }
}

/// An answer without content: nothing that is measured ends here.
struct Failed;

impl From<RedisError> for Failed {
    fn from(_: RedisError) -> Self {
        Self
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response<Body> {
        StatusCode::BAD_GATEWAY.into_response()
    }
}
