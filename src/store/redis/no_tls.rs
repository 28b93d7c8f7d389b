//! TLS, left out.

pub(super) fn prepare() -> Result<(), &'static str> {
    Err("rediss:// needs larder's feature `tls`")
}
