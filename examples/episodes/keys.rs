//! The keys of answers: by all that they depend on, whatever its order.

use larder::values::{JsonKey, ValueKey};

use super::client::Ask;

/// A question that cannot be a key is one that nothing is cached for.
pub fn of(ask: &Ask) -> ValueKey<'static> {
    JsonKey::of(ask)
        .build()
        .unwrap_or_else(|_| ValueKey::never())
}
