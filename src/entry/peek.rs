//! What a frame's head says of its entry, without the request that it answers.

use super::layout::{FIXED, FIXED_1, MAGIC, SEALED, VARY, VERSION};
use super::seal::NONCE;
use crate::generation::Stamp;
use crate::key::ScopeId;
use crate::policy::freshness::{Lifetime, Rules};

/// The numbers of a frame. Nothing of it is served: they are not checked against
/// the whole.
#[derive(Debug)]
pub(crate) struct Peek {
    pub(crate) status: u16,
    pub(crate) created: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) stamp: Stamp,
    /// Bytes of the body.
    pub(crate) size: u64,
    /// Milliseconds.
    pub(crate) took: u32,
    /// It is a typed value, or leads to one.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "a store in memory asks")
    )]
    pub(crate) value: bool,
    /// Where its scopes lie.
    scopes: Option<std::ops::Range<usize>>,
}

impl Peek {
    /// Reads a frame, or as much of it as is there. None for what is no entry:
    /// markers, other versions, other things.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        Self::any(frame).filter(|_| frame[5] & VARY == 0)
    }

    /// The same, and of markers too.
    pub(crate) fn any(frame: &[u8]) -> Option<Self> {
        let version = *frame.get(4)?;
        if !frame.starts_with(MAGIC) || !(1..=VERSION).contains(&version) {
            return None;
        }
        let (fresh, stale, keep) = (long(frame, 24)?, long(frame, 32)?, long(frame, 40)?);
        let (error, rules, took, fixed) = match version {
            1 => (stale, 0, 0, FIXED_1),
            _ => (
                long(frame, 96)?,
                *frame.get(104)?,
                short(frame, 105)?,
                FIXED,
            ),
        };
        let before = match frame[5] & SEALED {
            0 => usize::try_from(short(frame, 64)?).ok()?,
            _ => 4 + NONCE,
        };
        let start = fixed.checked_add(before);
        let len = usize::try_from(short(frame, 68)?).ok()?.checked_mul(16);
        let ends = |start: usize| Some(start..start.checked_add(len?)?);
        Some(Self {
            status: u16::from_le_bytes(frame.get(6..8)?.try_into().ok()?),
            created: long(frame, 16)?,
            lifetime: Lifetime {
                fresh,
                stale,
                error,
                keep,
            },
            stamp: Stamp {
                epoch: long(frame, 48)?,
                number: long(frame, 56)?,
            },
            size: long(frame, 88)?,
            took,
            value: Rules::from_bits(rules).has(Rules::VALUE),
            scopes: start.and_then(ends),
        })
    }

    /// What it can be invalidated by, where so much of the frame is there.
    pub(crate) fn scopes(&self, frame: &[u8]) -> Option<Vec<ScopeId>> {
        let (ids, _) = frame.get(self.scopes.clone()?)?.as_chunks::<16>();
        Some(ids.iter().map(|id| ScopeId(*id)).collect())
    }
}

fn long(frame: &[u8], at: usize) -> Option<u64> {
    let bytes = frame.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn short(frame: &[u8], at: usize) -> Option<u32> {
    let bytes = frame.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_golden_frames_can_be_peeked_at() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let mut entries = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let frame = std::fs::read(file.unwrap().path()).unwrap();
            let Some(peek) = Peek::of(&frame) else {
                continue;
            };
            entries += 1;
            assert!((200..600).contains(&peek.status));
            assert!(peek.created > 0 && peek.lifetime.fresh <= peek.lifetime.keep);
            let head = Peek::of(&frame[..FIXED]).unwrap();
            assert_eq!((head.size, head.scopes(&frame[..FIXED])), (peek.size, None));
            assert!(peek.scopes(&frame).is_some());
        }
        assert!(entries > 0);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let frame = [&MAGIC[..], &[VERSION, 0], &bytes].concat();
            for frame in [&frame[..], &bytes] {
                if let Some(peek) = Peek::of(frame) {
                    let _ = peek.scopes(frame);
                }
            }
        }
    }
}
