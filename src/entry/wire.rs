//! How entries are written for the shared store.

use super::seal::Seals;

/// How entries are written.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) packing: Option<Packing>,
    pub(crate) seals: Option<Seals>,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "compression"),
    allow(dead_code, reason = "zstd heeds it")
)]
pub(crate) struct Packing {
    /// Larger bodies are.
    pub(crate) above: usize,
    /// zstd's.
    pub(crate) level: i32,
}

impl Default for Wire {
    fn default() -> Self {
        let (above, level) = (1024, 1); // zstd's fastest regular level
        Self {
            packing: Some(Packing { above, level }),
            seals: None,
        }
    }
}
