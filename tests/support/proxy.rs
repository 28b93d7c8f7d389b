//! A TCP proxy between larder and a Redis. It delays, stalls, cuts, damages, answers
//! in the server's place, and drops, doubles or turns round what is pushed. All of it
//! can be changed while it runs; what is left to chance comes from a seed.
//!
//! It runs on a thread of its own, as a network would.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::resp;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
}

/// What becomes of messages that nobody has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushes {
    Pass,
    Lose,
    Double,
    /// Each comes after the one that follows it.
    Swap,
}

/// What a server would say instead, to a command of these words. Nothing, and the command
/// reaches it: its reply is lost, with the connection.
type Answer = Box<dyn FnMut(&[Vec<u8>]) -> Option<Vec<u8>> + Send>;

/// What is done to what passes.
pub struct Rules {
    /// The server's port.
    pub to: u16,
    /// Whoever connects is sent away.
    pub refuses: bool,
    /// Milliseconds by which each reply is late.
    pub delay: Option<Range<u64>>,
    /// So many bytes of replies pass in a millisecond.
    pub rate: Option<u64>,
    /// Of so many bytes of replies one has a wrong bit.
    pub damage: Option<u64>,
    pub pushes: Pushes,
    /// In place of the server's replies: the command does not reach it.
    pub answer: Option<Answer>,
    /// So many frames may still pass; nothing does then.
    passes: [Option<u64>; 2],
    /// So many bytes may still pass; the connection ends then.
    bytes: [Option<usize>; 2],
    chance: Chance,
    connections: u64,
    /// On so many of the first connections nothing passes.
    hung: u64,
}

/// xorshift64
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A seed: `LARDER_SEED`, or a new one. Printed, for a failing test shows that.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let known = std::env::var("LARDER_SEED").ok();
    let seed = known.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1;
    println!("LARDER_SEED={seed}");
    seed
}

#[derive(Clone)]
struct Shared {
    rules: Arc<Mutex<Rules>>,
    /// Changes with the rules.
    changed: Arc<watch::Sender<()>>,
    /// How often everybody was cut off.
    cuts: Arc<watch::Sender<u64>>,
}

pub struct Proxy {
    port: u16,
    shared: Shared,
    _end: oneshot::Sender<()>,
}

impl Proxy {
    /// One that lets everything pass to the server at a port.
    pub fn start(to: u16) -> Self {
        let rules = Rules {
            to,
            refuses: false,
            delay: None,
            rate: None,
            damage: None,
            pushes: Pushes::Pass,
            answer: None,
            passes: [None; 2],
            bytes: [None; 2],
            chance: Chance(1),
            connections: 0,
            hung: 0,
        };
        let shared = Shared {
            rules: Arc::new(Mutex::new(rules)),
            changed: Arc::new(watch::Sender::new(())),
            cuts: Arc::new(watch::Sender::new(0)),
        };
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (end, ended) = oneshot::channel();
        let network = shared.clone();
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, network) => {}
                    _ = ended => {}
                }
            });
        });
        let _end = end;
        Self { port, shared, _end }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Changes the rules.
    pub fn set(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.shared.rules());
        self.shared.changed.send_replace(());
    }

    pub fn seeded(&self, seed: u64) {
        self.set(|rules| rules.chance = Chance(seed | 1));
    }

    /// Nothing more passes in a direction, after so many frames.
    pub fn stall(&self, way: Way, after: u64) {
        self.set(|rules| rules.passes[way as usize] = Some(after));
    }

    /// Nothing more passes on the connections that there are.
    pub fn hang(&self) {
        self.set(|rules| rules.hung = rules.connections);
    }

    /// What was stalled passes.
    pub fn flow(&self) {
        self.set(|rules| rules.passes = [None; 2]);
    }

    /// Ends the connection that passes on the byte behind so many, wherever in a
    /// frame that is.
    pub fn cut_after(&self, way: Way, bytes: usize) {
        self.set(|rules| rules.bytes[way as usize] = Some(bytes));
    }

    /// No cut is still to come.
    pub fn has_cut(&self) -> bool {
        self.shared.rules().bytes == [None; 2]
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Who connects from now on is sent away, and so are all that are there.
    pub fn refuse(&self, refuses: bool) {
        self.set(|rules| rules.refuses = refuses);
        if refuses {
            self.cut();
        }
    }

    /// Whether a direction stands still.
    pub fn is_stalled(&self, way: Way) -> bool {
        self.shared.rules().passes[way as usize] == Some(0)
    }

    /// Connections that were made.
    pub fn connections(&self) -> u64 {
        self.shared.rules().connections
    }
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap()
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let (refuses, place) = {
            let mut rules = shared.rules();
            rules.connections += 1;
            (rules.refuses, (rules.to, rules.connections))
        };
        if !refuses {
            let cuts = shared.cuts.subscribe();
            tokio::spawn(connection(client, place, shared.clone(), cuts));
        }
    }
}

async fn connection(
    client: TcpStream,
    (to, number): (u16, u64),
    shared: Shared,
    mut cuts: watch::Receiver<u64>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Arc::default();
    let up = Half {
        way: Way::ToServer,
        number,
        shared: shared.clone(),
        asked: Arc::clone(&asked),
        to: to_server,
        late: None,
    };
    let down = Half {
        way: Way::ToClient,
        number,
        shared,
        asked,
        to: to_client,
        late: None,
    };
    // one that ends ends both
    tokio::select! {
        _ = up.carry(from_client) => {}
        _ = down.carry(from_server) => {}
        _ = cuts.changed() => {}
    }
}

/// One direction of a connection.
struct Half {
    way: Way,
    /// Of the connection.
    number: u64,
    shared: Shared,
    /// For each command under way, what is said instead of its reply.
    asked: Arc<Mutex<VecDeque<Option<Vec<u8>>>>>,
    to: OwnedWriteHalf,
    /// A push that another one overtakes.
    late: Option<Vec<u8>>,
}

impl Half {
    async fn carry(mut self, mut from: OwnedReadHalf) -> io::Result<()> {
        let mut read = Vec::new();
        while from.read_buf(&mut read).await? > 0 {
            while let Some(length) = resp::frame(&read) {
                let frame: Vec<u8> = read.drain(..length).collect();
                match self.way {
                    Way::ToServer => self.ask(frame).await?,
                    Way::ToClient => self.reply(frame).await?,
                }
            }
        }
        Ok(())
    }

    async fn ask(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let instead = {
            let answer = &mut self.shared.rules().answer;
            answer
                .as_mut()
                .and_then(|answer| answer(&resp::words(&frame)))
        };
        let frame = match &instead {
            Some(reply) if !reply.is_empty() => resp::command(&[b"PING"]), // its reply keeps the order
            _ => frame,
        };
        self.asked.lock().unwrap().push_back(instead);
        self.pass(frame).await
    }

    async fn reply(&mut self, frame: Vec<u8>) -> io::Result<()> {
        if resp::is_push(&frame) {
            let pushes = self.shared.rules().pushes;
            return match (pushes, self.late.take()) {
                (Pushes::Lose, _) => Ok(()),
                (Pushes::Pass, None) => self.pass(frame).await,
                (Pushes::Swap, None) => {
                    self.late = Some(frame);
                    Ok(())
                }
                (Pushes::Double, _) => {
                    self.pass(frame.clone()).await?;
                    self.pass(frame).await
                }
                (_, Some(late)) => {
                    self.pass(frame).await?;
                    self.pass(late).await
                }
            };
        }
        let instead = self.asked.lock().unwrap().pop_front().flatten();
        if instead.as_ref().is_some_and(Vec::is_empty) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let (mut frame, mut pause) = (instead.unwrap_or(frame), None);
        {
            let Rules {
                delay,
                rate,
                damage,
                chance,
                ..
            } = &mut *self.shared.rules();
            if let Some(range) = delay {
                let more = chance.below(range.end - range.start);
                pause = Some(Duration::from_millis(range.start + more));
            }
            if let Some(rate) = *rate {
                pause = Some(Duration::from_millis(frame.len() as u64 / rate));
            }
            if let Some(of) = *damage {
                for byte in &mut frame {
                    if chance.below(of) == 0 {
                        *byte ^= 1 << chance.below(8);
                    }
                }
            }
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await; // a slow network
        }
        self.pass(frame).await
    }

    /// Lets a frame pass, as far as it may.
    async fn pass(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let mut changed = self.shared.changed.subscribe();
        while !self.may_pass() {
            let _ = changed.changed().await;
        }
        let part = {
            let mut rules = self.shared.rules();
            let bytes = &mut rules.bytes[self.way as usize];
            let part = bytes.map_or(frame.len(), |bytes| bytes.min(frame.len()));
            *bytes = bytes
                .map(|bytes| bytes - part)
                .filter(|_| part == frame.len());
            part
        };
        self.to.write_all(&frame[..part]).await?;
        match part == frame.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn may_pass(&self) -> bool {
        let mut rules = self.shared.rules();
        match &mut rules.passes[self.way as usize] {
            Some(0) => return false,
            Some(passes) => *passes -= 1,
            None => {}
        }
        self.number > rules.hung
    }
}
