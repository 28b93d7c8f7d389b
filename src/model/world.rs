//! Servers, processes and the network between them, and what goes wrong with each:
//! all of it drawn from one seed.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};

use super::server::{Lapse, Server};
use crate::clock::millis;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Messages are lost,
    LosePush,
    /// or late, out of order, and told twice.
    SlowPush,
    /// Commands and replies take long; a reply is lost, and its command done, late.
    SlowCall,
    /// A command is sent once more when its connection has ended.
    Twice,
    Flush,
    EvictClock,
    EvictScopes,
    EvictRows,
    /// A replica that may lag takes over,
    Failover,
    /// and who is connected to the old primary does not know.
    Split,
    /// The server comes back with what it had saved.
    Restart,
    /// A process is cut off.
    Cut,
    /// A process stands still.
    Pause,
    /// A time of day jumps.
    WallJump,
}

/// xorshift64
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    pub(super) fn once_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Listens to a server.
type Ear = (usize, UnboundedSender<Vec<u8>>);

#[derive(Default)]
struct Host {
    server: usize,
    cut: bool,
    paused: bool,
    /// For how long it has stood still, in milliseconds.
    stood: u64,
    ears: Vec<Ear>,
}

pub(super) struct State {
    chance: Chance,
    servers: Vec<Server>,
    primary: usize,
    replica: Option<Server>,
    saved: Option<Server>,
    hosts: Vec<Host>,
    names: u64,
    struck: u64,
    pub(super) wall: i64,
    log: Vec<String>,
}

pub(super) struct World {
    state: Mutex<State>,
    start: Instant,
    faults: Vec<Fault>,
    lapses: Vec<Lapse>,
    /// Whether it keeps a story.
    pub(super) tells: bool,
}

/// How a command travels, in milliseconds.
pub(super) struct Trip {
    pub(super) there: u64,
    pub(super) back: u64,
    pub(super) twice: Option<u64>,
    pub(super) lost: bool,
}

impl World {
    pub(super) fn new(
        seed: u64,
        hosts: usize,
        faults: &[Fault],
        lapses: &[Lapse],
        tells: bool,
    ) -> Arc<Self> {
        let server = Server::new(1, MOST, lapses);
        Arc::new(Self {
            state: Mutex::new(State {
                chance: Chance::new(seed),
                servers: vec![server],
                primary: 0,
                replica: None,
                saved: None,
                hosts: (0..hosts).map(|_| Host::default()).collect(),
                names: 1,
                struck: 0,
                wall: 0,
                log: Vec::new(),
            }),
            start: Instant::now(),
            faults: faults.to_vec(),
            lapses: lapses.to_vec(),
            tells,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut self.state().chance)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(super) fn lapse(&self, lapse: Lapse) -> bool {
        self.lapses.contains(&lapse)
    }

    /// A number that was not there before: a run id, an epoch.
    pub(super) fn fresh(&self) -> u64 {
        let mut state = self.state();
        state.names += 1;
        state.names
    }

    pub(super) fn struck(&self) -> u64 {
        self.state().struck
    }

    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        if !self.tells {
            return;
        }
        let line = format!("{:>6} {}", self.now(), line());
        self.state().log.push(line);
    }

    pub(super) fn story(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Goes on while the process runs.
    pub(super) async fn runs(&self, host: usize) {
        while self.state().hosts[host].paused {
            sleep(Duration::from_millis(3)).await;
        }
    }

    pub(super) fn is_cut(&self, host: usize) -> bool {
        self.state().hosts[host].cut
    }

    pub(super) fn trip(&self) -> Trip {
        let (slow, twice) = (self.has(Fault::SlowCall), self.has(Fault::Twice));
        self.draw(|chance| {
            let mut leg = || match slow && chance.once_in(8) {
                true if chance.once_in(4) => chance.below(900),
                true => chance.below(120),
                false => chance.below(3),
            };
            let (there, back, more) = (leg(), leg(), leg());
            Trip {
                there,
                back,
                twice: (twice && chance.once_in(10)).then_some(more),
                lost: slow && chance.once_in(20),
            }
        })
    }

    /// Where a process' commands go now.
    pub(super) fn server_of(&self, host: usize) -> usize {
        let mut state = self.state();
        let (primary, known) = (state.primary, state.hosts[host].server);
        let again = state.servers[known].dead || (known != primary && state.chance.once_in(12));
        if again {
            state.hosts[host].server = primary;
            state.hosts[host].ears.clear();
        }
        state.hosts[host].server
    }

    /// Does something on a server, and tells what that publishes. None if it cannot be
    /// reached; `waits` asks for a replica's word.
    pub(super) fn apply<T>(
        self: &Arc<Self>,
        server: usize,
        waits: bool,
        work: impl FnOnce(&mut Server, u64) -> T,
    ) -> Option<T> {
        let now = self.now();
        let mut state = self.state();
        let on = &mut state.servers[server];
        if on.dead {
            return None;
        }
        let done = work(on, now);
        let (told, alone) = (std::mem::take(&mut on.told), on.deposed);
        drop(state);
        for message in told {
            self.publish(server, &message);
        }
        let refused = waits && alone && !self.lapse(Lapse::Unacknowledged);
        (!refused).then_some(done)
    }

    fn publish(self: &Arc<Self>, server: usize, message: &[u8]) {
        let (lose, slow) = (self.has(Fault::LosePush), self.has(Fault::SlowPush));
        let mut state = self.state();
        let State { chance, hosts, .. } = &mut *state;
        let mut ways = Vec::new();
        for (host, at) in hosts.iter().enumerate() {
            for (_, ear) in at.ears.iter().filter(|(on, _)| *on == server) {
                let times = 1 + u64::from(slow && chance.once_in(8));
                for _ in 0..times {
                    let late = match slow && chance.once_in(3) {
                        true => chance.below(200),
                        false => chance.below(2),
                    };
                    if !(lose && chance.once_in(4)) {
                        ways.push((host, late, ear.clone()));
                    }
                }
            }
        }
        drop(state);
        for (host, late, ear) in ways {
            let (world, message) = (Arc::clone(self), message.to_vec());
            tokio::spawn(async move {
                sleep(Duration::from_millis(late)).await;
                world.runs(host).await;
                if !world.is_cut(host) {
                    let _ = ear.send(message);
                }
            });
        }
    }

    pub(super) fn hear(&self, host: usize, ear: UnboundedSender<Vec<u8>>) -> bool {
        let server = self.server_of(host);
        let mut state = self.state();
        let able = !state.hosts[host].cut && !state.servers[server].dead;
        if able {
            state.hosts[host].ears.push((server, ear));
        }
        able
    }

    /// Lets things go wrong, one after the other.
    pub(super) async fn trouble(self: Arc<Self>) {
        while !self.faults.is_empty() {
            let (after, fault) = {
                let mut state = self.state();
                (state.chance.below(250), state.chance.one_of(&self.faults))
            };
            sleep(Duration::from_millis(after)).await;
            self.strike(fault);
        }
    }

    fn strike(self: &Arc<Self>, fault: Fault) {
        let fresh = self.fresh();
        let mut state = self.state();
        state.struck += 1;
        let primary = state.primary;
        let State { chance, hosts, .. } = &mut *state;
        let host = usize::try_from(chance.below(hosts.len() as u64)).unwrap();
        let long = chance.below(900);
        let half = chance.once_in(2);
        let on = &mut state.servers[primary];
        match fault {
            Fault::Flush => on.flush(),
            Fault::EvictClock => on.evict_clock(),
            Fault::EvictScopes => on.evict_scopes(),
            Fault::EvictRows => on.evict_rows(),
            Fault::WallJump => {
                on.ahead += 1_000;
                state.wall += if half { 3_000 } else { -3_000 };
            }
            // the copy first, and what it is for later
            Fault::Failover | Fault::Split if half || state.replica.is_none() => {
                state.replica = Some(state.servers[primary].clone());
            }
            Fault::Failover | Fault::Split => {
                let next = state.replica.take().unwrap().copy(fresh);
                let old = &mut state.servers[primary];
                (old.deposed, old.dead) = (true, fault == Fault::Failover);
                state.follow(next);
            }
            Fault::Restart if half || state.saved.is_none() => {
                state.saved = Some(state.servers[primary].clone());
            }
            Fault::Restart => {
                state.servers[primary].dead = true;
                let next = state.saved.as_ref().unwrap().copy(fresh);
                state.follow(next);
            }
            Fault::Cut | Fault::Pause => {
                let at = &mut state.hosts[host];
                match fault {
                    Fault::Cut => at.cut = true,
                    _ => {
                        (at.paused, at.stood) = (true, at.stood + if at.paused { 0 } else { long })
                    }
                }
                if half && fault == Fault::Cut {
                    at.ears.clear();
                }
                let world = Arc::clone(self);
                tokio::spawn(async move {
                    sleep(Duration::from_millis(long)).await;
                    let at = &mut world.state().hosts[host];
                    match fault {
                        Fault::Cut => at.cut = false,
                        _ => at.paused = false,
                    }
                });
            }
            Fault::LosePush | Fault::SlowPush | Fault::SlowCall | Fault::Twice => {}
        }
        drop(state);
        self.log(|| format!("fault {fault:?} {host} {long} {half}"));
    }

    pub(super) fn stood(&self, host: usize) -> u64 {
        self.state().hosts[host].stood
    }
}

impl State {
    /// Another server is the primary.
    fn follow(&mut self, next: Server) {
        self.servers.push(next);
        self.primary = self.servers.len() - 1;
        let dead: Vec<bool> = self.servers.iter().map(|server| server.dead).collect();
        for host in &mut self.hosts {
            host.ears.retain(|(server, _)| !dead[*server]);
        }
    }
}

/// So few scopes and bans that the floor rises.
const MOST: (usize, usize) = (4, 2);

/// 20 November 2026, in milliseconds.
pub(super) const DAY: u64 = 1_795_132_800_000;
