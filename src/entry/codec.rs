//! The frame: an entry as it lies in the store.
//! How one is written; `layout.rs` has what it looks like, `decode.rs` reads it.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use http::header::HeaderName;

use super::checksum::checksum;
use super::compress::compress;
pub(crate) use super::decode::{Bounds, Corrupt, Frame, decode};
use super::headers::Fields;
use super::layout::{FIXED, Head, MAGIC, SEALED, SUM, VARY, VERSION, ZSTD, bound};
pub(crate) use super::peek::Peek;
use super::seal::Seals;
use super::stored::Entry;
use super::wire::Wire;
use crate::generation::Stamp;
use crate::key::{Key, ScopeId};
use crate::policy::freshness::{Lifetime, Rules};

/// An entry's name in the store, and how it is sealed.
type Seal<'a> = Option<(&'a Seals, &'a Key)>;

/// Encodes an entry. None where it cannot be sealed: it must not be written then.
pub(crate) fn encode(entry: &Entry, wire: &Wire) -> Option<Bytes> {
    let packed = wire
        .packing
        .and_then(|packing| compress(&entry.body, packing));
    let head = Head {
        flags: if packed.is_some() { ZSTD } else { 0 },
        status: entry.status.as_u16(),
        created: entry.created,
        lifetime: entry.lifetime,
        rules: entry.rules,
        took: entry.took,
        raw_len: entry.body.len(),
        stamp: entry.stamp,
    };
    let body = packed.as_deref().unwrap_or(&entry.body);
    let seal = wire.seals.as_ref().map(|seals| (seals, &entry.key));
    let parts = (&entry.canonical[..], &entry.scopes[..], &entry.fields, body);
    write(&head, parts, seal)
}

/// Encodes a marker: what answers to `canonical` vary on. It bears what the answer does by
/// which it was made, so that it is erased with it.
pub(crate) fn encode_vary(
    (key, wire): (&Key, &Wire),
    (canonical, scopes): (&[u8], &[ScopeId]),
    names: &[HeaderName],
    created: u64,
    keep: u64,
) -> Option<Bytes> {
    let head = Head {
        flags: VARY,
        status: 0,
        created,
        lifetime: Lifetime::fresh(keep),
        rules: Rules::default(),
        took: 0,
        raw_len: 0,
        stamp: Stamp::default(),
    };
    let none = HeaderValue::from_static("");
    let fields = names.iter().map(|name| (name.clone(), none.clone()));
    let seal = wire.seals.as_ref().map(|seals| (seals, key));
    write(&head, (canonical, scopes, &fields.collect(), &[]), seal)
}

fn write(
    head: &Head,
    (canonical, scopes, fields, body): (&[u8], &[ScopeId], &Fields, &[u8]),
    seal: Seal<'_>,
) -> Option<Bytes> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| 6 + name.as_str().len() + value.len();
    let block: usize = fields.iter().map(field).sum();
    let len = FIXED + canonical.len() + scopes.len() * 16 + block + body.len();
    let mut out = BytesMut::with_capacity(len);
    out.put_slice(MAGIC);
    out.put_u8(VERSION);
    out.put_u8(head.flags | if seal.is_some() { SEALED } else { 0 });
    out.put_u16_le(head.status);
    out.put_u64_le(0); // the checksum, see below
    out.put_u64_le(head.created);
    out.put_u64_le(head.lifetime.fresh);
    out.put_u64_le(head.lifetime.stale);
    out.put_u64_le(head.lifetime.keep);
    out.put_u64_le(head.stamp.epoch);
    out.put_u64_le(head.stamp.number);
    out.put_u32_le(length(canonical.len()));
    out.put_u32_le(length(scopes.len()));
    out.put_u32_le(length(fields.len()));
    out.put_u32_le(length(block));
    out.put_u64_le(body.len() as u64);
    out.put_u64_le(head.raw_len as u64);
    out.put_u64_le(head.lifetime.error);
    out.put_u8(head.rules.bits());
    out.put_u32_le(head.took);
    match seal {
        None => {
            out.put_slice(canonical);
            put_scopes(&mut out, scopes);
            put_fields(&mut out, fields);
            out.put_slice(body);
        }
        Some((seals, key)) => {
            let (id, nonce) = seals.begin()?;
            out.put_u32_le(id);
            out.put_slice(&nonce);
            put_scopes(&mut out, scopes);
            let mut inside = BytesMut::with_capacity(len - FIXED);
            inside.put_slice(canonical);
            put_fields(&mut inside, fields);
            inside.put_slice(body);
            out.put_slice(&seals.seal(&nonce, &bound(&out, key), &inside)?);
        }
    }
    let sum = checksum(&out).to_le_bytes();
    out[SUM].copy_from_slice(&sum);
    Some(out.freeze())
}

fn put_scopes(out: &mut BytesMut, scopes: &[ScopeId]) {
    for scope in scopes {
        out.put_slice(&scope.0);
    }
}

fn put_fields(out: &mut BytesMut, fields: &Fields) {
    for (name, value) in fields.iter() {
        out.put_u16_le(u16::try_from(name.as_str().len()).unwrap_or(u16::MAX));
        out.put_u32_le(length(value.len()));
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(value.as_bytes());
    }
}

/// A length that does not fit makes a frame that decodes as damaged, hence a
/// miss.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Bytes with the magic, a version and a checksum that are right, as a forger
/// writes them.
#[cfg(larder_internals)]
pub(crate) fn sealed(bytes: &[u8]) -> Bytes {
    let mut frame = bytes.to_vec();
    frame.resize(frame.len().max(FIXED), 0);
    frame[..4].copy_from_slice(MAGIC);
    frame[4] = 1 + frame[4] % VERSION;
    let sum = checksum(&frame).to_le_bytes();
    frame[SUM].copy_from_slice(&sum);
    frame.into()
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
