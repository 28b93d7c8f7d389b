//! Calls into a user's code that must not take the request down with them.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `callback`; a panic becomes `None` and an event.
pub(crate) fn call<T>(callback: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(value) => Some(value),
        Err(_) => {
            tracing::error!(target: "larder", "a callback of the cache's configuration panicked");
            None
        }
    }
}
