//! A gateway between a client and an origin that the test plays itself, byte by
//! byte, on real sockets.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use larder::{Cache, MIB, Policy, minutes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::Layer;

use crate::front::Front;
use crate::proxy::{Origin, Proxy};
use crate::server;

/// A test that waits longer has failed.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), event)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// A running gateway, and where its origin is played.
pub struct Gateway {
    pub address: SocketAddr,
    pub origin: TcpListener,
    pub cache: Cache,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with_timeout(Duration::from_secs(10)).await
    }

    pub async fn with_timeout(timeout: Duration) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cache = Cache::builder().memory(MIB).build().unwrap();
        let at: Origin = format!("http://{}", origin.local_addr().unwrap())
            .parse()
            .unwrap();
        let layer = cache.layer(Policy::ttl(minutes(5)));
        let service = Front::new(layer.layer(Proxy::new(at, timeout)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server::serve(listener, service, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            origin,
            cache,
            stop,
            served,
        }
    }

    pub async fn connect(&self) -> Peer {
        Peer::of(TcpStream::connect(self.address).await.unwrap())
    }

    /// The next connection that the gateway makes to the origin.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = within("the gateway connects", self.origin.accept())
            .await
            .unwrap();
        Peer::of(stream)
    }

    /// One request and its whole answer; `played` is what the origin sends. Gives
    /// back what the origin and the client have read.
    pub async fn exchange(&self, request: &str, played: &str) -> (String, String) {
        let mut client = self.connect().await;
        client.send(request).await;
        let mut origin = self.accept().await;
        let seen = origin.head().await;
        origin.send(played).await;
        drop(origin);
        let answer = client.message().await;
        self.cache.idle().await;
        (seen, answer)
    }

    /// An answer for which the origin is not asked.
    pub async fn alone(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.message().await
    }

    /// Asks the gateway to end.
    pub fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.served
    }
}

/// The other end of a connection.
pub struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn of(stream: TcpStream) -> Self {
        let read = Vec::new();
        Self { stream, read }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to and with `mark`.
    pub async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self
                .read
                .windows(mark.len())
                .position(|w| w == mark.as_bytes());
            if let Some(at) = found {
                let text: Vec<u8> = self.read.drain(..at + mark.len()).collect();
                return String::from_utf8(text).unwrap();
            }
            let more = within(mark, self.stream.read_buf(&mut self.read));
            assert_ne!(more.await.unwrap(), 0, "ended before {mark:?}");
        }
    }

    /// The head of a message, in lower case.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.to_ascii_lowercase()
    }

    /// A message with `Content-Length`, or none and no body; its head in lower
    /// case.
    pub async fn message(&mut self) -> String {
        let mut text = self.head().await;
        let length = field(&text, "content-length").map_or(0, |value| value.parse().unwrap());
        while self.read.len() < length {
            let more = within("the body", self.stream.read_buf(&mut self.read));
            assert_ne!(more.await.unwrap(), 0, "the body was cut off");
        }
        let body: Vec<u8> = self.read.drain(..length).collect();
        text.push_str(std::str::from_utf8(&body).unwrap());
        text
    }

    /// What comes until the connection ends.
    pub async fn rest(&mut self) -> String {
        let rest = self.stream.read_to_end(&mut self.read);
        within("the connection ends", rest).await.unwrap();
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }
}

/// The lines of a field in a head, joined.
pub fn field(head: &str, name: &str) -> Option<String> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let values: Vec<&str> = lines.filter(|(n, _)| *n == name).map(|(_, v)| v).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
