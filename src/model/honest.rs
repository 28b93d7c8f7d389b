//! The stand-in beside a real Redis: the same operations get the same replies. Epochs
//! are random there: they are told apart by the order in which they were first seen.

#[allow(dead_code, unreachable_pub, reason = "the tests outside share it")]
#[path = "../../tests/support/redis_server.rs"]
mod redis_server;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use redis_server::Redis;

use super::server::{Sent, Server};
use super::world::Chance;
use crate::clock::SystemClock;
use crate::generation::{Change, Force, News, Reach, Snapshot, Stamp};
use crate::invalidate::Pattern;
use crate::key::{Key, ScopeId};
use crate::store::fence::{Beat, Fence, Row, Rows, parts};
use crate::store::redis::RedisStore;

/// As in `store/redis/scripts.rs`.
const MOST: (usize, usize) = (65_536, 256);
const LEASE: Duration = Duration::from_millis(1_500);

/// The epochs of one side, in the order in which they were seen, and of each process the
/// beats at which its row was first and last seen.
#[derive(Default)]
struct Epochs(Vec<u64>, HashMap<String, [u64; 2]>);

/// After so many unseen ones it counts as a new row: a row begins at a time in microseconds.
const MANY: u64 = 32;

impl Epochs {
    /// The place of one, from 1 on.
    fn place(&mut self, epoch: u64) -> u64 {
        let known = self.0.iter().position(|known| *known == epoch);
        let at = known.unwrap_or_else(|| {
            self.0.push(epoch);
            self.0.len() - 1
        });
        at as u64 + 1
    }

    fn at(&self, place: u64) -> u64 {
        let at = usize::try_from(place).unwrap().checked_sub(1);
        at.and_then(|at| self.0.get(at)).copied().unwrap_or(0)
    }

    fn stamp(&mut self, stamp: Stamp) -> String {
        match stamp.is_known() {
            true => format!("{}/{}", self.place(stamp.epoch), stamp.number),
            false => "none".into(),
        }
    }

    fn news(&mut self, news: &News) -> String {
        let stamp = self.stamp(news.stamp);
        format!("{stamp} {} {:?}", news.floor, news.changes)
    }

    /// Of the beats of a process, so many have come since its row was first seen.
    fn beats(&mut self, row: &Row) -> u64 {
        let known = self.1.entry(row.who.clone()).or_default();
        if row.beats.abs_diff(known[0]) >= MANY {
            known[0] = row.beats;
        }
        known[1] = row.beats;
        row.beats - known[0]
    }

    fn last(&self, who: &str) -> u64 {
        self.1.get(who).map_or(0, |known| known[1])
    }

    fn rows(&mut self, rows: &Rows) -> String {
        let epoch = self.place(rows.epoch);
        let each = rows
            .rows
            .iter()
            .map(|row| (row.who.clone(), self.beats(row), self.stamp(row.seen)));
        let each: BTreeSet<_> = each.collect();
        format!("{epoch} {} {:?} {each:?}", rows.young, rows.lease)
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> String {
        let stamp = self.stamp(snapshot.stamp);
        let changes = snapshot.changes.iter();
        let changes: BTreeSet<_> = changes
            .map(|(number, change)| (number, parts(change)))
            .collect();
        format!("{stamp} {} {changes:?}", snapshot.floor)
    }
}

struct Both {
    redis: Redis,
    real: RedisStore,
    ours: Server,
    fresh: u64,
    theirs: Epochs,
    own: Epochs,
}

impl Both {
    fn new() -> Self {
        let redis = Redis::start();
        let clock = Arc::new(SystemClock::new());
        let patient = Duration::from_secs(30);
        Self {
            real: RedisStore::open(&redis.url(), "api", patient, clock, false).unwrap(),
            redis,
            ours: Server::new(1, MOST, &[]),
            fresh: 0,
            theirs: Epochs::default(),
            own: Epochs::default(),
        }
    }

    async fn advance(&mut self, changes: &[Change]) -> [String; 2] {
        let (news, rows) = self.real.advance(changes).await.unwrap();
        let theirs = self.theirs.news(&news) + &self.theirs.rows(&rows);
        let (news, rows) = self.ours.advance(self.fresh, 0, changes);
        [theirs, self.own.news(&news) + &self.own.rows(&rows)]
    }

    async fn beat(
        &mut self,
        who: &str,
        (place, number): (u64, u64),
        (ripe, ended): (bool, bool),
    ) -> [String; 2] {
        let seen = |epochs: &Epochs| Stamp {
            epoch: epochs.at(place),
            number,
        };
        let (there, here) = (seen(&self.theirs), seen(&self.own));
        let beat = Beat {
            who,
            seen: there,
            ended: ended.then_some(there.epoch),
            ripe,
            lease: LEASE * u32::from(ripe) + LEASE,
        };
        let heard = self.real.beat(beat).await.unwrap();
        let sent = Sent {
            who: who.into(),
            seen: here,
            ended: ended.then_some(here.epoch),
            ripe,
            lease: beat.lease,
        };
        let ours = self.ours.beat(self.fresh, 0, &sent);
        let (told, known) = ((heard.off, heard.lease), (ours.off, ours.lease));
        [
            format!("{} {told:?}", self.theirs.stamp(heard.clock)),
            format!("{} {known:?}", self.own.stamp(ours.clock)),
        ]
    }

    /// One operation, and both replies.
    async fn step(&mut self, chance: &mut Chance) -> [String; 2] {
        self.fresh += 1;
        let who = format!("host{}", chance.below(3));
        let place = chance.below(self.own.0.len() as u64 + 1);
        match chance.below(16) {
            0..=6 => self.advance(&changes(chance)).await,
            7..=9 => {
                let seen = (place, chance.below(60));
                let (ripe, ended) = (chance.once_in(3), chance.once_in(8));
                self.beat(&who, seen, (ripe, ended)).await
            }
            10 => {
                let theirs = self.real.snapshot().await.unwrap();
                let ours = self.ours.snapshot(self.fresh);
                [self.theirs.snapshot(&theirs), self.own.snapshot(&ours)]
            }
            11 | 12 => {
                let ripe = chance.once_in(3);
                let number = 1_000;
                let asked = |epochs: &Epochs| {
                    let epoch = epochs.at(place);
                    ripe.then_some(Stamp { epoch, number })
                };
                let (there, here) = (asked(&self.theirs), asked(&self.own));
                let theirs = self.real.rows(there).await.unwrap();
                let ours = self.ours.rows(self.fresh, 0, here);
                [self.theirs.rows(&theirs), self.own.rows(&ours)]
            }
            13 => {
                let counts = chance.once_in(2);
                let last = |epochs: &Epochs| counts.then(|| epochs.last(&who));
                let (there, here) = (last(&self.theirs), last(&self.own));
                self.real.leave(&who, there).await.unwrap();
                self.ours.leave(self.fresh, &who, here);
                Default::default()
            }
            14 => {
                let off = chance.once_in(2);
                self.real.switch(off).await.unwrap();
                self.ours.switch(self.fresh, off);
                Default::default()
            }
            _ => self.lose(chance),
        }
    }

    fn lose(&mut self, chance: &mut Chance) -> [String; 2] {
        match chance.below(20) {
            0 => {
                self.redis.command::<()>(&["FLUSHALL"]);
                self.ours.flush();
            }
            1 => {
                self.redis.command::<u64>(&["DEL", "api:!{clock}"]);
                self.ours.evict_clock();
            }
            2 => {
                self.redis.command::<u64>(&["DEL", "api:!{clock}:scopes"]);
                self.ours.evict_scopes();
            }
            _ => {}
        }
        Default::default()
    }
}

fn scope(n: u64) -> Reach {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_le_bytes());
    Reach::Scope(ScopeId(id))
}

/// Some scopes, at most one pattern, seldom everything.
fn changes(chance: &mut Chance) -> Vec<Change> {
    let mut reaches: Vec<Reach> = (0..chance.below(3))
        .map(|_| scope(chance.below(30)))
        .collect();
    if reaches.is_empty() || chance.once_in(3) {
        let ban = format!("api:{}*", chance.below(2_000));
        reaches.push(Reach::Ban(Pattern::trusted(ban)));
    }
    if chance.once_in(150) {
        reaches.push(Reach::Everything);
    }
    let force = match chance.below(8) {
        0 | 1 => Force::Soft,
        2 if matches!(reaches[..], [Reach::Scope(_)]) => Force::Erase, // no other is
        _ => Force::Hard,
    };
    let change = |reach| Change { reach, force };
    reaches.into_iter().map(change).collect()
}

#[tokio::test]
async fn the_stand_in_answers_as_redis_does() {
    for seed in 0..4 {
        println!("seed {seed}");
        let (mut both, mut chance) = (Both::new(), Chance::new(seed));
        for step in 0..1_500 {
            let [theirs, ours] = both.step(&mut chance).await;
            assert_eq!(theirs, ours, "seed {seed}, step {step}");
        }
    }
}

#[tokio::test]
async fn the_stand_in_forgets_as_redis_does() {
    let mut both = Both::new();
    for part in 0..5 {
        both.fresh += 1;
        let scopes = (part * 15_000..(part + 1) * 15_000).map(scope);
        let force = Force::Hard;
        let changes: Vec<_> = scopes.map(|reach| Change { reach, force }).collect();
        let [theirs, ours] = both.advance(&changes).await;
        assert_eq!(theirs, ours, "part {part}");
    }
    let theirs = both.real.snapshot().await.unwrap();
    let ours = both.ours.snapshot(both.fresh);
    assert!(ours.floor > 0);
    let [theirs, ours] = [both.theirs.snapshot(&theirs), both.own.snapshot(&ours)];
    assert_eq!(theirs, ours);
}

#[tokio::test]
async fn what_another_process_has_written_is_not_taken_back() {
    let (both, key) = (Both::new(), Key::new("api:things:1"));
    let [own, anothers] = ["LRDR the own frame", "LRDR another's frame"];
    for (lies, left) in [(own, 0), (anothers, 1), ("", 1)] {
        both.redis.command::<u64>(&["DEL", key.as_str()]);
        match lies {
            "" => both
                .redis
                .command::<()>(&["RPUSH", key.as_str(), "no frame"]),
            lies => both.redis.command::<()>(&["SET", key.as_str(), lies]),
        }
        let taken = both.real.take_back(&key, own.as_bytes()).await;
        let there: u64 = both.redis.command(&["EXISTS", key.as_str()]);
        assert!(taken.is_ok() && there == left, "{taken:?}: {lies}");
    }
}
