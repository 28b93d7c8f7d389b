//! TLS needs a crypto provider for the process; without one the first
//! connection would panic.

/// Takes ring, unless the application has chosen already.
pub(super) fn prepare() -> Result<(), &'static str> {
    // an error says that there is one already, which is as good
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}
