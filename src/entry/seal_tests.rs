//! Sealed frames.

use super::*;
use crate::entry::seal::Encryption;

fn wire(keys: &Encryption) -> Wire {
    Wire {
        seals: Some(Seals::new(keys).unwrap()),
        ..Wire::default()
    }
}

fn sealed(entry: &Entry, keys: &Encryption) -> Bytes {
    super::super::encode(entry, &wire(keys)).unwrap()
}

fn open(frame: &Bytes, keys: &Encryption, key: &Key) -> Result<Frame, Corrupt> {
    let wire = wire(keys);
    let bounds = Bounds {
        seals: wire.seals.as_ref(),
        ..LIMIT
    };
    decode(frame, key, &CANONICAL.into(), bounds)
}

fn first() -> Encryption {
    Encryption::new(1, [7; 32])
}

#[test]
fn a_sealed_frame_comes_back_with_its_key_alone() {
    let written = entry(&b"secret ".repeat(500));
    let frame = sealed(&written, &first());
    for text in [&b"secret"[..], CANONICAL, b"application/json"] {
        assert!(!frame.windows(text.len()).any(|part| part == text));
    }
    assert_same(open(&frame, &first(), &key()).unwrap(), &written);
    let newer = Encryption::new(2, [8; 32]);
    assert_same(
        open(&frame, &newer.clone().older(1, [7; 32]), &key()).unwrap(),
        &written,
    );
    let closed = |keys: &Encryption| open(&frame, keys, &key()).unwrap_err();
    assert_eq!(closed(&newer), Corrupt::Sealed, "its key is missing");
    assert_eq!(
        closed(&Encryption::new(1, [9; 32])),
        Corrupt::Sealed,
        "wrong"
    );
    assert_eq!(read(frame.clone()).unwrap_err(), Corrupt::Sealed, "no keys");
    let again = sealed(&written, &first());
    assert_ne!(frame, again, "a nonce is used once");
}

#[test]
fn an_open_frame_is_refused_where_frames_are_sealed() {
    let frame = encode(&entry(b"planted"));
    assert_eq!(open(&frame, &first(), &key()).unwrap_err(), Corrupt::Sealed);
}

#[test]
fn a_sealed_frame_opens_under_its_own_name_alone() {
    let frame = sealed(&entry(b"x"), &first());
    let other = Key::new("api:characters:ffffffffffffffffffffffffffffffff");
    assert_eq!(open(&frame, &first(), &other).unwrap_err(), Corrupt::Sealed);
}

#[test]
fn whatever_is_changed_in_a_sealed_frame_does_not_open() {
    let frame = sealed(&entry(&[7; 60]), &first());
    for at in 0..frame.len() {
        let mut forged = frame.to_vec();
        forged[at] ^= 1;
        assert!(
            open(&forged.clone().into(), &first(), &key()).is_err(),
            "{at}"
        );
        let sum = checksum(&forged).to_le_bytes();
        forged[SUM].copy_from_slice(&sum);
        if !SUM.contains(&at) {
            assert!(
                open(&forged.into(), &first(), &key()).is_err(),
                "sealed, {at}"
            );
        }
    }
}

#[test]
fn tags_can_be_read_without_the_key() {
    let written = entry(b"x");
    let frame = sealed(&written, &first());
    let peek = Peek::of(&frame).unwrap();
    assert_eq!(peek.scopes(&frame).unwrap()[..], written.scopes[..]);
}

#[test]
fn sealed_frames_stay_readable() {
    let written = entry(b"{\"id\":1}");
    for name in ["v2-sealed.bin", "v3-sealed.bin"] {
        let frame = golden(name, &sealed(&written, &first()));
        assert_same(open(&frame, &first(), &key()).unwrap(), &written);
    }
}

#[test]
fn keys_that_cannot_work_are_refused() {
    for bad in [first().older(1, [8; 32]), Encryption::new(1, [0; 32])] {
        assert_eq!(Seals::new(&bad).unwrap_err().setting(), "encryption");
    }
    assert!(
        !format!("{:?}", first()).contains('7'),
        "keys are not shown"
    );
}

proptest! {
    #[test]
    fn no_sealed_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut frame = sealed(&entry(b"x"), &first()).to_vec();
        frame.truncate(FIXED);
        frame.extend(bytes);
        let sum = checksum(&frame).to_le_bytes();
        frame[SUM].copy_from_slice(&sum);
        let _ = open(&frame.into(), &first(), &key());
    }
}
