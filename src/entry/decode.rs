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
use super::layout::{FIXED_1, Head, MAGIC, SEALED, VARY, VERSION, ZSTD, bound};
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

/// How much there is of what follows a frame's head.
struct Parts {
    /// Bytes.
    canonical: usize,
    /// How many there are.
    scopes: usize,
    /// How many there are, and their bytes.
    fields: (usize, usize),
    /// Bytes, as it lies there.
    body: usize,
}

/// The head of a frame that is whole, and of a version and with flags that are known; and
/// what is behind it.
fn read_head(frame: &Bytes) -> Result<(Head, Parts, Reader<'_>), Corrupt> {
    if !frame.starts_with(MAGIC) {
        return Err(Corrupt::NoFrame);
    }
    if frame.len() < FIXED_1 {
        return Err(Corrupt::Damaged("truncated"));
    }
    let (version, flags) = (frame[4], frame[5]);
    let unpacks = cfg!(feature = "compression") || flags & ZSTD == 0;
    let known = flags & !(ZSTD | VARY | SEALED) == 0;
    if !(1..=VERSION).contains(&version) || !known || !unpacks {
        return Err(Corrupt::Foreign);
    }
    let rest = &frame[6..];
    let mut reader = Reader { frame, rest };
    let status = reader.u16()?;
    if reader.u64()? != checksum(frame) {
        return Err(Corrupt::Damaged("checksum"));
    }
    let created = reader.u64()?;
    let [fresh, stale, keep] = [reader.u64()?, reader.u64()?, reader.u64()?];
    let [epoch, number] = [reader.u64()?, reader.u64()?];
    let parts = Parts {
        canonical: reader.u32()?,
        scopes: reader.u32()?,
        fields: (reader.u32()?, reader.u32()?),
        body: size(reader.u64()?)?,
    };
    let raw_len = size(reader.u64()?)?;
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
    let head = Head {
        flags,
        status,
        created,
        lifetime,
        rules,
        took: u32::try_from(took).unwrap_or(u32::MAX),
        raw_len,
        stamp: Stamp { epoch, number },
    };
    Ok((head, parts, reader))
}

/// Decodes the frame found under `key` for the request `canonical`.
pub(crate) fn decode(
    frame: &Bytes,
    key: &Key,
    canonical: &Canonical,
    bounds: Bounds<'_>,
) -> Result<Frame, Corrupt> {
    let damaged = Corrupt::Damaged;
    let (head, parts, reader) = read_head(frame)?;
    let has = |flag| head.flags & flag != 0;
    let (open, outside) = match (has(SEALED), bounds.seals) {
        (true, Some(seals)) => opened(reader, parts.scopes, key, seals)?,
        (false, None) => (reader.frame.slice_ref(reader.rest), None),
        _ => return Err(Corrupt::Sealed),
    };
    let mut reader = Reader {
        frame: &open,
        rest: &open,
    };
    if reader.take(parts.canonical)? != &canonical[..] {
        return Err(damaged("another request's"));
    }
    let scopes = match outside {
        Some(scopes) => scopes,
        None => read_scopes(&mut reader, parts.scopes)?,
    };
    let fields = read_fields(&mut reader, parts.fields, has(VARY), bounds)?;
    let body = reader.take(parts.body)?;
    if !reader.rest.is_empty() {
        return Err(damaged("trailing bytes"));
    }
    if has(VARY) {
        if !(1..=MOST_NAMES).contains(&fields.len()) {
            return Err(damaged("a marker that is never stored"));
        }
        let names = fields.iter().map(|(name, _)| name.clone()).collect();
        return Ok(Frame::Vary(names));
    }
    let (packed, raw_len) = (has(ZSTD), head.raw_len);
    if !packed && raw_len != parts.body {
        return Err(damaged("body"));
    }
    if raw_len > bounds.max_body {
        return Err(Corrupt::Unfit);
    }
    Ok(Frame::Entry(Box::new(Entry {
        canonical: Arc::clone(canonical),
        key: key.clone(),
        scopes,
        status: read_status(head.status)?,
        fields: match packed {
            false => fields,
            true => fields.detached(), // the body lies elsewhere: let the frame go
        },
        body: read_body(&reader, body, raw_len, packed)?,
        created: head.created,
        lifetime: head.lifetime,
        rules: head.rules,
        took: head.took,
        stamp: head.stamp,
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

/// Those of a shape that was seen have been asked for whether they may be there.
fn read_fields(
    reader: &mut Reader<'_>,
    (count, len): (usize, usize),
    marker: bool,
    bounds: Bounds<'_>,
) -> Result<Fields, Corrupt> {
    let seen = bounds.seen.filter(|_| !marker);
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
        if !marker {
            check_stored(&name, bounds.cookies)?;
        }
        fields.append(name, value(text)?);
    }
    if let Some(seen) = seen {
        seen.learn(&fields);
    }
    Ok(fields.into())
}

/// Whether an entry may have such a field.
fn check_stored(name: &HeaderName, cookies: bool) -> Result<(), Corrupt> {
    if is_hop_by_hop(name) || *name == header::AGE {
        return Err(Corrupt::Damaged("a field that is never stored"));
    }
    match *name == header::SET_COOKIE && !cookies {
        true => Err(Corrupt::Unfit),
        false => Ok(()),
    }
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
