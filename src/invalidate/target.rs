//! A selector checked against one cache: what memory and store are told.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use super::pattern::{for_tenant, of_all_tenants};
use super::selector::{Kind, Mode, escape_uri};
use super::{Pattern, Selector};
use crate::error::InvalidateError;
use crate::generation::{Force, Scoped};
use crate::key::{
    Key, ScopeId, Writer, decoded_query, endpoint_of_route, escape_endpoint, is_escaped_endpoint,
};
use crate::policy::Context;

/// What is invalidated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) what: What,
    pub(crate) force: Force,
}

/// What is invalidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Entries of a scope; the store finds them by `how`.
    Scope { ids: Vec<ScopeId>, how: Find },
    /// Entries whose key matches.
    Pattern(Pattern),
    /// Every entry under the prefix.
    Everything(Pattern),
}

impl Target {
    pub(crate) fn erased(self) -> Self {
        let force = Force::Erase;
        Self { force, ..self }
    }

    pub(crate) fn hard(what: What) -> Self {
        let force = Force::Hard;
        Self { what, force }
    }

    /// The same, made stale and not gone.
    pub(crate) fn soft(self) -> Self {
        let force = Force::Soft;
        Self { force, ..self }
    }

    /// One path and query; and the path, for answers whose policy does not key
    /// every parameter.
    pub(crate) fn of_uri(uri: &Uri, tenant: Option<&str>) -> Self {
        Self::hard(What::of_uri(uri, tenant))
    }

    /// A group that an answer names.
    pub(crate) fn of_group(id: ScopeId) -> Self {
        Self::hard(What::Scope {
            ids: vec![id],
            how: Find::Group,
        })
    }

    /// Whether it reaches an entry.
    pub(crate) fn reaches(&self, entry: &impl Scoped) -> bool {
        match &self.what {
            What::Scope { ids, .. } => ids.iter().any(|id| entry.scopes().contains(id)),
            What::Pattern(pattern) => pattern.matches(entry.name()),
            What::Everything(_) => true,
        }
    }
}

impl What {
    fn of_uri(uri: &Uri, tenant: Option<&str>) -> Self {
        Self::Scope {
            ids: vec![
                ScopeId::uri(tenant, &decoded_target(uri)),
                ScopeId::path(tenant, &decoded_path(uri)),
            ],
            how: Find::Uri,
        }
    }
}

/// How a store finds a scope's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Find {
    /// It is one key.
    Key(Key),
    /// They are kept as a group: a tag's, or one that answers name.
    Group,
    /// They are kept as groups: of the URI, and of its path.
    Uri,
    /// Their keys match one of these.
    Patterns(Vec<Pattern>),
}

/// Checks a selector of a cache: keys and patterns may also lie in a namespace of
/// typed values.
pub(crate) fn target_in(
    selector: &Selector,
    context: &Context,
    tenant: Option<&str>,
) -> Result<Target, InvalidateError> {
    match (&selector.kind, selector.namespace(context)) {
        (_, Some(_)) if tenant.is_some() => Err(InvalidateError::bad_selector(
            "typed values are no tenant's: use invalidate",
        )),
        (Kind::Key(name), Some(_)) => {
            let what = What::Scope {
                ids: vec![ScopeId::key(name)],
                how: Find::Key(Key::new(name.as_str())),
            };
            Ok(with_mode(what, selector.mode))
        }
        (Kind::Namespace(_), Some(name)) => {
            let what = What::Scope {
                ids: vec![ScopeId::namespace(&name)],
                how: Find::Patterns(vec![Pattern::trusted(format!("{name}:*"))]),
            };
            Ok(with_mode(what, selector.mode))
        }
        (_, Some(namespace)) => target_of(selector, &namespace, tenant),
        (Kind::Pattern(text), None) if context.tenants && tenant.is_none() => {
            let pattern = pattern_in(text, context).map_err(InvalidateError::bad_selector)?;
            Ok(with_mode(What::Pattern(pattern), selector.mode))
        }
        // values that are nobody's are reached in whosever name: no tag is given in none
        (Kind::Tag(text), None) if context.tenants && tenant.is_some() => {
            let mut target = target_of(selector, &context.prefix, tenant)?;
            if let What::Scope { ids, .. } = &mut target.what {
                ids.push(ScopeId::tag(None, text));
            }
            Ok(target)
        }
        (_, None) => target_of(selector, &context.prefix, tenant),
    }
}

/// The same for a call or a request, which may have no tenant where others have.
pub(crate) fn target_for(
    selector: &Selector,
    context: &Context,
    tenant: Option<&str>,
) -> Result<Target, InvalidateError> {
    let of_a_tenant = matches!(selector.kind, Kind::Tag(_) | Kind::Uri(_));
    match of_a_tenant && tenant.is_none() && context.tenants {
        true => Err(InvalidateError::bad_selector(
            "this cache has tenants, and tags and URIs are one tenant's: name it (invalidate_for, \"tenant\")",
        )),
        false => target_in(selector, context, tenant),
    }
}

/// A pattern in no tenant's name.
pub(crate) fn pattern_in(text: &str, context: &Context) -> Result<Pattern, String> {
    match context.namespaces.of(text) {
        Some(namespace) => Pattern::of_user(text, &namespace),
        None if context.tenants => of_all_tenants(text, &context.prefix),
        None => Pattern::of_user(text, &context.prefix),
    }
}

/// Checks a selector. With a tenant it reaches that tenant's entries alone.
fn target_of(
    selector: &Selector,
    prefix: &str,
    tenant: Option<&str>,
) -> Result<Target, InvalidateError> {
    let what = what_of(&selector.kind, prefix, tenant)?;
    Ok(with_mode(what, selector.mode))
}

fn with_mode(what: What, mode: Mode) -> Target {
    let target = Target::hard(what);
    match mode {
        Mode::Soft => target.soft(),
        Mode::Hard | Mode::DryRun => target,
    }
}

fn what_of(kind: &Kind, prefix: &str, tenant: Option<&str>) -> Result<What, InvalidateError> {
    let bad = InvalidateError::bad_selector;
    let suffix = tenant.map(tenant_suffix);
    match kind {
        Kind::Pattern(text) => {
            let pattern = Pattern::of_user(text, prefix).map_err(bad)?;
            if suffix.is_some() && text.contains('[') {
                return Err(bad("a tenant's pattern has no classes".into()));
            }
            Ok(What::Pattern(match suffix {
                None => pattern,
                Some(suffix) => for_tenant(&pattern, prefix, &suffix),
            }))
        }
        Kind::Endpoint(name) => {
            if name.is_empty() {
                return Err(bad("an empty endpoint".into()));
            }
            // also one that was read in a key or a list
            let as_it_stands = is_escaped_endpoint(name).then(|| name.clone());
            let of_its_route = name.starts_with('/').then(|| endpoint_of_route(name));
            let names = as_it_stands.into_iter().chain(of_its_route);
            let names = names.chain([escape_endpoint(name)]);
            let (ids, patterns) = names
                .map(|name| family(prefix, &name, suffix.as_deref()))
                .unzip();
            let how = Find::Patterns(patterns);
            Ok(What::Scope { ids, how })
        }
        Kind::Key(name) => {
            let known = name
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|rest| !rest.starts_with('!') && rest.contains(':'));
            if !known {
                return Err(bad(format!(
                    "key {name:?} is not of the form \"{prefix}:<endpoint>:<hash>\""
                )));
            }
            let theirs = suffix.is_none_or(|s| name.contains(&format!("{s}:")));
            if !theirs {
                return Err(bad(format!("key {name:?} is another tenant's")));
            }
            Ok(What::Scope {
                ids: vec![ScopeId::key(name)],
                how: Find::Key(Key::new(name.as_str())),
            })
        }
        Kind::Uri(text) => match escape_uri(text).parse::<Uri>() {
            Ok(uri) if uri.path().starts_with('/') => Ok(What::of_uri(&uri, tenant)),
            Ok(_) => Err(bad(format!(
                "{text:?} has no path that begins with a slash"
            ))),
            Err(_) => Err(bad(format!("{text:?} is no URI"))),
        },
        Kind::Tag(text) => {
            if text.is_empty() {
                return Err(bad("an empty tag".into()));
            }
            Ok(What::Scope {
                ids: vec![ScopeId::tag(tenant, text)],
                how: Find::Group,
            })
        }
        Kind::Namespace(name) => Err(bad(format!("{name:?} is no namespace of this cache"))),
        Kind::Everything => {
            let tail = suffix.map_or_else(|| "*".to_owned(), |s| format!("*{s}:*"));
            let pattern = Pattern::trusted(format!("{prefix}:{tail}"));
            Ok(match tenant {
                None => What::Everything(pattern),
                Some(_) => What::Pattern(pattern),
            })
        }
    }
}

/// An endpoint's scope, and what matches its keys.
fn family(prefix: &str, name: &str, suffix: Option<&str>) -> (ScopeId, Pattern) {
    let (scope, pattern) = match suffix {
        None => (name.to_owned(), format!("{prefix}:{name}[:@]*")),
        Some(suffix) => (
            format!("{name}{suffix}"),
            format!("{prefix}:{name}{suffix}:*"),
        ),
    };
    (ScopeId::endpoint(&scope), Pattern::trusted(pattern))
}

/// How a tenant stands behind an endpoint in a key: by its hash.
pub(crate) fn tenant_suffix(tenant: &str) -> String {
    let hash = ScopeId::tag(Some(tenant), "").to_hex();
    format!("@{}", &hash[..16])
}

/// A target's path and query as the URI scope has them: the same for all spellings of
/// a URI (RFC 3986, 6.2.2; RFC 9110, 4.2.3). Different ones that become the same, as
/// `/a%2Fb` and `/a/b`, are invalidated together.
fn decoded_target(uri: &Uri) -> Vec<u8> {
    let mut writer = Writer::empty();
    writer.field(&decoded_path(uri));
    writer.option(uri.query().map(decoded_query).as_deref());
    writer.as_bytes().to_vec()
}

fn decoded_path(uri: &Uri) -> Cow<'_, [u8]> {
    percent_decode_str(uri.path()).into()
}

/// The scope of an answer's URI: its path and query, or its path alone where
/// its policy does not key the `whole` of it and others share the answer.
pub(crate) fn uri_scope(uri: &Uri, whole: bool, tenant: Option<&str>) -> ScopeId {
    match whole {
        true => ScopeId::uri(tenant, &decoded_target(uri)),
        false => ScopeId::path(tenant, &decoded_path(uri)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invalidate::{endpoint, everything, key, tag, uri};

    fn target(selector: impl Into<Selector>) -> Result<What, InvalidateError> {
        target_of(&selector.into(), "api", None).map(|target| target.what)
    }

    #[test]
    fn a_uri_is_its_path_and_canonical_query() {
        let one = target(uri("/x?b=2&a=1")).unwrap();
        assert_eq!(one, target(uri("https://a.example/x?a=1&b=2")).unwrap());
        assert_ne!(one, target(uri("/x")).unwrap());
        assert_eq!(one, target(uri("/%78?%61=1&b=%32")).unwrap());
        assert_eq!(
            target(uri("/caf%c3%a9/a@b?q=a+b")).unwrap(),
            target(uri("/caf%C3%A9/a%40b?q=a%20b")).unwrap()
        );
        assert!(target(uri("no uri at all")).is_err());
    }

    #[test]
    fn keys_of_others_are_refused() {
        assert!(target(key("api:x:00")).is_ok());
        for bad in ["", "x", "api:x", "other:x:00", "api:!lock:x"] {
            assert!(target(key(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_never_reaches_its_neighbours() {
        let Ok(What::Scope {
            how: Find::Patterns(patterns),
            ..
        }) = target(endpoint("user"))
        else {
            panic!("an endpoint is found by pattern");
        };
        let [pattern] = &*patterns else {
            panic!("one is enough");
        };
        assert!(pattern.matches("api:user:00") && pattern.matches("api:user@ab:00"));
        assert!(!pattern.matches("api:users:00") && !pattern.matches("api:user.x:00"));
    }

    #[test]
    fn a_pattern_without_a_tenant_is_for_all_of_them() {
        for (text, wanted) in [
            ("api:users:*", "api:users@*:*"),
            ("api:users:0*", "api:users@*:0*"),
            ("api:u?ers:[0-9]*", "api:u?ers@*:[0-9]*"),
            ("api:users@ab:*", "api:users@ab:*"),
            ("api:us*", "api:us*"),
            ("api:users", "api:users@*:*"),
            ("api:[tu]*", "api:[tu]*"),
        ] {
            assert_eq!(of_all_tenants(text, "api").unwrap().as_str(), wanted);
        }
        for bad in ["api:[tu]*:*", "api:users[:@]*", "other:users:*"] {
            assert!(of_all_tenants(bad, "api").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tenant_reaches_its_own_alone() {
        let a = tenant_suffix("a");
        let own = format!("api:users{a}:00");
        let other = format!("api:users{}:00", tenant_suffix("b"));
        for selector in [everything(), "api:users:*".into(), "api:us*".into()] {
            let target = target_of(&selector, "api", Some("a")).unwrap();
            let What::Pattern(pattern) = target.what else {
                panic!("{selector:?} is a pattern");
            };
            assert!(pattern.matches(&own) && !pattern.matches(&other));
        }
        assert!(target_of(&key(other), "api", Some("a")).is_err());
        assert_ne!(
            target_of(&tag("t"), "api", Some("a")).unwrap(),
            target_of(&tag("t"), "api", None).unwrap()
        );
    }
}
