//! A policy made ready: every setting checked, everything that is the same for
//! all its requests computed once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::cache_control::told;
use super::classes::{Class, Classes};
use super::classify::classes;
use super::context::Context;
use super::life::LONGEST;
use super::parse_names;
use super::route::{FallbackFn, KeyFn, Policy, StoreIf};
use super::scope::{Kind as ScopeKind, Scope};
use super::template::Template;
use super::watch::Watch;
use crate::entry::{Coding, Seen};
use crate::error::ConfigError;
use crate::invalidate::{Kind, SelectorTemplate, targets_declared};
use crate::key::{Params, Writer, escape_endpoint};

/// A checked policy.
pub(crate) struct Compiled {
    /// The answers' own fields decide (RFC 9111).
    pub(crate) http: bool,
    /// See `request.rs`.
    pub(crate) usual: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    /// How long an answer with a validator is kept after its freshness.
    pub(crate) revalidate: Duration,
    pub(crate) targets: Vec<HeaderName>,
    pub(crate) store_set_cookie: bool,
    pub(crate) etag: bool,
    /// The share of a TTL that chance may take.
    pub(crate) jitter: f64,
    /// The bounds of a TTL that adapts.
    pub(crate) adaptive: Option<(Duration, Duration)>,
    /// What is fresh may be renewed before its end.
    pub(crate) early: bool,
    pub(crate) fallback: Option<FallbackFn>,
    /// Requests for a key share its fill.
    pub(crate) coalesce: bool,
    /// A fill goes on though its client has gone.
    pub(crate) finish: bool,
    /// How long a request waits for another's fill.
    pub(crate) wait: Duration,
    /// How long it waits for any fill where something stale can answer.
    pub(crate) soft_timeout: Option<Duration>,
    /// How long the handler may take.
    pub(crate) hard_timeout: Option<Duration>,
    /// How long what was filled so soon after an invalidation lives at most.
    pub(crate) settle: Option<Duration>,
    /// Methods that ask by their content.
    pub(crate) methods: Vec<Method>,
    pub(crate) max_request_body: usize,
    /// What is coded beforehand.
    pub(crate) precompress: Vec<Coding>,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) tags: Vec<Template>,
    pub(crate) tag_fields: Vec<HeaderName>,
    statuses: Vec<StatusCode>,
    pub(crate) max_body: usize,
    pub(crate) params: Params,
    pub(crate) scope: Option<Scope>,
    pub(crate) key: Option<KeyFn>,
    pub(crate) store_if: Option<StoreIf>,
    pub(crate) override_cache_control: bool,
    pub(crate) client_cache: Option<HeaderValue>,
    pub(crate) invalidates: Vec<SelectorTemplate>,
    pub(crate) unmatched: bool,
    pub(crate) memory_only: bool,
    pub(crate) watch: Watch,
    pub(crate) classes: Classes,
    hidden: Vec<HeaderName>,
    /// Those that are listed.
    pub(super) credentials: Vec<HeaderName>,
    /// How every canonical request under this policy begins: the fingerprint,
    /// and the method, for HEAD is answered from GET's entry.
    pub(crate) preamble: Vec<u8>,
    /// Shapes of what has come from the store, to be read faster: they decide nothing.
    pub(crate) seen: Seen,
}

impl Compiled {
    pub(crate) fn new(policy: &Policy, context: &Context) -> Result<Self, ConfigError> {
        let classes = classes(policy, context)?;
        let templates = |tag: &String| {
            if tag.is_empty() {
                return Err(ConfigError::new("tag", "an empty tag"));
            }
            Template::parse(tag).map_err(|why| ConfigError::new("tag", why))
        };
        Ok(Self {
            http: policy.http,
            usual: is_usual(policy),
            ttl: positive("ttl", policy.ttl)?,
            stale_while_revalidate: window(
                "stale_while_revalidate",
                policy.stale_while_revalidate,
            )?,
            stale_if_error: window("stale_if_error", policy.stale_if_error)?,
            revalidate: window("revalidate", policy.revalidate)?.unwrap_or_default(),
            targets: parse_names("targets", policy.targets.iter().map(String::as_str))?,
            store_set_cookie: set_cookie(policy)?,
            etag: policy.etag,
            jitter: jitter(policy.jitter)?,
            adaptive: adaptive(policy)?,
            early: policy.early,
            fallback: policy.fallback.clone(),
            coalesce: policy.coalesce,
            finish: policy.finish,
            wait: window("wait", Some(policy.wait))?.unwrap_or_default(),
            soft_timeout: timeout("soft_timeout", policy.soft_timeout)?,
            hard_timeout: timeout("hard_timeout", policy.hard_timeout)?,
            settle: positive("settle", policy.settle)?,
            methods: methods(policy)?,
            max_request_body: policy.max_request_body,
            precompress: policy.precompress.clone(),
            negative_ttl: positive("negative_ttl", policy.negative_ttl)?,
            endpoint: endpoint(policy)?,
            tags: policy
                .tags
                .iter()
                .map(templates)
                .collect::<Result<_, _>>()?,
            tag_fields: parse_names("tag_fields", policy.tag_fields.iter().map(String::as_str))?,
            statuses: statuses(policy)?,
            max_body: match policy.max_body {
                Some(0) => return Err(ConfigError::new("max_body", "must be at least one byte")),
                other => other.unwrap_or(context.max_body),
            },
            params: params(policy)?,
            scope: policy.scope.clone(),
            key: policy.key.clone(),
            store_if: policy.store_if.clone(),
            override_cache_control: policy.override_cache_control,
            client_cache: policy.client_cache.as_deref().map(told).transpose()?,
            invalidates: invalidates(policy, context)?,
            unmatched: policy.unmatched,
            memory_only: policy.memory_only,
            watch: policy.watch.check()?,
            credentials: context.credentials.clone(),
            hidden: classes.of(Class::Hidden).cloned().collect(),
            preamble: preamble(policy, &classes, context),
            seen: Seen::default(),
            classes,
        })
    }

    /// Whether anything is ever stored under this policy.
    pub(crate) fn stores(&self) -> bool {
        self.http || self.ttl.is_some() || self.negative_ttl.is_some()
    }

    /// The TTL of answers with this status, if any; `adapted` is what it has come to.
    pub(crate) fn ttl_of(&self, status: StatusCode, adapted: Option<Duration>) -> Option<Duration> {
        let negative = status == StatusCode::NOT_FOUND || status == StatusCode::GONE;
        match self.negative_ttl {
            Some(ttl) if negative => Some(ttl),
            _ if self.statuses.contains(&status) => adapted.or(self.ttl),
            _ => None,
        }
    }

    /// Whether all of an URI stands in the key: else other URIs share its answer.
    pub(crate) fn keys_whole_uri(&self) -> bool {
        self.params == Params::All && self.key.is_none()
    }

    /// Whether the handler sees one cookie alone, the scope's.
    pub(crate) fn narrows_cookie(&self) -> bool {
        matches!(&self.scope, Some(Scope(ScopeKind::Cookie(_))))
    }

    /// Takes from a request what its handler must not see.
    pub(crate) fn hide(&self, headers: &mut HeaderMap) {
        for name in &self.hidden {
            headers.remove(name);
        }
        self.classes.hide_like_credentials(headers);
        if let Some(scope) = &self.scope {
            scope.narrow(headers);
        }
    }
}

/// Whether nothing but the fields of a GET has to be looked at under a policy, and a hit
/// is what is stored. Most are so: one question stands for many.
fn is_usual(policy: &Policy) -> bool {
    let stores = policy.http || policy.ttl.is_some() || policy.negative_ttl.is_some();
    let watch = &policy.watch;
    let looks = watch.names() || watch.observe.is_some() || watch.verify > 0.0;
    let own_key = policy.key.is_some() || policy.scope.is_some();
    stores && !looks && !own_key && policy.methods.is_empty() && policy.precompress.is_empty()
}

pub(crate) fn positive(of: &str, ttl: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    let bad = |why| Err(ConfigError::new(of, why));
    match ttl {
        Some(ttl) if ttl < Duration::from_millis(1) => bad(match of {
            "ttl" => "must be at least a millisecond; Policy::none() stores nothing",
            _ => "must be at least a millisecond",
        }),
        Some(ttl) if ttl > LONGEST => bad("must be at most 36500 days, a hundred years"),
        ttl => Ok(ttl),
    }
}

fn window(setting: &str, window: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    match window {
        Some(window) if window > LONGEST => Err(ConfigError::new(
            setting,
            "must be at most 36500 days, a hundred years",
        )),
        window => Ok(window),
    }
}

fn timeout(setting: &str, longest: Option<Duration>) -> Result<Option<Duration>, ConfigError> {
    match window(setting, longest)? {
        Some(longest) if longest < Duration::from_millis(1) => {
            Err(ConfigError::new(setting, "must be at least a millisecond"))
        }
        longest => Ok(longest),
    }
}

fn jitter(share: f64) -> Result<f64, ConfigError> {
    match (0.0..1.0).contains(&share) {
        true => Ok(share),
        false => Err(ConfigError::new(
            "jitter",
            format!("{share} is not at least 0 and below 1"),
        )),
    }
}

fn adaptive(policy: &Policy) -> Result<Option<(Duration, Duration)>, ConfigError> {
    let Some((least, most)) = policy.adaptive else {
        return Ok(None);
    };
    let bad = |why: String| Err(ConfigError::new("adaptive", why));
    let Some(ttl) = policy.ttl else {
        return bad("there is no TTL to begin with".into());
    };
    for bound in [least, most] {
        positive("adaptive", Some(bound))?;
    }
    match (least..=most).contains(&ttl) {
        _ if least > most => bad("its bounds are the wrong way round".into()),
        false => bad(format!(
            "the TTL to begin with, {ttl:?}, is not from {least:?} to {most:?} (CACHE_TTL_<NAME> may set it)"
        )),
        true => Ok(Some((least, most))),
    }
}

fn methods(policy: &Policy) -> Result<Vec<Method>, ConfigError> {
    let known = |method: &&Method| **method == Method::POST || method.as_str() == "QUERY";
    match policy.methods.iter().find(|method| !known(method)) {
        Some(method) => Err(ConfigError::new(
            "methods",
            format!("{method} does not ask by its content; QUERY and POST can"),
        )),
        None => Ok(policy.methods.clone()),
    }
}

fn set_cookie(policy: &Policy) -> Result<bool, ConfigError> {
    match policy.store_set_cookie && !policy.http {
        true => Err(ConfigError::new(
            "store_set_cookie",
            "is for Policy::http(): a route's policy never stores cookies",
        )),
        false => Ok(policy.store_set_cookie),
    }
}

fn endpoint(policy: &Policy) -> Result<Option<Arc<str>>, ConfigError> {
    match policy.endpoint.as_deref() {
        Some("") => Err(ConfigError::new("endpoint", "an empty endpoint")),
        Some(name) if name.len() > 128 => {
            Err(ConfigError::new("endpoint", "longer than 128 bytes"))
        }
        name => Ok(name.map(|name| escape_endpoint(name).into())),
    }
}

fn statuses(policy: &Policy) -> Result<Vec<StatusCode>, ConfigError> {
    if policy.statuses.is_empty() {
        return Err(ConfigError::new("statuses", "no status at all"));
    }
    let never = |code: &u16| matches!(code, 206 | 304 | 407 | 428 | 429 | 431 | 511);
    let refused = |why: String| ConfigError::new("statuses", why);
    let check = |code: &u16| match StatusCode::from_u16(*code) {
        Ok(status) if !(200..600).contains(code) || never(code) => {
            Err(refused(format!("{status} cannot be stored")))
        }
        Ok(status) => Ok(status),
        Err(_) => Err(refused(format!("{code} is no status"))),
    };
    policy.statuses.iter().map(check).collect()
}

fn params(policy: &Policy) -> Result<Params, ConfigError> {
    let (setting, list) = match &policy.params {
        Params::All => return Ok(Params::All),
        Params::Only(list) => ("only_params", list),
        Params::Ignore(list) => ("ignore_params", list),
    };
    let bad =
        |name: &&String| name.is_empty() || name.strip_suffix('*').unwrap_or(name).contains('*');
    match list.iter().find(bad) {
        Some(name) => Err(ConfigError::new(
            setting,
            format!("{name:?}: a name is not empty, and `*` stands at its end only"),
        )),
        None => Ok(policy.params.clone()),
    }
}

fn invalidates(policy: &Policy, context: &Context) -> Result<Vec<SelectorTemplate>, ConfigError> {
    let compile = |selector| {
        let template = SelectorTemplate::parse(selector)?;
        if let Some(example) = template.example() {
            let of_a_tenant = context.tenants && !matches!(example.kind, Kind::Key(_)); // keys name theirs
            targets_declared(&example, context, of_a_tenant.then_some("x"))
                .and_then(|_| template.could_match(context))
                .map_err(|why| ConfigError::new("invalidates", why.to_string()))?;
        }
        Ok(template)
    };
    policy.invalidates.iter().map(compile).collect()
}

fn preamble(policy: &Policy, classes: &Classes, context: &Context) -> Vec<u8> {
    let mut writer = Writer::empty();
    writer.field(&fingerprint(policy, classes, context));
    writer.field(b"GET");
    writer.as_bytes().to_vec()
}

/// A canonical request without what stands for the policy and its release.
pub(crate) fn beside_release(canonical: &[u8]) -> &[u8] {
    canonical.get(4 + FINGERPRINT..).unwrap_or(canonical)
}

/// Bytes.
pub(crate) const FINGERPRINT: usize = 16;

/// Stands for every setting that changes what the handler sees, what a key
/// means or how a hit is served, the release included.
fn fingerprint(policy: &Policy, classes: &Classes, context: &Context) -> [u8; FINGERPRINT] {
    let mut parts: Vec<String> = vec![
        "3".to_owned(), // of the canonical request's layout, and of the scopes beside it
        context.release.clone(),
        policy.version.clone(),
        format!("{:?}", policy.endpoint),
        format!("{:?}", policy.tags),
        format!("{:?}", policy.params),
        format!("{:?}", policy.scope),
        format!("{:?}", policy.key_from),
        format!("{}", policy.http),
    ];
    if !policy.tag_fields.is_empty() {
        parts.push(format!("{:?}", policy.tag_fields)); // what was stored before has no such tags
    }
    // a layer further out serves what lies under its own key by its own policy
    if policy.watch.observe.is_some() {
        parts.push("observes".to_owned());
    }
    if !policy.precompress.is_empty() {
        parts.push(format!("{:?}", policy.precompress));
    }
    for class in [Class::Keyed, Class::KeyedSecret, Class::Hidden] {
        let mut names: Vec<&str> = classes.of(class).map(HeaderName::as_str).collect();
        names.sort_unstable();
        parts.push(names.join(","));
    }
    let mut hash = Sha256::new();
    for part in &parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut fingerprint = [0; FINGERPRINT];
    fingerprint.copy_from_slice(&hash.finalize()[..FINGERPRINT]);
    fingerprint
}
