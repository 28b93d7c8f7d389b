//! What an answer's directives say of its reuse, in one byte of its entry.

use super::cache_control::Directives;

/// What else of an answer's directives counts when it is reused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules(u8);

impl Rules {
    /// Never served stale, whatever a request or an outage says (RFC 9111,
    /// 4.2.4).
    pub(crate) const NEVER_STALE: Self = Self(1);
    /// May answer a request with `Authorization` (RFC 9111, 3.5).
    pub(crate) const SHARES_AUTHORIZED: Self = Self(2);
    /// Not validated while it is fresh, not even for a reload (RFC 8246).
    pub(crate) const IMMUTABLE: Self = Self(4);
    /// Not to be transformed (RFC 9111, 5.2.2.6).
    pub(crate) const NO_TRANSFORM: Self = Self(8);
    /// Has a validator that the handler knows, and may be revalidated.
    pub(crate) const VALIDATES: Self = Self(16);
    /// No response: a typed value.
    #[cfg_attr(
        not(feature = "values"),
        allow(dead_code, reason = "values are written with it")
    )]
    pub(crate) const VALUE: Self = Self(32);
    /// A value whose body is the name of another: where it lies.
    #[cfg_attr(
        not(feature = "values"),
        allow(dead_code, reason = "values are written with it")
    )]
    pub(crate) const ALIAS: Self = Self(64);
    /// Its `Cache-Control` is what the policy tells clients, and no word of the
    /// handler's.
    pub(crate) const CLIENT_CACHE: Self = Self(128);

    pub(crate) fn of(directives: &Directives) -> Self {
        let rule = |set: bool, rule: Self| if set { rule } else { Self(0) };
        rule(directives.never_stale(), Self::NEVER_STALE)
            .and(rule(
                directives.shares_authorized(),
                Self::SHARES_AUTHORIZED,
            ))
            .and(rule(directives.immutable, Self::IMMUTABLE))
            .and(rule(directives.no_transform, Self::NO_TRANSFORM))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, rule: Self) -> bool {
        self.0 & rule.0 == rule.0
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Every bit has its meaning.
    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}
