//! Without the feature `precompress` nothing is coded.

use super::codings::Coding;

pub(crate) fn code(_: Coding, _: &[u8]) -> Option<Vec<u8>> {
    None
}
