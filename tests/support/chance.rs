//! Pseudo-random numbers, the same for the same seed.

/// xorshift64
pub struct Chance(u64);

impl Chance {
    /// `n` tells apart those of one seed.
    pub fn of(seed: u64, n: u64) -> Self {
        Self(seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1)
    }

    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
