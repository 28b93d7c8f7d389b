//! Calls into a user's code that must not take the request down with them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::engine::Engine;

/// What a user's code is for: the setting that it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "values"),
    allow(dead_code, reason = "values have some of their own")
)]
pub(crate) enum Callback {
    Check,
    Codec,
    CountUsers,
    Fallback,
    Key,
    Label,
    Scope,
    StoreIf,
    TagsOf,
    Tenant,
    ValidIf,
    Weigh,
}

impl Callback {
    pub(crate) const KINDS: usize = Self::Weigh as usize + 1;

    fn name(self) -> &'static str {
        match self {
            Self::Check => "the check of a get",
            Self::Codec => "codec",
            Self::CountUsers => "count_users",
            Self::Fallback => "fallback",
            Self::Key => "key",
            Self::Label => "label",
            Self::Scope => "scope",
            Self::StoreIf => "store_if",
            Self::TagsOf => "tags_of",
            Self::Tenant => "tenant",
            Self::ValidIf => "valid_if",
            Self::Weigh => "weigh",
        }
    }
}

/// Runs `callback`; a panic becomes `None` and an event.
pub(crate) fn call<T>(engine: &Engine, which: Callback, callback: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(value) => Some(value),
        Err(_) => {
            panicked(engine, which);
            None
        }
    }
}

#[cold]
fn panicked(engine: &Engine, which: Callback) {
    let fault = &engine.faults.callbacks[which as usize];
    if let Some(times) = fault.happened(engine.now()) {
        let callback = which.name();
        tracing::error!(target: "larder", callback, times, "a callback of the cache's configuration panicked");
    }
}
