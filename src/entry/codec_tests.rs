//! Frames: golden files, round trips, and everything that may be wrong.

use super::*;
use crate::generation::Stamp;
use crate::key::Key;
use http::{StatusCode, header};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

const CANONICAL: &[u8] = b"the canonical request";
const LIMIT: Bounds<'_> = Bounds {
    max_body: 1 << 20,
    cookies: false,
    seals: None,
    seen: None,
};

fn encode(entry: &Entry) -> Bytes {
    super::encode(entry, &Wire::default()).unwrap()
}

fn encode_vary(canonical: &[u8], names: &[HeaderName], created: u64, keep: u64) -> Bytes {
    super::encode_vary(
        (&key(), &Wire::default()),
        (canonical, &[]),
        names,
        created,
        keep,
    )
    .unwrap()
}

fn key() -> Key {
    Key::new("api:characters:00112233445566778899aabbccddeeff")
}

fn entry(body: &[u8]) -> Entry {
    let json = HeaderValue::from_static("application/json");
    let bytes = HeaderValue::from_bytes(b"\xe4\xf6").unwrap();
    let fields = [
        (header::CONTENT_TYPE, json),
        (
            HeaderName::from_static("x-many"),
            HeaderValue::from_static("1"),
        ),
        (
            HeaderName::from_static("x-many"),
            HeaderValue::from_static("2"),
        ),
        (HeaderName::from_static("x-bytes"), bytes),
    ];
    Entry {
        canonical: CANONICAL.into(),
        key: key(),
        scopes: [
            ScopeId::endpoint("characters"),
            ScopeId::tag(None, "character:1"),
        ]
        .into(),
        status: StatusCode::OK,
        fields: fields.into_iter().collect(),
        body: Bytes::copy_from_slice(body),
        created: 1_800_000_000_000,
        lifetime: Lifetime {
            fresh: 300_000,
            stale: 310_000,
            error: 310_000,
            keep: 400_000,
        },
        rules: Rules::default(),
        took: 0,
        stamp: Stamp::default(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "most frames are made for it")]
fn read(frame: Bytes) -> Result<Frame, Corrupt> {
    decode(&frame, &key(), &CANONICAL.into(), LIMIT)
}

fn assert_same(read: Frame, written: &Entry) {
    let Frame::Entry(read) = read else {
        panic!("an entry, not a marker");
    };
    assert_eq!(read.status, written.status);
    assert_eq!(read.fields, written.fields);
    assert_eq!(read.body, written.body);
    assert_eq!(read.scopes, written.scopes);
    assert_eq!(read.canonical, written.canonical);
    assert_eq!(read.created, written.created);
    assert_eq!(read.lifetime, written.lifetime);
    assert_eq!(read.rules, written.rules);
    assert_eq!(read.took, written.took);
    assert_eq!(read.stamp, written.stamp);
}

/// Files under `tests/golden` keep old frames readable. A new one is written
/// with `LARDER_WRITE_GOLDEN=1`; an old one is never changed.
fn golden(name: &str, frame: &Bytes) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("LARDER_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, frame).unwrap();
    }
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

#[test]
fn a_stamp_comes_back() {
    let mut written = entry(b"body");
    written.stamp = Stamp {
        epoch: u64::MAX,
        number: 6,
    };
    assert_same(read(encode(&written)).unwrap(), &written);
}

#[test]
fn frames_of_version_1_stay_readable() {
    let small = entry(b"{\"id\":1}");
    assert_same(
        read(golden("v1-entry.bin", &encode(&small))).unwrap(),
        &small,
    );
    let names = [header::ACCEPT, header::ORIGIN];
    let marker = encode_vary(CANONICAL, &names, 1_800_000_000_000, 60_000);
    let Frame::Vary(read) = read(golden("v1-vary.bin", &marker)).unwrap() else {
        panic!("a marker");
    };
    assert_eq!(read, names);
}

fn ruled() -> Entry {
    let mut ruled = entry(b"{\"id\":1}");
    ruled.lifetime.error = 350_000;
    ruled.took = 1_234;
    ruled.rules = Rules::NEVER_STALE.and(Rules::IMMUTABLE);
    ruled
}

/// An entry of a typed value.
fn value() -> Entry {
    let mut value = entry(b"{\"id\":1}");
    value.fields = Fields::empty();
    value.rules = Rules::VALUE;
    value
}

#[test]
fn frames_of_version_2_stay_readable() {
    for (name, written) in [("v2-entry.bin", ruled()), ("v2-value.bin", value())] {
        assert_same(read(golden(name, &encode(&written))).unwrap(), &written);
    }
    let marker = read(golden("v2-vary.bin", &Bytes::new())).unwrap();
    assert!(matches!(marker, Frame::Vary(names) if names == [header::ACCEPT]));
}

#[test]
fn frames_of_version_3_stay_as_they_are() {
    let mut alias = value();
    alias.rules = Rules::VALUE.and(Rules::ALIAS);
    for (name, written) in [
        ("v3-entry.bin", ruled()),
        ("v3-value.bin", value()),
        ("v3-alias.bin", alias),
    ] {
        let frame = encode(&written);
        assert_eq!(golden(name, &frame), frame, "{name}");
        assert_same(read(frame).unwrap(), &written);
    }
    let marker = encode_vary(CANONICAL, &[header::ACCEPT], 1_800_000_000_000, 60_000);
    assert_eq!(golden("v3-vary.bin", &marker), marker);
}

#[cfg(feature = "compression")]
#[test]
fn compressed_frames_of_version_1_stay_readable() {
    let large = entry(&b"{\"name\":\"larder\"}".repeat(500));
    let frame = encode(&large);
    assert!(frame.len() < 1_000);
    assert_same(read(golden("v1-zstd.bin", &frame)).unwrap(), &large);
}

#[test]
fn a_body_is_sliced_not_copied() {
    let frame = encode(&entry(b"0123456789"));
    let range = frame.as_ptr_range();
    let Ok(Frame::Entry(read)) = read(frame) else {
        panic!("readable");
    };
    assert!(range.contains(&read.body.as_ptr()));
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    let frame = encode(&entry(&[7; 100]));
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut bad = frame.to_vec();
            bad[at] ^= 1 << bit;
            assert!(read(bad.into()).is_err(), "bit {bit} of byte {at}");
        }
        assert!(read(frame.slice(..at)).is_err(), "cut at {at}");
    }
    let longer = [&frame[..], b"x"].concat();
    assert!(read(longer.into()).is_err());
}

#[test]
fn another_requests_frame_is_refused() {
    let frame = encode(&entry(b"x"));
    let other = decode(&frame, &key(), &Arc::from(*b"another request"), LIMIT);
    assert!(matches!(other, Err(Corrupt::Damaged("another request's"))));
}

#[test]
fn another_version_is_left_alone() {
    let mut frame = encode(&entry(b"x")).to_vec();
    frame[4] = VERSION + 1;
    assert_eq!(read(frame.into()).unwrap_err(), Corrupt::Foreign);
}

/// A forger can compute checksums.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Corrupt {
    let mut frame = encode(&entry(b"body")).to_vec();
    change(&mut frame);
    let sum = checksum(&frame).to_le_bytes();
    frame[SUM].copy_from_slice(&sum);
    read(frame.into()).unwrap_err()
}

#[test]
fn forged_numbers_are_refused() {
    let huge = u64::MAX.to_le_bytes();
    for (at, why) in [
        (64, "canonical"),
        (68, "scopes"),
        (72, "fields"),
        (76, "block"),
    ] {
        let error = forged(|frame| frame[at..at + 4].fill(0xff));
        assert!(matches!(error, Corrupt::Damaged(_)), "{why}: {error:?}");
    }
    for at in [24, 32, 40, 80, 88] {
        let error = forged(|frame| frame[at..at + 8].copy_from_slice(&huge));
        assert!(matches!(error, Corrupt::Damaged(_)), "{at}: {error:?}");
    }
    for status in [0_u16, 100, 206, 304, 600, 999] {
        let error = forged(|frame| frame[6..8].copy_from_slice(&status.to_le_bytes()));
        assert_eq!(error, Corrupt::Damaged("status"), "{status}");
    }
}

#[test]
fn forged_fields_are_refused() {
    for (name, value) in [
        ("set-cookie", "a=b"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("age", "0"),
    ] {
        let mut forged = entry(b"x");
        let more = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        let known = forged.fields.iter().map(|(n, v)| (n.clone(), v.clone()));
        forged.fields = known.chain([more]).collect();
        let why = match name {
            "set-cookie" => Corrupt::Unfit, // another policy's may store it
            _ => Corrupt::Damaged("a field that is never stored"),
        };
        assert_eq!(read(encode(&forged)).unwrap_err(), why, "{name}");
    }
    let injected = forged(|frame| {
        let at = frame.windows(4).position(|w| w == b"json").unwrap();
        frame[at] = b'\n';
    });
    assert_eq!(injected, Corrupt::Damaged("field value"));
}

#[test]
fn a_body_over_the_policys_limit_is_refused() {
    let frame = encode(&entry(&[0; 2_000]));
    let error = decode(
        &frame,
        &key(),
        &CANONICAL.into(),
        Bounds {
            max_body: 1_999,
            ..LIMIT
        },
    )
    .unwrap_err();
    assert_eq!(error, Corrupt::Unfit);
}

#[cfg(feature = "encryption")]
#[path = "seal_tests.rs"]
mod seal_tests;

proptest! {
    #[test]
    fn any_entry_comes_back(body in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let written = entry(&body);
        assert_same(read(encode(&written)).unwrap(), &written);
    }

    #[test]
    fn no_bytes_panic(frame in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(frame.into());
    }

    #[test]
    fn no_forgery_panics(at in 0_usize..200, byte in any::<u8>()) {
        let mut frame = encode(&entry(b"body")).to_vec();
        let at = at % frame.len();
        frame[at] = byte;
        let sum = checksum(&frame).to_le_bytes();
        frame[SUM].copy_from_slice(&sum);
        let _ = read(frame.into());
    }
}

#[test]
fn values_that_all_share_are_known_and_others_are_not() {
    use crate::entry::common::common;
    for known in [
        "application/json",
        "text/css",
        "accept-encoding",
        "1024",
        "0",
    ] {
        assert_eq!(common(known.as_bytes()).unwrap(), known);
    }
    let long = "x".repeat(64 + "text/css".len());
    for other in ["application/jsom", "text/cs", "01", "", "x", "10240", &long] {
        assert_eq!(common(other.as_bytes()), None, "{other}");
    }
}
