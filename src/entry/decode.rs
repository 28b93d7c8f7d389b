//! Reading frames: every number is checked, every byte accounted for.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use smallvec::SmallVec;

use super::checksum::checksum;
use super::common::common;
use super::compress::decompress;
use super::headers::Fields;
use super::layout::{FIXED_1, MAGIC, SEALED, VARY, VERSION, ZSTD, bound};
use super::seal::Seals;
use super::seen::Seen;
use super::stored::Entry;
use crate::clock::millis;
use crate::generation::Stamp;
use crate::key::{Canonical, Key, ScopeId};
use crate::policy::freshness::{LONGEST, Lifetime, Rules};
use crate::policy::is_hop_by_hop;
use crate::policy::vary::MOST_NAMES;

/// More fields than a header map holds are a forgery.
const MOST_FIELDS: usize = 10_000;

/// A decoded frame.
#[derive(Debug)]
pub(crate) enum Frame {
    Entry(Box<Entry>),
    /// Names of the fields that answers under this key vary on.
    Vary(Vec<HeaderName>),
}

/// Why a frame is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Corrupt {
    /// Written by another version of larder: left alone.
    Foreign,
    /// Sealed with a key that this process lacks, or not sealed where it must be:
    /// left alone.
    Sealed,
    /// Larger than this process' policy takes, or with a cookie where it takes none: another
    /// one's setting. Left alone.
    Unfit,
    /// No frame of larder's: a value's name leaves it alone, for others may have put it there.
    NoFrame,
    /// Damaged, forged or not for this request: deleted.
    Damaged(&'static str),
}

/// Takes numbers off a frame; all lengths have been checked against the whole.
struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let taken = self.rest.split_at_checked(len);
        let (slice, rest) = taken.ok_or(Corrupt::Damaged("truncated"))?;
        self.rest = rest;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let taken = self.rest.split_first_chunk();
        let (array, rest) = taken.ok_or(Corrupt::Damaged("truncated"))?;
        self.rest = rest;
        Ok(*array)
    }

    /// What was taken, as a share of the frame: it costs two counts of it, so
    /// only what outlives the decoding is.
    fn share(&self, slice: &[u8]) -> Bytes {
        self.frame.slice_ref(slice)
    }

    fn u16(&mut self) -> Result<u16, Corrupt> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<usize, Corrupt> {
        let n = u32::from_le_bytes(self.array()?);
        usize::try_from(n).map_err(|_| Corrupt::Damaged("length"))
    }

    fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_le_bytes)
    }
}

/// What a policy takes from the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// A longer body is refused before it is unpacked.
    pub(crate) max_body: usize,
    /// Whether `Set-Cookie` may be stored.
    pub(crate) cookies: bool,
    /// The keys with which frames must be sealed.
    pub(crate) seals: Option<&'a Seals>,
    /// What has come under this very policy, if that is remembered.
    pub(crate) seen: Option<&'a Seen>,
}

/// Decodes the frame found under `key` for the request `canonical`.
pub(crate) fn decode(
    frame: &Bytes,
    key: &Key,
    canonical: &Canonical,
    bounds: Bounds<'_>,
) -> Result<Frame, Corrupt> {
    let damaged = Corrupt::Damaged;
    if !frame.starts_with(MAGIC) {
        return Err(Corrupt::NoFrame);
    }
    if frame.len() < FIXED_1 {
        return Err(damaged("truncated"));
    }
    let version = frame[4];
    if !(1..=VERSION).contains(&version) {
        return Err(Corrupt::Foreign);
    }
    let flags = frame[5];
    if flags & !(ZSTD | VARY | SEALED) != 0 {
        return Err(Corrupt::Foreign);
    }
    if cfg!(not(feature = "compression")) && flags & ZSTD != 0 {
        return Err(Corrupt::Foreign);
    }
    let mut reader = Reader {
        frame,
        rest: &frame[6..],
    };
    let status = reader.u16()?;
    let sum = reader.u64()?;
    if sum != checksum(frame) {
        return Err(damaged("checksum"));
    }
    let created = reader.u64()?;
    let [fresh, stale, keep] = [reader.u64()?, reader.u64()?, reader.u64()?];
    let [epoch, number] = [reader.u64()?, reader.u64()?];
    let canonical_len = reader.u32()?;
    let (scopes, fields, block) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let (body_len, raw_len) = (size(reader.u64()?)?, size(reader.u64()?)?);
    let (error, rules, took) = match version {
        1 => (stale, Rules::default(), 0),
        _ => (reader.u64()?, rules(&mut reader)?, reader.u32()?),
    };
    let lifetime = Lifetime {
        fresh,
        stale,
        error,
        keep,
    };
    check_lifetime(&lifetime)?;
    let (open, outside) = match (flags & SEALED != 0, bounds.seals) {
        (true, Some(seals)) => opened(reader, scopes, key, seals)?,
        (false, None) => (reader.frame.slice_ref(reader.rest), None),
        _ => return Err(Corrupt::Sealed),
    };
    let mut reader = Reader {
        frame: &open,
        rest: &open,
    };
    if reader.take(canonical_len)? != &canonical[..] {
        return Err(damaged("another request's"));
    }
    let scopes = match outside {
        Some(scopes) => scopes,
        None => read_scopes(&mut reader, scopes)?,
    };
    let marker = flags & VARY != 0;
    let stored = |name: &HeaderName| match marker || may_be_stored(name, bounds.cookies) {
        true => Ok(()),
        false if *name == header::SET_COOKIE => Err(Corrupt::Unfit),
        false => Err(damaged("a field that is never stored")),
    };
    let seen = bounds.seen.filter(|_| !marker);
    let fields = read_fields(&mut reader, fields, block, seen, stored)?;
    let body = reader.take(body_len)?;
    if !reader.rest.is_empty() {
        return Err(damaged("trailing bytes"));
    }
    if marker {
        if !(1..=MOST_NAMES).contains(&fields.len()) {
            return Err(damaged("a marker that is never stored"));
        }
        let names = fields.iter().map(|(name, _)| name.clone()).collect();
        return Ok(Frame::Vary(names));
    }
    if flags & ZSTD == 0 && raw_len != body_len {
        return Err(damaged("body"));
    }
    if raw_len > bounds.max_body {
        return Err(Corrupt::Unfit);
    }
    Ok(Frame::Entry(Box::new(Entry {
        canonical: Arc::clone(canonical),
        key: key.clone(),
        scopes,
        status: read_status(status)?,
        fields: match flags & ZSTD {
            0 => fields,
            _ => fields.detached(), // the body lies elsewhere: let the frame go
        },
        body: read_body(&reader, body, raw_len, flags & ZSTD != 0)?,
        created,
        lifetime,
        rules,
        took: u32::try_from(took).unwrap_or(u32::MAX),
        stamp: Stamp { epoch, number },
    })))
}

/// What was sealed, and the scopes outside of it.
#[allow(clippy::type_complexity, reason = "two parts of one frame")]
fn opened(
    mut reader: Reader<'_>,
    scopes: usize,
    key: &Key,
    seals: &Seals,
) -> Result<(Bytes, Option<Box<[ScopeId]>>), Corrupt> {
    let id = u32::from_le_bytes(reader.array()?);
    let nonce = reader.array()?;
    let scopes = read_scopes(&mut reader, scopes)?;
    let (frame, sealed) = (reader.frame, reader.rest);
    let bound = bound(&frame[..frame.len() - sealed.len()], key);
    match seals.open((id, &nonce), &bound, sealed) {
        Some(inside) => Ok((inside.into(), Some(scopes))),
        None => Err(Corrupt::Sealed),
    }
}

fn size(len: u64) -> Result<usize, Corrupt> {
    usize::try_from(len).map_err(|_| Corrupt::Damaged("length"))
}

fn rules(reader: &mut Reader<'_>) -> Result<Rules, Corrupt> {
    let [bits] = reader.array()?;
    Ok(Rules::from_bits(bits))
}

/// Lives longer than any that are made are taken for a forgery.
fn check_lifetime(life: &Lifetime) -> Result<(), Corrupt> {
    let windows = [life.stale, life.error];
    let ordered = windows
        .iter()
        .all(|end| (life.fresh..=life.keep).contains(end));
    match ordered && life.keep <= millis(LONGEST) {
        true => Ok(()),
        false => Err(Corrupt::Damaged("lifetime")),
    }
}

fn read_scopes(reader: &mut Reader<'_>, count: usize) -> Result<Box<[ScopeId]>, Corrupt> {
    let len = count.checked_mul(16).ok_or(Corrupt::Damaged("length"))?;
    let block = reader.take(len)?;
    let (ids, _) = block.as_chunks::<16>();
    Ok(ids.iter().map(|id| ScopeId(*id)).collect())
}

/// `stored` tells which names may be there. Those of a shape that
/// was `seen` have been asked for.
fn read_fields(
    reader: &mut Reader<'_>,
    count: usize,
    len: usize,
    seen: Option<&Seen>,
    stored: impl Fn(&HeaderName) -> Result<(), Corrupt>,
) -> Result<Fields, Corrupt> {
    let block = reader.take(len)?;
    if count > MOST_FIELDS || count > block.len() / 6 {
        return Err(Corrupt::Damaged("fields"));
    }
    let mut rest = Reader {
        frame: reader.frame,
        rest: block,
    };
    let mut pairs: SmallVec<[(&[u8], &[u8]); 12]> = SmallVec::new();
    for _ in 0..count {
        let (name, value) = (usize::from(rest.u16()?), rest.u32()?);
        pairs.push((rest.take(name)?, rest.take(value)?));
    }
    if !rest.rest.is_empty() {
        return Err(Corrupt::Damaged("fields"));
    }
    let value = |value: &[u8]| match common(value) {
        Some(known) => Ok(known),
        None => HeaderValue::from_maybe_shared(rest.share(value))
            .map_err(|_| Corrupt::Damaged("field value")),
    };
    if let Some(fields) = seen.and_then(|seen| seen.fields(&pairs, value)) {
        return fields;
    }
    // room for what a hit says as well
    let mut fields = HeaderMap::with_capacity(count + 2);
    for (name, text) in &pairs {
        let name = HeaderName::from_lowercase(name).map_err(|_| Corrupt::Damaged("field name"))?;
        stored(&name)?;
        fields.append(name, value(text)?);
    }
    if let Some(seen) = seen {
        seen.learn(&fields);
    }
    Ok(fields.into())
}

/// Whether an entry may have such a field.
fn may_be_stored(name: &HeaderName, cookies: bool) -> bool {
    !is_hop_by_hop(name) && (*name != header::SET_COOKIE || cookies) && *name != header::AGE
}

fn read_status(status: u16) -> Result<StatusCode, Corrupt> {
    StatusCode::from_u16(status)
        .ok()
        .filter(|s| (200..600).contains(&s.as_u16()) && !matches!(s.as_u16(), 206 | 304))
        .ok_or(Corrupt::Damaged("status"))
}

fn read_body(
    reader: &Reader<'_>,
    body: &[u8],
    raw_len: usize,
    packed: bool,
) -> Result<Bytes, Corrupt> {
    match packed {
        true => decompress(body, raw_len)
            .map(Bytes::from)
            .ok_or(Corrupt::Damaged("body")),
        false if body.len() == raw_len => Ok(reader.share(body)),
        false => Err(Corrupt::Damaged("body")),
    }
}
