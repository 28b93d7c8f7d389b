//! Compression of bodies in the store. Every decompression has a bound.

/// Bodies from this size on are compressed.
#[cfg(feature = "compression")]
const THRESHOLD: usize = 1024;
/// zstd's fastest regular level.
#[cfg(feature = "compression")]
const LEVEL: i32 = 1;

/// The compressed body, where that is smaller.
#[cfg(feature = "compression")]
pub(super) fn compress(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < THRESHOLD {
        return None;
    }
    let packed = zstd::bulk::compress(body, LEVEL).ok()?;
    (packed.len() < body.len()).then_some(packed)
}

#[cfg(not(feature = "compression"))]
pub(super) fn compress(_body: &[u8]) -> Option<Vec<u8>> {
    None
}

/// The body again, exactly `len` bytes of it; `None` if it is anything else.
#[cfg(feature = "compression")]
pub(super) fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let body = zstd::bulk::decompress(packed, len).ok()?;
    (body.len() == len).then_some(body)
}

#[cfg(not(feature = "compression"))]
pub(super) fn decompress(_packed: &[u8], _len: usize) -> Option<Vec<u8>> {
    None
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let body = b"larder ".repeat(1_000);
        let packed = compress(&body).unwrap();
        assert!(packed.len() < body.len() / 10);
        assert_eq!(decompress(&packed, body.len()).unwrap(), body);
    }

    #[test]
    fn a_bomb_ends_at_its_bound() {
        let packed = compress(&vec![0; 10_000_000]).unwrap();
        assert!(decompress(&packed, 1_000).is_none());
        assert!(decompress(&packed, 20_000_000).is_none());
    }

    #[test]
    fn small_bodies_and_noise_stay_as_they_are() {
        assert!(compress(&[0; THRESHOLD - 1]).is_none());
    }
}
