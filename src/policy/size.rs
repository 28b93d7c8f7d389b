//! Numbers of bytes as people write them.

/// A number of bytes that fits into memory: a `usize`, a `u64` such as
/// `5 * `[`MIB`](crate::MIB), or a plain number.
pub trait Size: sealed::Sealed {
    #[doc(hidden)]
    fn bytes(self) -> usize;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! sizes {
    ($($number:ty, $else:expr;)*) => {
        $(
            impl sealed::Sealed for $number {}

            impl Size for $number {
                fn bytes(self) -> usize {
                    usize::try_from(self).unwrap_or($else)
                }
            }
        )*
    };
}

sizes! {
    usize, 0;
    u64, usize::MAX; // more than this machine has
    u32, usize::MAX;
    i32, 0; // what a literal is; a negative one is refused as nought
}
