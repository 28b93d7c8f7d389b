//! Compression of bodies in the store. Every decompression has a bound.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::wire::Packing;

// Making a context costs several times what it does for a small body: each
// thread keeps its own.
thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The compressed body, where that is smaller.
pub(super) fn compress(body: &[u8], packing: Packing) -> Option<Vec<u8>> {
    if body.len() <= packing.above {
        return None;
    }
    let packed = COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(packing.level).ok()?),
        };
        compressor.set_compression_level(packing.level).ok()?;
        compressor.compress(body).ok()
    })?;
    (packed.len() < body.len()).then_some(packed)
}

/// The body again, exactly `len` bytes of it; `None` if it is anything else.
pub(super) fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let body = DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(packed, len).ok()
    })?;
    (body.len() == len).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Packing = Packing {
        above: 1024,
        level: 1,
    };

    #[test]
    fn what_is_compressed_comes_back() {
        let body = b"larder ".repeat(1_000);
        let packed = compress(&body, FAST).unwrap();
        assert!(packed.len() < body.len() / 10);
        assert_eq!(decompress(&packed, body.len()).unwrap(), body);
    }

    #[test]
    fn a_level_and_a_bound_are_heeded() {
        let text: Vec<u8> = (0..60_000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let small = Packing {
            above: 10,
            level: 19,
        };
        let (fast, small) = (compress(&text, FAST), compress(&text, small));
        assert!(small.unwrap().len() < fast.unwrap().len());
        let late = Packing {
            above: 1 << 20,
            level: 1,
        };
        assert!(compress(&text, late).is_none());
    }

    #[test]
    fn a_bomb_ends_at_its_bound() {
        let packed = compress(&vec![0; 10_000_000], FAST).unwrap();
        assert!(decompress(&packed, 1_000).is_none());
        assert!(decompress(&packed, 20_000_000).is_none());
    }

    #[test]
    fn small_bodies_and_noise_stay_as_they_are() {
        assert!(compress(&[0; 1024], FAST).is_none());
    }
}
