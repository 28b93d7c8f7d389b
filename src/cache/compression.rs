//! Compression in the shared store, in the builder.

use super::builder::CacheBuilder;
use crate::entry::Packing;

/// How bodies and values are compressed in the shared store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Off,
    /// By zstd.
    #[non_exhaustive]
    Zstd {
        /// From 1, fast, to 22, small.
        level: i32,
        /// In bytes: smaller ones stay as they are.
        above: usize,
    },
}

impl Compression {
    /// zstd of a level from 1, fast, to 22, small, for what is larger than `above`
    /// bytes.
    #[must_use]
    pub fn zstd(level: i32, above: usize) -> Self {
        Self::Zstd { level, above }
    }
}

impl CacheBuilder {
    /// How bodies and values are compressed in the shared store. What was written
    /// otherwise stays readable. A level outside 1 to 22 is taken for the nearer one.
    /// Default: `Compression::zstd(1, 1024)`.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.wire.packing = match compression {
            Compression::Off => None,
            Compression::Zstd { level, above } => Some(Packing {
                above,
                level: level.clamp(1, 22),
            }),
        };
        self
    }
}
