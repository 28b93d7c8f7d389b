//! A Redis in memory: what the scripts of `store/redis/scripts.rs` do, in one step
//! each, where a failover forgets. `honest.rs` holds it against a real one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::millis;
use crate::generation::{Change, Force, News, Reach, Snapshot, Stamp};
use crate::invalidate::Pattern;
use crate::key::ScopeId;
use crate::store::Group;
use crate::store::fence::{self, Heard, Row, Rows, encode, news};

/// A rule that lives in a script or in the server, left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lapse {
    /// The run id is not compared.
    RunId,
    /// Nor is the number of scopes.
    Uncounted,
    /// The rows lie beside the hash, and can be lost without it.
    RowsApart,
    /// Rows expire by the server's time of day.
    RowsExpire,
    /// Who must know is read in a step before the one that invalidates.
    TwoSteps,
    /// A primary without replicas writes on.
    Unacknowledged,
    /// A process' clock stands still while it does.
    SuspendedClock,
}

#[derive(Debug, Clone, Default)]
struct Hash {
    run: u64,
    epoch: u64,
    clock: u64,
    floor: u64,
    count: usize,
    young: bool,
    lease: u64,
    all: u64,
    aged: u64,
    bans: BTreeMap<(Force, String), u64>,
    rows: Instances,
}

/// Rows in the order in which they came, and when they expire where they do.
type Instances = Vec<(Row, u64)>;

#[derive(Debug, Clone)]
struct Stored {
    frame: Bytes,
    until: u64,
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
pub(super) enum Removing {
    Key(String),
    Group(Group),
    Pattern(Pattern),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) run: u64,
    pub(super) dead: bool,
    /// Another one is the primary.
    pub(super) deposed: bool,
    /// What it has published.
    pub(super) told: Vec<Vec<u8>>,
    /// The time of day is ahead by so much.
    pub(super) ahead: u64,
    hash: Hash,
    there: bool,
    off: bool,
    scopes: BTreeMap<Vec<u8>, u64>,
    apart: Instances,
    entries: BTreeMap<String, Stored>,
    most: (usize, usize),
    lapses: Vec<Lapse>,
}

impl Server {
    /// One that keeps so many scopes and bans.
    pub(super) fn new(run: u64, most: (usize, usize), lapses: &[Lapse]) -> Self {
        Self {
            run,
            most,
            lapses: lapses.to_vec(),
            ..Self::default()
        }
    }

    fn lapse(&self, lapse: Lapse) -> bool {
        self.lapses.contains(&lapse)
    }

    fn begin(&mut self, fresh: u64) {
        self.scopes.clear();
        self.there = true;
        self.hash = Hash {
            run: self.run,
            epoch: fresh,
            young: true,
            ..Hash::default()
        };
    }

    /// `clock!`: the clock as it is, or a new one.
    fn look(&mut self, fresh: u64) {
        let other = self.hash.run != self.run && !self.lapse(Lapse::RunId);
        let lost = self.hash.count != self.scopes.len() && !self.lapse(Lapse::Uncounted);
        if !self.there {
            self.hash = Hash::default();
        }
        if !self.there || other || lost {
            self.begin(fresh);
        }
    }

    fn instances(&mut self) -> &mut Instances {
        match self.lapse(Lapse::RowsApart) {
            true => &mut self.apart,
            false => &mut self.hash.rows,
        }
    }

    fn list(&mut self, now: u64) -> Rows {
        let (wall, expire) = (now + self.ahead, self.lapse(Lapse::RowsExpire));
        let rows = self.instances().iter();
        let rows = rows.filter(|(_, until)| !expire || wall < *until);
        Rows {
            rows: rows.map(|(row, _)| row.clone()).collect(),
            epoch: self.hash.epoch,
            base: 0,
            young: self.hash.young,
            lease: Duration::from_millis(self.hash.lease),
        }
    }

    pub(super) fn advance(&mut self, fresh: u64, now: u64, changes: &[Change]) -> (News, Rows) {
        self.look(fresh);
        let number = self.hash.clock + 1;
        for change in changes {
            let soft = change.force == Force::Soft;
            match &change.reach {
                Reach::Scope(id) => drop(self.scopes.insert(member(*id, soft), number)),
                Reach::Ban(ban) => {
                    let name = (change.force, ban.as_str().to_owned());
                    self.hash.bans.insert(name, number);
                }
                Reach::Everything if soft => self.hash.aged = number,
                Reach::Everything => self.hash.all = number,
            }
        }
        self.forget();
        let hash = &mut self.hash;
        (hash.clock, hash.count) = (number, self.scopes.len());
        let head = format!("{:016x} {number} {} ", hash.epoch, hash.floor);
        let message = [head.into_bytes(), encode(changes)].concat();
        let told = news(&message).unwrap();
        self.told.push(message);
        (told, self.list(now))
    }

    /// What is too much goes, and raises the floor.
    fn forget(&mut self) {
        let hash = &mut self.hash;
        let all = hash.all;
        hash.bans.retain(|_, number| *number > all);
        let bans = hash.bans.len();
        if bans > self.most.1 {
            let mut numbers: Vec<u64> = hash.bans.values().copied().collect();
            numbers.sort_unstable();
            let cut = numbers[bans / 4 - 1];
            hash.bans.retain(|_, number| *number > cut);
            hash.floor = hash.floor.max(cut);
        }
        let count = self.scopes.len();
        if count > self.most.0 {
            let mut numbers: Vec<u64> = self.scopes.values().copied().collect();
            numbers.sort_unstable();
            let cut = numbers[count / 4];
            self.scopes.retain(|_, number| *number > cut);
            hash.floor = hash.floor.max(cut);
        }
    }

    pub(super) fn beat(&mut self, fresh: u64, now: u64, beat: &Sent) -> Heard {
        self.look(fresh);
        let gone_back = beat.seen.epoch == self.hash.epoch && beat.seen.number > self.hash.clock;
        if gone_back || beat.ended == Some(self.hash.epoch) {
            self.begin(fresh);
        }
        let lease = millis(beat.lease);
        self.hash.lease = self.hash.lease.max(lease);
        let until = now + self.ahead + lease;
        let mut row = Row {
            who: beat.who.clone(),
            seen: beat.seen,
            beats: (fresh << 16) + 1, // a time, in Redis
        };
        let rows = self.instances();
        match rows.iter_mut().find(|(known, _)| known.who == row.who) {
            Some(known) => {
                row.beats = known.0.beats + 1;
                *known = (row, until);
            }
            None => rows.push((row, until)),
        }
        if beat.ripe && beat.seen.epoch == self.hash.epoch {
            self.hash.young = false;
        }
        Heard {
            clock: self.stamp(),
            off: self.off,
            time: now + self.ahead,
            lease: Duration::from_millis(self.hash.lease),
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.hash.epoch,
            number: self.hash.clock,
        }
    }

    pub(super) fn switch(&mut self, fresh: u64, off: bool) {
        self.look(fresh);
        self.off = off;
        self.told.push(Vec::new());
    }

    pub(super) fn snapshot(&mut self, fresh: u64) -> Snapshot {
        self.look(fresh);
        let hash = &self.hash;
        let mut changes = Vec::new();
        for (kind, number) in [(b'*', hash.all), (b'+', hash.aged)] {
            let change = fence::change(kind, b"").unwrap();
            changes.extend((number > 0).then_some((number, change)));
        }
        for ((force, ban), number) in &hash.bans {
            let (reach, force) = (Reach::Ban(Pattern::trusted(ban.clone())), *force);
            changes.push((*number, Change { reach, force }));
        }
        for (member, number) in &self.scopes {
            let change = match member.len() > 16 {
                true => fence::change(b'S', &member[1..]),
                false => fence::change(b's', member),
            };
            changes.push((*number, change.unwrap()));
        }
        Snapshot {
            stamp: self.stamp(),
            base: 0,
            floor: hash.floor,
            changes,
        }
    }

    pub(super) fn rows(&mut self, fresh: u64, now: u64, ripe: Option<Stamp>) -> Rows {
        self.look(fresh);
        if ripe.is_some_and(|ripe| ripe.epoch == self.hash.epoch) {
            self.hash.young = false;
        }
        self.list(now)
    }

    pub(super) fn leave(&mut self, fresh: u64, who: &str, beats: Option<u64>) {
        self.look(fresh);
        let meant = |row: &Row| row.who == who && beats.is_none_or(|beats| beats == row.beats);
        self.instances().retain(|(row, _)| !meant(row));
    }

    pub(super) fn get(&self, now: u64, key: &str) -> Option<Bytes> {
        let stored = self.entries.get(key)?;
        (now < stored.until).then(|| stored.frame.clone())
    }

    pub(super) fn put(&mut self, now: u64, key: &str, frame: &Bytes, ttl: u64, groups: &[Group]) {
        let stored = Stored {
            frame: frame.clone(),
            until: now + ttl,
            groups: groups.to_vec(),
        };
        self.entries.insert(key.to_owned(), stored);
    }

    pub(super) fn remove(&mut self, removing: &Removing) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|key, stored| match removing {
            Removing::Key(one) => key != one,
            Removing::Group(group) => !stored.groups.contains(group),
            Removing::Pattern(pattern) => !pattern.matches(key),
        });
        (before - self.entries.len()) as u64
    }

    pub(super) fn take_back(&mut self, key: &str, frame: &[u8]) {
        self.entries
            .retain(|name, it| name != key || it.frame != frame);
    }

    /// FLUSHALL.
    pub(super) fn flush(&mut self) {
        self.evict_clock();
        self.evict_scopes();
        self.evict_rows();
        self.entries.clear();
        self.off = false;
    }

    pub(super) fn evict_clock(&mut self) {
        (self.there, self.hash) = (false, Hash::default());
    }

    pub(super) fn evict_scopes(&mut self) {
        self.scopes.clear();
    }

    pub(super) fn evict_rows(&mut self) {
        self.apart.clear();
    }

    /// Another process with what this one holds.
    pub(super) fn copy(&self, run: u64) -> Self {
        Self {
            run,
            dead: false,
            deposed: false,
            told: Vec::new(),
            ..self.clone()
        }
    }
}

/// A beat on its way.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) who: String,
    pub(super) seen: Stamp,
    pub(super) ended: Option<u64>,
    pub(super) ripe: bool,
    pub(super) lease: Duration,
}

fn member(id: ScopeId, soft: bool) -> Vec<u8> {
    let mark: &[u8] = if soft { b"~" } else { b"" };
    [mark, &id.0].concat()
}
