//! Selectors: what an invalidation reaches.

use crate::error::{ConfigError, InvalidateError};
use crate::key::Key;
use crate::policy::Context;
use crate::policy::template::{Missing, Params, Template};

use super::{Pattern, escape_pattern};

/// What an invalidation reaches. A `&str` is a pattern over keys, as is
/// [`pattern`]; the other kinds have functions: [`tag`], [`endpoint`], [`uri`],
/// [`key`], [`everything`].
///
/// On a route ([`Policy::invalidates`](crate::Policy::invalidates),
/// [`Cache::invalidates`](crate::Cache::invalidates)) the text may name route
/// parameters in braces, as in `tag("character:{id}")`; a call of
/// [`Cache::invalidate`](crate::Cache::invalidate) takes it literally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
}

impl Selector {
    /// Refuses a pattern that is written for responses and could match none. Where there are
    /// tenants, one without a hash is the endpoint's.
    pub(crate) fn could_match(&self, context: &Context) -> Result<(), InvalidateError> {
        let Kind::Pattern(text) = &self.kind else {
            return Ok(());
        };
        let could = Pattern::could_match(text, &context.prefix, context.tenants);
        could.map_err(InvalidateError::bad_selector)
    }

    /// The namespace of typed values that it names, or in which its key or pattern lies.
    pub(crate) fn namespace(&self, context: &Context) -> Option<Box<str>> {
        let namespaces = &context.namespaces;
        match &self.kind {
            Kind::Pattern(text) | Kind::Key(text) => namespaces.of(text),
            Kind::Namespace(name) => namespaces
                .of(&format!("{name}:"))
                .filter(|known| **known == **name),
            _ => None,
        }
    }
}

/// What is done to what is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Hard,
    Soft,
    DryRun,
}

impl Selector {
    fn new(kind: Kind) -> Self {
        let mode = Mode::Hard;
        Self { kind, mode }
    }

    /// Makes stale instead of gone: the time to live of what is reached ends now. It
    /// may still be served where its policy allows stale answers, counted from now, and
    /// be confirmed by its handler; where neither is allowed it is gone for practical
    /// purposes. Costs one step in Redis, whatever it reaches. A store of your own has no
    /// clock by which others would know: what lies there is removed.
    ///
    /// ```
    /// # async fn run(cache: larder::Cache) {
    /// use larder::tag;
    ///
    /// let _ = cache.invalidate(tag("character:7").soft()).await;
    /// # }
    /// ```
    #[must_use]
    pub fn soft(self) -> Self {
        let mode = Mode::Soft;
        Self { mode, ..self }
    }

    /// Counts what would be removed, and removes nothing. In Redis that takes a SCAN
    /// for a pattern or an endpoint.
    ///
    /// ```
    /// # async fn run(cache: larder::Cache) -> Result<(), larder::InvalidateError> {
    /// use larder::pattern;
    ///
    /// let would = cache.invalidate(pattern("api:characters:*").dry_run()).await?;
    /// println!("{} entries would go", would.removed());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn dry_run(self) -> Self {
        let mode = Mode::DryRun;
        Self { mode, ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Pattern(String),
    Endpoint(String),
    Key(String),
    Uri(String),
    Tag(String),
    #[cfg_attr(
        not(feature = "values"),
        allow(dead_code, reason = "values have namespaces")
    )]
    Namespace(String),
    Everything,
}

/// Every entry whose key matches: `*`, `?`, `[..]` and `\` as in Redis. The same as a
/// `&str`, to go on from: `pattern("api:characters:*").soft()`. One that could match no key
/// (`api:characters`) is refused.
#[must_use]
pub fn pattern(pattern: impl Into<String>) -> Selector {
    Selector::new(Kind::Pattern(pattern.into()))
}

/// Every entry that bears the tag.
#[must_use]
pub fn tag(tag: impl Into<String>) -> Selector {
    Selector::new(Kind::Tag(tag.into()))
}

/// Every entry of the endpoint, as the policy names it or the route implies it, or as it stands in keys
/// and statistics; or of the route, as it is written (`/characters/{id}`; where a route declares it, braces
/// are its parameters').
#[must_use]
pub fn endpoint(endpoint: impl Into<String>) -> Selector {
    Selector::new(Kind::Endpoint(endpoint.into()))
}

/// Every value of a namespace ([`Cache::values`](crate::Cache::values)), in one step.
#[cfg(any(feature = "values", feature = "admin"))]
#[must_use]
pub fn namespace(namespace: impl Into<String>) -> Selector {
    Selector::new(Kind::Namespace(namespace.into()))
}

/// Every entry of one path and query, in all their spellings (`/%61` is `/a`, `/a b` is
/// `/a%20b`): all hosts, users, keyed fields and variants. A full URI is taken by its path and query.
#[must_use]
pub fn uri(path_and_query: impl Into<String>) -> Selector {
    Selector::new(Kind::Uri(path_and_query.into()))
}

/// One entry, by its key.
#[must_use]
pub fn key(key: impl Into<String>) -> Selector {
    Selector::new(Kind::Key(key.into()))
}

/// All entries under the cache's prefix, and the values of all its namespaces.
#[must_use]
pub fn everything() -> Selector {
    Selector::new(Kind::Everything)
}

impl From<&str> for Selector {
    fn from(pattern: &str) -> Self {
        Self::new(Kind::Pattern(pattern.to_owned()))
    }
}

impl From<String> for Selector {
    fn from(pattern: String) -> Self {
        Self::new(Kind::Pattern(pattern))
    }
}

impl From<&String> for Selector {
    fn from(pattern: &String) -> Self {
        Self::new(Kind::Pattern(pattern.clone()))
    }
}

impl From<Key> for Selector {
    fn from(key: Key) -> Self {
        Self::new(Kind::Key(key.as_str().to_owned()))
    }
}

impl From<&Key> for Selector {
    fn from(key: &Key) -> Self {
        Self::new(Kind::Key(key.as_str().to_owned()))
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
    mode: Mode,
}

impl SelectorTemplate {
    pub(crate) fn parse(selector: &Selector) -> Result<Self, ConfigError> {
        let (kind, text): (fn(String) -> Kind, &str) = match &selector.kind {
            Kind::Pattern(text) => (Kind::Pattern, text),
            Kind::Endpoint(text) => (Kind::Endpoint, text),
            Kind::Key(text) => (Kind::Key, text),
            Kind::Uri(text) => (Kind::Uri, text),
            Kind::Tag(text) => (Kind::Tag, text),
            Kind::Namespace(text) => (Kind::Namespace, text),
            Kind::Everything => (|_| Kind::Everything, ""),
        };
        if text.is_empty() && selector.kind != Kind::Everything {
            return Err(ConfigError::new("invalidates", "an empty selector"));
        }
        if selector.mode == Mode::DryRun {
            return Err(ConfigError::new(
                "invalidates",
                "a dry run invalidates nothing",
            ));
        }
        let template = Template::parse(text).map_err(|why| ConfigError::new("invalidates", why))?;
        let mode = selector.mode;
        Ok(Self {
            kind,
            template,
            mode,
        })
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
        Ok(Selector {
            kind: (self.kind)(text),
            mode: self.mode,
        })
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &str {
        self.template.source()
    }

    /// Refuses what could match no key, whatever its parameters are.
    pub(crate) fn could_match(&self, context: &Context) -> Result<(), InvalidateError> {
        let kind = (self.kind)(self.template.example("*"));
        let mode = self.mode;
        Selector { kind, mode }.could_match(context)
    }

    pub(crate) fn missing_in(&self, pattern: &str) -> Option<Missing> {
        self.template.missing_in(pattern)
    }

    /// What it may come to, to be checked when the layer is made. A key that begins
    /// with a parameter may be any.
    pub(crate) fn example(&self) -> Option<Selector> {
        let kind = (self.kind)(self.template.example("x"));
        let any = matches!(kind, Kind::Key(_)) && self.template.begins_with_parameter();
        let mode = self.mode;
        (!any).then_some(Selector { kind, mode })
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

/// A URI as people write it: what none can hold is escaped, and what is escaped stays as it is.
pub(crate) fn escape_uri(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, NO_URI).to_string()
}

/// What no URI holds as it is (RFC 3986, 2), but for what begins an escape.
const NO_URI: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    fn render(selector: impl Into<Selector>, path: &str) -> Selector {
        let params = Params::new(Some("/characters/{id}"), path, None);
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

    #[test]
    fn a_soft_one_stays_soft_and_a_dry_run_is_refused() {
        let soft = tag("c:{id}").soft();
        assert_eq!(render(soft, "/characters/7"), tag("c:7").soft());
        assert!(SelectorTemplate::parse(&tag("c").dry_run()).is_err());
    }
}
