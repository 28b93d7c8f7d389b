//! What to invalidate: selectors and patterns. How: [`crate::cache`].

mod declared;
mod namespaces;
mod pattern;
mod report;
mod selector;
mod target;

pub(crate) use declared::targets_declared;
pub(crate) use namespaces::Namespaces;
pub(crate) use pattern::Pattern;
pub use pattern::escape_pattern;
pub use report::Invalidated;
#[cfg(any(feature = "values", feature = "admin"))]
pub use selector::namespace;
pub(crate) use selector::{Kind, Mode, SelectorTemplate, escape_uri};
pub use selector::{Selector, endpoint, everything, key, pattern, tag, uri};
pub(crate) use target::{Find, Target, What, tenant_suffix, uri_scope};
pub(crate) use target::{pattern_in, target_for, target_in};
