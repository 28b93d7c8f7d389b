//! The recording: a bounded copy of a body while it streams.
//!
//! Only [`Complete`] can be stored, and only a body that ended cleanly becomes
//! one: it was read to its end, or up to the length that it declared (RFC
//! 9112, 6.3). A body that failed, was dropped before its end, had trailers,
//! grew over the bound, or broke its own word about its length does not.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::budget::Budget;

/// A body that ended cleanly. Made here alone.
#[derive(Debug)]
pub(crate) struct Complete(Bytes);

impl Complete {
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// How far somebody has read a recording.
#[derive(Debug, Default, Clone)]
pub(crate) struct Place {
    chunk: usize,
    /// How much of that, if it was read before it was full.
    within: usize,
    read: usize,
}

impl Place {
    /// How many bytes are behind it.
    pub(crate) fn read(&self) -> usize {
        self.read
    }
}

/// A piece that is shorter than this and not the first one is copied, to lie with its
/// like: held by itself, what holds it would be most of it.
const SMALL: usize = 512;

/// How many bytes of such lie together.
const TOGETHER: usize = 4096;

/// What has come of a body, shared with the client that gets it: no copy, but for small
/// pieces.
#[derive(Debug)]
pub(crate) struct Recording {
    chunks: Vec<Bytes>,
    /// Small pieces behind them, until there are enough for a chunk.
    tail: BytesMut,
    len: usize,
    limit: usize,
    /// What the response says of its length.
    declared: Option<u64>,
    /// What all recordings share.
    budget: Arc<Budget>,
    /// How much of that this one has: what it holds, or will hold.
    taken: u64,
    /// It was given up: nothing more is taken, and there will be no whole.
    shed: bool,
}

impl Recording {
    /// Records up to `limit` bytes, as long as the budget lasts. The room for a length
    /// that is declared is taken at once, if it is there.
    pub(crate) fn new(limit: usize, declared: Option<u64>, budget: Arc<Budget>) -> Self {
        let fits = |len: &u64| *len <= limit as u64 && budget.take(*len);
        let taken = declared.filter(fits).unwrap_or(0);
        Self {
            chunks: Vec::new(),
            tail: BytesMut::new(),
            len: 0,
            limit,
            declared,
            budget,
            taken,
            shed: false,
        }
    }

    /// Whether it has room for all that is declared: no lack of it can end the
    /// recording before.
    pub(crate) fn has_room(&self) -> bool {
        self.declared.is_some_and(|len| len <= self.taken)
    }

    /// Takes what the client gets, or gives back what does not fit any more.
    pub(crate) fn push(&mut self, data: Bytes) -> Result<(), Bytes> {
        if self.shed || self.is_over(data.len()) || !self.take(data.len()) {
            return Err(data);
        }
        self.len += data.len();
        if data.len() < SMALL && !self.chunks.is_empty() {
            self.tail.extend_from_slice(&data);
            if self.tail.len() >= TOGETHER {
                self.close_tail();
            }
        } else if !data.is_empty() {
            self.close_tail();
            self.chunks.push(data);
        }
        Ok(())
    }

    /// Makes a chunk of the small pieces. Who has read some of it reads on in it.
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// Takes what so many more need beyond what it has.
    fn take(&mut self, more: usize) -> bool {
        let needs = (self.len + more) as u64;
        let lacks = needs.saturating_sub(self.taken);
        let has = lacks == 0 || self.budget.take(lacks);
        if has {
            self.taken += lacks;
        }
        has
    }

    /// Whether so many more are over its own limit, whatever the budget says.
    pub(crate) fn is_over(&self, more: usize) -> bool {
        more > self.limit - self.len
    }

    /// What has come behind a place, which moves on.
    pub(crate) fn next(&self, place: &mut Place) -> Option<Bytes> {
        while let Some(chunk) = self.chunks.get(place.chunk) {
            let within = std::mem::take(&mut place.within);
            place.chunk += 1;
            if within < chunk.len() {
                place.read += chunk.len() - within;
                return Some(chunk.slice(within..));
            }
        }
        let rest = self.tail.get(place.within..)?;
        place.within += rest.len();
        place.read += rest.len();
        (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest))
    }

    /// Whether nothing is behind a place.
    pub(crate) fn is_read(&self, place: &Place) -> bool {
        place.read >= self.len || (self.chunks.is_empty() && self.tail.is_empty())
    }

    pub(crate) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// All that is declared has come, and no more, and is still there.
    pub(crate) fn has_declared(&self) -> bool {
        self.declared == Some(self.len as u64) && self.taken >= self.len as u64
    }

    /// A server stops reading at the declared length; that is an end too.
    pub(crate) fn is_at_declared_end(&self) -> bool {
        self.len > 0 && self.has_declared()
    }

    /// Gives back what it holds, and its room.
    pub(crate) fn empty(&mut self) -> Vec<Bytes> {
        self.budget.give(std::mem::take(&mut self.taken));
        self.tail = BytesMut::new();
        std::mem::take(&mut self.chunks)
    }

    /// Gives itself up, but for what is behind a place: that is somebody's to read.
    pub(crate) fn shed(&mut self, place: &Place) -> Vec<Bytes> {
        self.shed = true;
        self.budget.give(std::mem::take(&mut self.taken));
        let read = self.chunks.iter_mut().take(place.chunk);
        read.map(std::mem::take).collect()
    }

    /// Its whole has become an entry's: who still reads it reads that, and no room is
    /// taken any more.
    pub(crate) fn hand_over(&mut self, whole: &Bytes) -> Vec<Bytes> {
        if self.shed || whole.len() != self.len {
            return Vec::new();
        }
        self.close_tail();
        self.budget.give(std::mem::take(&mut self.taken));
        let mut at = 0;
        let same = |chunk: &mut Bytes| {
            let begins = at;
            at += chunk.len();
            std::mem::replace(chunk, whole.slice(begins..at))
        };
        self.chunks.iter_mut().map(same).collect()
    }

    /// The body has ended: the whole, if it kept its word.
    pub(crate) fn end(&self) -> Option<Complete> {
        let broken = |len| len != self.len as u64;
        if self.shed || self.declared.is_some_and(broken) {
            return None;
        }
        if let ([only], true) = (&self.chunks[..], self.tail.is_empty()) {
            return Some(Complete(only.clone()));
        }
        let mut whole = BytesMut::with_capacity(self.len);
        for chunk in &self.chunks {
            whole.extend_from_slice(chunk);
        }
        whole.extend_from_slice(&self.tail);
        Some(Complete(whole.freeze()))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(declared: Option<u64>, chunks: &[&'static str]) -> Result<Option<Bytes>, Bytes> {
        let mut recording = Recording::new(8, declared, Budget::new(100));
        for chunk in chunks {
            recording.push(Bytes::from_static(chunk.as_bytes()))?;
        }
        Ok(recording.end().map(Complete::into_bytes))
    }

    #[test]
    fn a_clean_end_is_complete() {
        assert_eq!(recorded(None, &["abc", "", "de"]), Ok(Some("abcde".into())));
        assert_eq!(recorded(Some(3), &["abc"]), Ok(Some("abc".into())));
        assert_eq!(recorded(None, &[]), Ok(Some(Bytes::new())));
    }

    #[test]
    fn a_broken_word_is_not() {
        assert_eq!(recorded(Some(5), &["abc"]), Ok(None), "shorter");
        assert_eq!(recorded(Some(2), &["abc"]), Ok(None), "longer");
    }

    #[test]
    fn what_does_not_fit_is_given_back() {
        assert_eq!(recorded(None, &["12345", "6789"]), Err("6789".into()));
    }

    #[test]
    fn small_pieces_lie_together_and_are_read_as_they_come() {
        let mut recording = Recording::new(100_000, None, Budget::new(100_000));
        let (mut keen, mut late) = (Place::default(), Place::default());
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for n in 0..10_000_u32 {
            let piece = match n % 1_000 {
                999 => vec![7; SMALL],
                _ => n.to_le_bytes().to_vec(),
            };
            said.extend_from_slice(&piece);
            recording.push(piece.into()).unwrap();
            if n % 3 != 0 {
                assert!(!recording.is_read(&keen));
                while let Some(piece) = recording.next(&mut keen) {
                    heard.extend_from_slice(&piece);
                }
                assert!(recording.is_read(&keen));
                assert_eq!((heard.len(), keen.read()), (said.len(), said.len()));
            }
        }
        assert!(recording.chunks.len() < 40, "{}", recording.chunks.len());
        let all = std::iter::from_fn(|| recording.next(&mut late));
        assert!(all.collect::<Vec<_>>().concat() == said && heard == said[..heard.len()]);
        assert_eq!(recording.end().unwrap().into_bytes(), said);
    }

    #[test]
    fn all_recordings_share_a_budget() {
        let budget = Budget::new(10);
        let record = || Recording::new(8, None, Arc::clone(&budget));
        let (mut one, mut two) = (record(), record());
        one.push(Bytes::from_static(b"1234567")).unwrap();
        assert!(two.push(Bytes::from_static(b"1234")).is_err());
        two.push(Bytes::from_static(b"123")).unwrap();
        drop(one);
        assert_eq!(budget.used(), 3);
        two.push(Bytes::from_static(b"45")).unwrap();
        drop(two);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn room_for_a_declared_length_is_taken_at_once() {
        let budget = Budget::new(10);
        let record = |declared| Recording::new(8, Some(declared), Arc::clone(&budget));
        let (mut one, mut two) = (record(7), record(4));
        assert!(one.has_room() && !two.has_room());
        two.push(Bytes::from_static(b"123")).unwrap();
        assert!(two.push(Bytes::from_static(b"4")).is_err());
        one.push(Bytes::from_static(b"1234567")).unwrap();
        assert_eq!(budget.used(), 10);
        assert!(
            one.push(Bytes::from_static(b"8")).is_err(),
            "more than it said"
        );
        drop(two);
        one.push(Bytes::from_static(b"8")).unwrap();
        assert_eq!(budget.used(), 8);
        assert!(!record(9).has_room(), "over its own limit");
        drop(one);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_was_given_back_is_not_taken_for_a_whole() {
        let mut recording = Recording::new(8, Some(3), Budget::new(100));
        recording.push(Bytes::from_static(b"abc")).unwrap();
        assert!(recording.has_declared());
        assert_eq!(recording.empty().len(), 1);
        assert!(!recording.has_declared() && !recording.is_at_declared_end());
        assert_eq!(recording.declared(), Some(3));
    }

    #[test]
    fn what_was_given_up_is_no_whole_and_is_read_on() {
        let budget = Budget::new(100);
        let mut recording = Recording::new(8, Some(8), Arc::clone(&budget));
        let mut place = Place::default();
        for text in ["abc", "d"] {
            recording.push(Bytes::from_static(text.as_bytes())).unwrap();
        }
        assert_eq!(recording.next(&mut place).unwrap(), "abc");
        assert_eq!(recording.shed(&place), ["abc"]);
        assert_eq!(budget.used(), 0);
        assert!(recording.push(Bytes::from_static(b"efgh")).is_err());
        assert_eq!(recording.next(&mut place).unwrap(), "d");
        assert!(recording.next(&mut place).is_none() && recording.end().is_none());
    }

    #[test]
    fn an_entry_is_read_on_in_place_of_its_recording() {
        let budget = Budget::new(10_000);
        let mut recording = Recording::new(10_000, None, Arc::clone(&budget));
        let mut place = Place::default();
        for text in ["abc", "d", "ef"] {
            recording.push(Bytes::from_static(text.as_bytes())).unwrap();
            if text != "ef" {
                recording.next(&mut place).unwrap();
            }
        }
        let whole = recording.end().unwrap().into_bytes();
        assert_eq!(recording.hand_over(&whole), ["abc", "def"]);
        assert_eq!(budget.used(), 0);
        let rest = recording.next(&mut place).unwrap();
        assert_eq!(
            (&rest[..], rest.as_ptr()),
            (&b"ef"[..], whole[4..].as_ptr())
        );
        assert!(recording.is_read(&place));
    }

    #[test]
    fn the_declared_length_is_an_end() {
        let mut recording = Recording::new(8, Some(3), Budget::new(100));
        assert!(!recording.is_at_declared_end());
        recording.push(Bytes::from_static(b"abc")).unwrap();
        assert!(recording.is_at_declared_end());
        assert!(!Recording::new(8, Some(0), Budget::new(100)).is_at_declared_end());
    }
}
