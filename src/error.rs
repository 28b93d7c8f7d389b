//! Errors. None of them is ever the error of a request: that is the inner
//! service's own.

use std::error::Error as StdError;
use std::fmt;

/// A boxed error, as bodies carry it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A setting that cannot work, found while a cache, a policy or a layer is
/// made. [`setting`](Self::setting) names it.
pub struct ConfigError {
    setting: String,
    message: String,
    source: Option<BoxError>,
}

impl ConfigError {
    pub(crate) fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            message: message.into(),
            source: None,
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same of a setting that has another name where it was made.
    #[cfg(feature = "config")]
    pub(crate) fn of(mut self, setting: &str) -> Self {
        setting.clone_into(&mut self.setting);
        self
    }

    /// Puts a table's row or a file's section before the setting's name.
    pub(crate) fn inside(mut self, place: &str) -> Self {
        self.setting = format!("{place}: {}", self.setting);
        self
    }

    /// The setting's name: a builder's or policy's method, a field of a
    /// configuration, or an environment variable.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

/// As it displays, for `fn main() -> Result<(), ConfigError>` prints it so, and
/// so does `unwrap`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{self}: {source}"),
            None => fmt::Display::fmt(self, f),
        }
    }
}

impl StdError for ConfigError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// What went wrong in a [`Store`](crate::Store). A request never sees it: it
/// becomes a miss, a counter and an event.
pub struct StoreError {
    kind: StoreErrorKind,
    source: BoxError,
}

/// The kinds of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The operation's time was up.
    Timeout,
    /// The store cannot be reached, or was not asked because it has failed
    /// repeatedly just now.
    Unavailable,
    /// The store answered with an error.
    Refused,
    /// A write under a [`Lease`](crate::Lease) that is no longer held.
    Fenced,
}

impl StoreError {
    /// An error of `kind`, caused by `source`.
    pub fn new(kind: StoreErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Timeout => "store timed out",
            StoreErrorKind::Unavailable => "store unavailable",
            StoreErrorKind::Refused => "store refused",
            StoreErrorKind::Fenced => "store fenced",
        };
        write!(f, "{what}: {}", self.source)
    }
}

/// As it displays.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// Why [`Cache::invalidate`](crate::Cache::invalidate) did not do all that it
/// was asked.
pub struct InvalidateError {
    kind: InvalidateErrorKind,
    message: String,
    source: Option<StoreError>,
}

/// The kinds of [`InvalidateError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidateErrorKind {
    /// The selector makes no sense; nothing was touched.
    BadSelector,
    /// This instance's memory honours the invalidation, the shared store could
    /// not be told. Its entries end with their TTL, or with the same call made
    /// again.
    Store,
    /// This instance honours the invalidation, and Redis will be told as soon as it
    /// answers again: until then other processes may serve what they hold. It is lost
    /// with this process, unless [`shutdown`](crate::Cache::shutdown) can tell it.
    Queued,
}

impl InvalidateError {
    pub(crate) fn bad_selector(message: impl Into<String>) -> Self {
        Self {
            kind: InvalidateErrorKind::BadSelector,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn store(source: StoreError) -> Self {
        Self {
            kind: InvalidateErrorKind::Store,
            message: format!("memory was invalidated, the store was not: {source}"),
            source: Some(source),
        }
    }

    pub(crate) fn uncounted(source: StoreError) -> Self {
        Self {
            kind: InvalidateErrorKind::Store,
            message: format!("nothing was touched, and the store did not tell: {source}"),
            source: Some(source),
        }
    }

    pub(crate) fn queued(source: StoreError) -> Self {
        Self {
            kind: InvalidateErrorKind::Queued,
            message: format!("this process honours it, the others will be told later: {source}"),
            source: Some(source),
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> InvalidateErrorKind {
        self.kind
    }
}

impl fmt::Display for InvalidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As it displays.
impl fmt::Debug for InvalidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for InvalidateError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, inspect::InspectError};

    /// `fn main() -> Result<(), ConfigError>` prints an error by its Debug.
    #[test]
    fn what_main_prints_can_be_read() {
        let error = Cache::builder().build().unwrap_err();
        assert_eq!(format!("{error:?}"), error.to_string());
        assert!(
            error
                .to_string()
                .starts_with("memory: a cache needs a tier")
        );
        let late = || StoreError::new(StoreErrorKind::Timeout, "after 250 ms");
        assert_eq!(format!("{:?}", late()), "store timed out: after 250 ms");
        let queued = InvalidateError::queued(late());
        assert_eq!(format!("{queued:?}"), queued.to_string());
        let bad = InspectError::bad("\"x\" is no cursor");
        assert_eq!(format!("{bad:?}"), bad.to_string());
    }

    #[cfg(feature = "redis")]
    #[test]
    fn what_main_prints_has_the_reason_too() {
        let error = Cache::builder().redis("redis://").build().unwrap_err();
        let reason = error.source().unwrap().to_string();
        assert_eq!(format!("{error:?}"), format!("{error}: {reason}"));
    }
}
