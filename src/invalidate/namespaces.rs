//! The namespaces of typed values that a cache has. Their names in the store
//! stand beside the cache's prefix: `<namespace>:<key>`.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::key::valid_prefix;

/// Namespaces, and what type the values of each are of.
#[derive(Debug, Default)]
pub(crate) struct Namespaces(RwLock<BTreeMap<Box<str>, (TypeId, &'static str)>>);

/// Longer names are taken for a mistake.
#[cfg_attr(
    not(feature = "values"),
    allow(dead_code, reason = "values are registered by it")
)]
const LONGEST: usize = 128;

impl Namespaces {
    /// Takes a name for values of a type. The same again is the same.
    #[cfg_attr(
        not(feature = "values"),
        allow(dead_code, reason = "values are registered by it")
    )]
    pub(crate) fn register(
        &self,
        name: &str,
        prefix: &str,
        of: (TypeId, &'static str),
    ) -> Result<(), String> {
        if name.len() > LONGEST || !name.split(':').all(valid_prefix) {
            return Err(format!(
                "{name:?} is not of the form [A-Za-z0-9._-]+, with `:` in between, and at most {LONGEST} bytes"
            ));
        }
        let within = |inner: &str, outer: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        if name == prefix || within(name, prefix) {
            return Err(format!("{name:?} is where this cache keeps responses"));
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let clash = known
            .keys()
            .find(|other| within(name, other) || within(other, name));
        if let Some(other) = clash {
            return Err(format!("{name:?} and {other:?} would share keys"));
        }
        let registered = known.entry(name.into()).or_insert(of);
        match registered.0 == of.0 {
            true => Ok(()),
            false => Err(format!("{name:?} holds values of {} already", registered.1)),
        }
    }

    /// What matches all values.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.keys().map(|name| format!("{name}:*")).collect()
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(name)
    }

    /// The one in which a name in the store, or a pattern of such names, lies.
    pub(crate) fn of(&self, text: &str) -> Option<Box<str>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names = known.keys();
        let mut lying = names.filter(|name| {
            let rest = text.strip_prefix(&***name);
            rest.is_some_and(|rest| rest.starts_with(':'))
        });
        lying.next().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_type_and_lies_in_no_other() {
        let names = Namespaces::default();
        let (text, number) = (
            (TypeId::of::<String>(), "String"),
            (TypeId::of::<u8>(), "u8"),
        );
        assert!(names.register("ai:decision", "api", text).is_ok());
        assert!(names.register("ai:decision", "api", text).is_ok());
        assert!(names.register("ai:decision", "api", number).is_err());
        for bad in [
            "",
            "api",
            "api:x",
            "a b",
            "a*",
            "a:",
            ":a",
            "ai",
            "ai:decision:x",
            "x{y}",
        ] {
            assert!(names.register(bad, "api", text).is_err(), "{bad:?}");
        }
        assert_eq!(names.of("ai:decision:*").as_deref(), Some("ai:decision"));
        assert_eq!(names.of("ai:*"), None);
        assert_eq!(names.of("ai:decisions:*"), None);
    }
}
