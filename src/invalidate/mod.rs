//! What to invalidate: selectors and patterns. How: [`crate::cache`].

mod pattern;
mod report;
mod selector;
mod target;

pub(crate) use pattern::Pattern;
pub use pattern::escape_pattern;
pub use report::Invalidated;
pub(crate) use selector::{Kind, Mode, SelectorTemplate};
pub use selector::{Selector, endpoint, everything, key, pattern, tag, uri};
pub(crate) use target::{Find, Target, What, target_of, tenant_suffix, uri_scope};
