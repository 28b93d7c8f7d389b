//! The clock of invalidations that instances share: what a store that has one
//! must do, and how it tells of an invalidation.

use std::time::Duration;

use futures_util::stream::BoxStream;

use super::StoreFuture;
use super::insight::Insight;
use super::ledger::Ledger;
use crate::generation::{Change, Force, News, Reach, Snapshot, Stamp};
use crate::invalidate::Pattern;
use crate::key::{Key, ScopeId};

/// What an instance has seen of the clock, as its row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) who: String,
    pub(crate) seen: Stamp,
    /// Counts its beats, from a number on that never comes again: who takes a silent
    /// process' row away does not mean the one with which it is back.
    pub(crate) beats: u64,
}

/// Who may hold a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) epoch: u64,
    /// The clock when it went on with another server, or 0: what it had been told shortly
    /// before may be lost.
    pub(crate) base: u64,
    /// The clock may be younger than a lease: there may be holders that it does not
    /// know.
    pub(crate) young: bool,
    /// The longest lease that one of them may hold.
    pub(crate) lease: Duration,
    pub(crate) rows: Vec<Row>,
}

/// A beat of an instance.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis sends it"))]
pub(crate) struct Beat<'a> {
    pub(crate) who: &'a str,
    /// What it has seen of the clock.
    pub(crate) seen: Stamp,
    /// An epoch that it has seen end, and has found there again: it is to end.
    pub(crate) ended: Option<u64>,
    /// It has known that epoch for longer than the longest lease.
    pub(crate) ripe: bool,
    pub(crate) lease: Duration,
}

/// What a beat tells its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) clock: Stamp,
    /// The cache is switched off for all.
    pub(crate) off: bool,
    /// The server's time of day, milliseconds since 1970.
    pub(crate) time: u64,
    /// The longest lease that somebody may hold.
    pub(crate) lease: Duration,
}

/// A shared clock. Whatever it does it does at once, and whatever it has lost shows
/// as another epoch.
pub(crate) trait Fence: Insight + Ledger {
    /// Invalidates, tells everybody who listens, and says who must know.
    fn advance<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, (News, Rows)>;

    /// Writes an instance's row.
    fn beat<'a>(&'a self, beat: Beat<'a>) -> StoreFuture<'a, Heard>;

    /// Switches the cache off or on for all, until it is switched again; whoever
    /// listens beats at once.
    fn switch(&self, off: bool) -> StoreFuture<'_, ()>;

    /// All that is known.
    fn snapshot(&self) -> StoreFuture<'_, Snapshot>;

    /// The rows now. `ripe` is a reading that its asker has known for longer than the
    /// longest lease: the clock is not young any more.
    fn rows(&self, ripe: Option<Stamp>) -> StoreFuture<'_, Rows>;

    /// Takes a row away: of this many beats, or whatever it says.
    fn leave<'a>(&'a self, who: &'a str, beats: Option<u64>) -> StoreFuture<'a, ()>;

    /// Removes what lies under a name, if that is this frame: it may be another process' by now.
    fn take_back<'a>(&'a self, key: &'a Key, frame: &'a [u8]) -> StoreFuture<'a, ()>;

    /// Listens to what is told: invalidations, the loss of everything, and with
    /// `entries` each change of an entry, whoever makes it.
    fn listen(&self, entries: bool) -> StoreFuture<'_, BoxStream<'static, Told>>;
}

/// What a store tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis tells it"))]
pub(crate) enum Told {
    /// An invalidation, see [`news`]; or nothing that can be read.
    Message(Vec<u8>),
    /// Names that were written or removed, or have expired.
    Gone(Vec<String>),
    /// All names were removed.
    Flushed,
    /// That names change is not told, and why.
    Untracked(String),
}

/// The kind of a change, a letter, and its name. Soft ones have other letters, and so
/// has a scope that is erased.
pub(crate) fn parts(change: &Change) -> (&'static str, &[u8]) {
    let (letters, name): (_, &[u8]) = match &change.reach {
        Reach::Scope(id) => (["s", "S", "e"], &id.0),
        Reach::Ban(pattern) => (["b", "B", "b"], pattern.as_str().as_bytes()),
        Reach::Everything => (["*", "+", "*"], b""),
    };
    let [hard, soft, erase] = letters;
    match change.force {
        Force::Hard => (hard, name),
        Force::Soft => (soft, name),
        Force::Erase => (erase, name),
    }
}

/// A list of changes as it is sent: for each its kind, the length of its name (4,
/// little-endian), the name.
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis sends it"))]
pub(crate) fn encode(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    for change in changes {
        let (kind, name) = parts(change);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(name);
    }
    out
}

/// Reads such a list. None if it cannot be read to its last byte.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (name, rest) = rest.split_at_checked(len)?;
        changes.push(change(*kind, name)?);
        bytes = rest;
    }
    Some(changes)
}

/// A change by its parts.
pub(crate) fn change(kind: u8, name: &[u8]) -> Option<Change> {
    let reach = match kind {
        b's' | b'S' | b'e' => Reach::Scope(ScopeId(name.try_into().ok()?)),
        b'b' | b'B' => Reach::Ban(Pattern::trusted(String::from_utf8(name.to_vec()).ok()?)),
        b'*' | b'+' if name.is_empty() => Reach::Everything,
        _ => return None,
    };
    let force = match kind {
        b'S' | b'B' | b'+' => Force::Soft,
        b'e' => Force::Erase,
        _ => Force::Hard,
    };
    Some(Change { reach, force })
}

/// Reads what is told of an invalidation: `<epoch> <number> <floor> <changes>`, the
/// epoch in hexadecimal digits.
pub(crate) fn news(message: &[u8]) -> Option<News> {
    let mut parts = message.splitn(4, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let epoch = u64::from_str_radix(text()?, 16).ok()?;
    let (number, floor) = (text()?.parse().ok()?, text()?.parse().ok()?);
    Some(News {
        stamp: Stamp { epoch, number },
        floor,
        changes: decode(parts.next()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes() -> Vec<Change> {
        let all = [
            Reach::Scope(ScopeId([b' '; 16])),
            Reach::Ban(Pattern::trusted("api:a b*".into())),
            Reach::Everything,
        ];
        let forces = [Force::Hard, Force::Soft].into_iter();
        let each = |force| all.clone().map(|reach| Change { reach, force });
        let erased = Change {
            reach: Reach::Scope(ScopeId([b' '; 16])),
            force: Force::Erase,
        };
        forces.flat_map(each).chain([erased]).collect()
    }

    #[test]
    fn changes_come_back() {
        assert_eq!(decode(&encode(&changes())), Some(changes()));
        let message = [b"00ff 12 3 ".to_vec(), encode(&changes())].concat();
        let stamp = Stamp {
            epoch: 255,
            number: 12,
        };
        let (floor, changes) = (3, changes());
        assert_eq!(
            news(&message),
            Some(News {
                stamp,
                floor,
                changes
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let whole = encode(&changes());
        for end in 1..whole.len() {
            let part = decode(&whole[..end]);
            assert!(part.is_none_or(|part| part.len() < 7), "{end}");
        }
        for bad in [
            &b"x\0\0\0\0"[..],
            b"s\x01\0\0\0a",
            b"*\x01\0\0\0a",
            b"b\xff\xff\xff\xff",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        for bad in [
            "", "1", "1 2", "1 2 3", "x 1 2 ", "1 x 2 ", "1 2 x ", "1 2 3 x",
        ] {
            assert_eq!(news(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode(&bytes), news(&bytes));
        }
    }
}
