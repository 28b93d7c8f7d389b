//! The checksum of a frame, see `layout.rs`.

use std::hash::Hasher as _;

use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{RawHasher, SecretBuffer};

use super::layout::SUM;

/// Odd, so that two heads never come to the same.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// That of a frame, of which the head is there at least.
pub(super) fn checksum(frame: &[u8]) -> u64 {
    let (head, behind) = (&frame[..SUM.start], &frame[SUM.end..]);
    match frame[4] {
        1 | 2 => of_pieces(head, behind),
        _ => XxHash3_64::oneshot(behind) ^ number(head).wrapping_mul(ODD),
    }
}

fn number(head: &[u8]) -> u64 {
    head.iter()
        .rev()
        .fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cold]
fn of_pieces(head: &[u8], behind: &[u8]) -> u64 {
    let mut hash = RawHasher::new(SecretBuffer::default()); // on the stack
    hash.write(head);
    hash.write(behind);
    hash.finish()
}
