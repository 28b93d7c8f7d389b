use super::*;
use crate::clock::SystemClock;

#[test]
fn a_slot_is_sixteen_bytes() {
    assert_eq!(size_of::<Slot>(), 16);
}

#[test]
fn a_place_that_two_requests_share_answers_one_of_them() {
    let clock = Arc::new(SystemClock::new());
    let memory = Memory::new(1 << 20, clock, Arc::default());
    let names = [http::header::ACCEPT];
    let variants = Variants::new(b"a"[..].into(), names[..].into());
    // as if both had one hash
    let weighed = Weighed::of(&variants);
    let slot = Slot::Vary(Arc::new(variants), weighed);
    memory.slots.insert(memory.place(b"b"), slot);
    assert!(memory.get(b"b").is_none() && memory.peek(b"b").is_none());
    memory.remove(b"b");
    assert_eq!(memory.len(), 1, "what is another's stays");
}

/// A cache of any size lives for years: what is in flight changes its capacity all day.
#[test]
fn room_that_comes_and_goes_leaves_the_tier_as_it_was() {
    let clock = Arc::new(SystemClock::new());
    let memory = Memory::new(70_001, clock, Arc::default());
    for n in 0..200_000_u64 {
        memory.yield_to(n * n % 11 * 4_000);
    }
    memory.yield_to(0);
    let variants = Variants::new(b"a"[..].into(), [http::header::ACCEPT][..].into());
    let slot = Slot::Vary(Arc::new(variants), Weighed(60_000));
    memory.slots.insert(memory.place(b"a"), slot);
    assert!(memory.get(b"a").is_some());
    assert_eq!(memory.capacity(), 70_001);
}
