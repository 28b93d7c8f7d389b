//! What a handler says about its own answer.

use std::time::Duration;

use http::Extensions;

/// A hint from the handler: it comes before what the route and the table say.
///
/// With axum it is a response part; elsewhere it goes into the response's
/// extensions.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::response::IntoResponse;
/// use larder::{Hint, seconds};
///
/// async fn status(degraded: bool) -> impl IntoResponse {
///     let hint = if degraded { Hint::ttl(seconds(2)) } else { Hint::new() };
///     (hint.tag("status"), "fine")
/// }
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Hint {
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Vec<String>,
    pub(crate) no_store: bool,
}

impl Hint {
    /// A hint that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fresh for `ttl`, instead of the route's TTL and `Cache-Control`'s.
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..Self::default()
        }
    }

    /// Not to be stored.
    pub fn no_store() -> Self {
        Self {
            no_store: true,
            ..Self::default()
        }
    }

    /// Adds a tag, literally (no templates). An answer with an empty one is not stored: nobody
    /// could invalidate it by that.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// The handler's hint. It stays where it is, for another cache further out.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponseParts for Hint {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: axum::response::ResponseParts,
    ) -> Result<axum::response::ResponseParts, Self::Error> {
        let earlier = Self::of(parts.extensions_mut());
        parts.extensions_mut().insert(earlier.join(self));
        Ok(parts)
    }
}

#[cfg(feature = "axum")]
impl Hint {
    /// Joins two hints: the later TTL, all tags, and one "do not store" is enough.
    fn join(mut self, later: Self) -> Self {
        self.ttl = later.ttl.or(self.ttl);
        self.no_store |= later.no_store;
        self.tags.extend(later.tags);
        self
    }
}
