//! Selectors: what an invalidation reaches.

use crate::error::ConfigError;
use crate::key::Key;
use crate::policy::template::{Missing, Params, Template};

use super::escape_pattern;

/// What an invalidation reaches. A `&str` is a pattern over keys; the other
/// kinds have functions: [`tag`], [`endpoint`], [`uri`], [`key`],
/// [`everything`].
///
/// On a route ([`Policy::invalidates`](crate::Policy::invalidates),
/// [`Cache::invalidates`](crate::Cache::invalidates)) the text may name route
/// parameters in braces, as in `tag("character:{id}")`; a call of
/// [`Cache::invalidate`](crate::Cache::invalidate) takes it literally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Pattern(String),
    Endpoint(String),
    Key(String),
    Uri(String),
    Tag(String),
    Everything,
}

/// Every entry that bears the tag.
#[must_use]
pub fn tag(tag: impl Into<String>) -> Selector {
    Selector(Kind::Tag(tag.into()))
}

/// Every entry of the endpoint, as the policy names it or the route implies it.
#[must_use]
pub fn endpoint(endpoint: impl Into<String>) -> Selector {
    Selector(Kind::Endpoint(endpoint.into()))
}

/// Every entry of one path and query: all hosts, users, keyed fields and
/// variants. A full URI is taken by its path and query.
#[must_use]
pub fn uri(path_and_query: impl Into<String>) -> Selector {
    Selector(Kind::Uri(path_and_query.into()))
}

/// One entry, by its key.
#[must_use]
pub fn key(key: impl Into<String>) -> Selector {
    Selector(Kind::Key(key.into()))
}

/// All entries under the cache's prefix.
#[must_use]
pub fn everything() -> Selector {
    Selector(Kind::Everything)
}

impl From<&str> for Selector {
    fn from(pattern: &str) -> Self {
        Self(Kind::Pattern(pattern.to_owned()))
    }
}

impl From<String> for Selector {
    fn from(pattern: String) -> Self {
        Self(Kind::Pattern(pattern))
    }
}

impl From<&String> for Selector {
    fn from(pattern: &String) -> Self {
        Self(Kind::Pattern(pattern.clone()))
    }
}

impl From<Key> for Selector {
    fn from(key: Key) -> Self {
        Self(Kind::Key(key.as_str().to_owned()))
    }
}

impl From<&Key> for Selector {
    fn from(key: &Key) -> Self {
        Self(Kind::Key(key.as_str().to_owned()))
    }
}

impl From<&Selector> for Selector {
    fn from(selector: &Selector) -> Self {
        selector.clone()
    }
}

/// A selector with route parameters, as a policy declares it.
#[derive(Debug, Clone)]
pub(crate) struct SelectorTemplate {
    kind: fn(String) -> Kind,
    template: Template,
}

impl SelectorTemplate {
    pub(crate) fn parse(selector: &Selector) -> Result<Self, ConfigError> {
        let (kind, text): (fn(String) -> Kind, &str) = match &selector.0 {
            Kind::Pattern(text) => (Kind::Pattern, text),
            Kind::Endpoint(text) => (Kind::Endpoint, text),
            Kind::Key(text) => (Kind::Key, text),
            Kind::Uri(text) => (Kind::Uri, text),
            Kind::Tag(text) => (Kind::Tag, text),
            Kind::Everything => (|_| Kind::Everything, ""),
        };
        if text.is_empty() && selector.0 != Kind::Everything {
            return Err(ConfigError::new("invalidates", "an empty selector"));
        }
        let template = Template::parse(text).map_err(|why| ConfigError::new("invalidates", why))?;
        Ok(Self { kind, template })
    }

    /// The selector for one request. A value that comes from the request can
    /// be no glob in a pattern and no slash in a URI.
    pub(crate) fn render(&self, params: &Params<'_>) -> Result<Selector, Missing> {
        let kind = (self.kind)(String::new());
        let text = self.template.render(params, |value| match kind {
            Kind::Pattern(_) => escape_pattern(value),
            Kind::Uri(_) => percent_encoding::utf8_percent_encode(value, SEGMENT).to_string(),
            _ => value.to_owned(),
        })?;
        Ok(Selector((self.kind)(text)))
    }

    pub(crate) fn missing_in(&self, pattern: &str) -> Option<Missing> {
        self.template.missing_in(pattern)
    }

    /// A pattern's text as written, to be checked when the layer is made.
    pub(crate) fn pattern(&self) -> Option<&str> {
        matches!((self.kind)(String::new()), Kind::Pattern(_)).then(|| self.template.source())
    }
}

/// What a path segment cannot hold as it is (RFC 3986, 3.3).
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    fn render(selector: impl Into<Selector>, path: &str) -> Selector {
        let params = Params::new(Some("/characters/{id}"), path);
        SelectorTemplate::parse(&selector.into())
            .unwrap()
            .render(&params)
            .unwrap()
    }

    #[test]
    fn a_value_is_escaped_for_what_it_becomes() {
        let path = "/characters/a%2Fb*";
        assert_eq!(render(tag("c:{id}"), path), tag("c:a/b*"));
        assert_eq!(render("api:c:{id}*", path), Selector::from(r"api:c:a/b\**"));
        assert_eq!(
            render(uri("/characters/{id}"), path),
            uri("/characters/a%2Fb*")
        );
        assert_eq!(render(everything(), path), everything());
    }

    #[test]
    fn an_empty_selector_is_refused() {
        assert!(SelectorTemplate::parse(&tag("")).is_err());
        assert!(SelectorTemplate::parse(&"".into()).is_err());
    }
}
