//! The content codings' own libraries.

use std::io::Write;

use super::codings::Coding;

/// Levels for bodies that are coded once and sent often, on ordinary cores.
const BROTLI: i32 = 5;
const GZIP: u32 = 6;
const ZSTD: i32 = 6;

pub(crate) fn code(coding: Coding, body: &[u8]) -> Option<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let mut coded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams {
                quality: BROTLI,
                size_hint: body.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*body, &mut coded, &params).ok()?;
            Some(coded)
        }
        Coding::Gzip => {
            let level = flate2::Compression::new(GZIP);
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), level);
            coder.write_all(body).ok()?;
            coder.finish().ok()
        }
        Coding::Zstd => zstd::bulk::compress(body, ZSTD).ok(),
    }
}
