//! A client that costs less than the servers it asks, so that they are what is
//! measured: requests are written ready-made, of answers only the status and
//! the length are read, and a head only where an answer is longer or shorter than the last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::CONNECTIONS;
use crate::answer::{JSON, JSON_TYPE, KEYS, uri};
use crate::{BoxError, Result};

/// Connections to one server, kept alive.
pub(super) struct Client {
    connections: Vec<Connection>,
    requests: Arc<[Vec<u8>]>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connections.push(Connection {
                stream,
                buffer: Vec::with_capacity(4 * JSON.len()),
                next: number * KEYS / CONNECTIONS,
                usual: 0,
            });
        }
        Ok(Self {
            connections,
            requests: (0..KEYS).map(written).collect(),
        })
    }

    /// Asks on all connections for so long; returns how many requests were
    /// answered, and how long it took.
    pub(super) async fn ask_for(&mut self, slice: Duration) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let mut asking = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let requests = Arc::clone(&self.requests);
            asking.spawn(async move {
                let mut answers = 0_u64;
                while start.elapsed() < slice {
                    connection.exchange(&requests).await?;
                    answers += 1;
                }
                Ok::<_, BoxError>((connection, answers))
            });
        }
        let mut all = 0;
        while let Some(asked) = asking.join_next().await {
            let (connection, answers) = asked??;
            self.connections.push(connection);
            all += answers;
        }
        Ok((all, start.elapsed()))
    }
}

/// The fields of [`crate::answer::request`].
fn written(n: usize) -> Vec<u8> {
    let uri = uri(n);
    format!(
        "GET {uri} HTTP/1.1\r\nhost: bench.example\r\naccept: {JSON_TYPE}\r\nuser-agent: bench/1.0\r\n\r\n"
    )
    .into_bytes()
}

const SUCCESS: &[u8] = b"HTTP/1.1 200 ";

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    next: usize,
    /// How long the last answer was whose head was read: one that is as long has the same fields.
    usual: usize,
}

impl Connection {
    /// One request and its answer.
    async fn exchange(&mut self, requests: &[Vec<u8>]) -> Result<()> {
        self.stream.write_all(&requests[self.next]).await?;
        self.next = (self.next + 1) % requests.len();
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if self.buffer.len() == self.usual && self.buffer.starts_with(SUCCESS) {
                return Ok(());
            }
            match answered(&self.buffer)? {
                Some(length) if self.buffer.len() == length => {
                    self.usual = length;
                    return Ok(());
                }
                Some(length) if self.buffer.len() > length => {
                    return Err("the answer is longer than it says".into());
                }
                _ => {}
            }
        }
    }
}

/// The whole length of an answer, once its head is here.
fn answered(buffer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head])?;
    if !buffer.starts_with(SUCCESS) {
        return Err(format!("not an answer with status 200: {text:?}").into());
    }
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, length)) = lengths.next() else {
        return Err(format!("an answer without a length: {text:?}").into());
    };
    let length: usize = length.trim().parse()?;
    if length != JSON.len() {
        return Err(format!("a body of {length} bytes").into());
    }
    Ok(Some(head + 4 + length))
}
