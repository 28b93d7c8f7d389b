//! What each request field means under a policy.

use http::{HeaderName, header};

use super::classes::{Class, Classes};
use super::context::Context;
use super::fields::{CONDITIONS, FORWARDED, FRAGMENTS, METHOD_OVERRIDES, is_credential_like};
use super::parse_names;
use super::route::Policy;
use super::scope::{Kind as ScopeKind, Scope};
use crate::error::ConfigError;

/// The class of every field that means something. Later lines win: what the
/// policy says comes after what is safe.
pub(super) fn classes(policy: &Policy, context: &Context) -> Result<Classes, ConfigError> {
    let mut classes = Classes::new();
    let keyed = FORWARDED.iter().chain(FRAGMENTS).copied();
    for name in parse_names("vary", keyed)? {
        classes.set(name, Class::Keyed);
    }
    for name in parse_names("method", METHOD_OVERRIDES.iter().copied())? {
        classes.set(name, Class::MethodOverride);
    }
    let of_credentials = match (&policy.scope, policy.ignore_credentials) {
        (Some(Scope(ScopeKind::By(..))), true) => {
            return Err(ConfigError::new(
                "ignore_credentials",
                "contradicts Scope::by, which speaks for all credentials",
            ));
        }
        (Some(Scope(ScopeKind::By(..))), false) => Class::Scoped,
        (_, true) => Class::Hidden,
        (_, false) => Class::Credential,
    };
    for name in CONDITIONS {
        classes.set(name, Class::Condition);
    }
    for name in [header::IF_MATCH, header::IF_UNMODIFIED_SINCE] {
        classes.set(name, Class::Precondition);
    }
    if policy.http {
        classes.set(header::CACHE_CONTROL, Class::Wish);
        classes.set(header::PRAGMA, Class::Wish);
    }
    for name in &context.credentials {
        match (policy.http, of_credentials) {
            (true, Class::Credential) if *name == header::AUTHORIZATION => {
                classes.set(name.clone(), Class::Authorization);
            }
            (true, Class::Credential) => {} // RFC 9111's own rules hold
            _ => classes.set(name.clone(), of_credentials),
        }
    }
    if !policy.http || of_credentials != Class::Credential {
        classes.set_like_credentials(of_credentials);
    }
    for name in parse_names("vary", policy.vary.iter().map(String::as_str))? {
        if name == header::HOST {
            continue; // always part of the key
        }
        if name == "*" {
            return Err(ConfigError::new("vary", "\"*\" is no field"));
        }
        let secret = context.credentials.contains(&name) || is_credential_like(name.as_str());
        let class = if secret {
            Class::KeyedSecret
        } else {
            Class::Keyed
        };
        classes.set(name, class);
    }
    for name in parse_names("hide", policy.hide.iter().map(String::as_str))? {
        if name == header::HOST {
            return Err(ConfigError::new("hide", "the host is part of every key"));
        }
        let by_scope = match &policy.scope {
            Some(Scope(ScopeKind::Field(field))) => *field == name,
            Some(Scope(ScopeKind::Cookie(_))) => name == header::COOKIE,
            _ => false,
        };
        let by_vary = names(&policy.vary, &name).then_some("vary");
        if let Some(by) = by_vary.or(by_scope.then_some("scope")) {
            let why = format!("{name} is keyed by {by}, it cannot be hidden too");
            return Err(ConfigError::new("hide", why));
        }
        classes.set(name, Class::Hidden);
    }
    match &policy.scope {
        Some(Scope(ScopeKind::Bad(why))) => return Err(ConfigError::new("scope", why.as_str())),
        Some(Scope(ScopeKind::Field(name))) => classes.set(name.clone(), Class::Scoped),
        Some(Scope(ScopeKind::Cookie(_))) => classes.set(header::COOKIE, Class::Scoped),
        Some(Scope(ScopeKind::By(..))) | None => {}
    }
    Ok(classes)
}

fn names(list: &[String], name: &HeaderName) -> bool {
    list.iter().any(|n| n.eq_ignore_ascii_case(name.as_str()))
}
