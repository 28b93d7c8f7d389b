//! Route tables as data.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::units;
use crate::entry::Coding;
use crate::invalidate::{Selector, endpoint, tag, uri};
use crate::policy::{Policy, Routes, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableData {
    default: Option<PolicyData>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    paths: BTreeMap<String, PolicyData>,
}

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let data = TableData::deserialize(from)?;
        let mut routes = Self::new().except(data.except);
        if let Some(PolicyData(policy)) = data.default {
            routes = routes.default_policy(policy);
        }
        for (pattern, PolicyData(policy)) in data.paths {
            routes = routes.route(pattern, policy);
        }
        Ok(routes)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "units::field::ttl")]
    ttl: Option<Duration>,
    http: bool,
    #[serde(deserialize_with = "units::field::stale_while_revalidate")]
    stale_while_revalidate: Option<Duration>,
    #[serde(deserialize_with = "units::field::stale_if_error")]
    stale_if_error: Option<Duration>,
    #[serde(deserialize_with = "units::field::revalidate")]
    revalidate: Option<Duration>,
    targets: Option<Vec<String>>,
    store_set_cookie: bool,
    etag: Option<bool>,
    jitter: f64,
    adaptive: Option<Bounds>,
    early: Option<bool>,
    coalesce: Option<bool>,
    finish: bool,
    #[serde(deserialize_with = "units::field::wait")]
    wait: Option<Duration>,
    #[serde(deserialize_with = "units::field::soft_timeout")]
    soft_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::field::hard_timeout")]
    hard_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::field::settle")]
    settle: Option<Duration>,
    methods: Vec<String>,
    #[serde(deserialize_with = "units::field::max_request_body")]
    max_request_body: Option<u64>,
    precompress: Vec<String>,
    unmatched: bool,
    endpoint: Option<String>,
    tags: Vec<String>,
    tag_fields: Vec<String>,
    statuses: Option<Vec<u16>>,
    #[serde(deserialize_with = "units::field::negative_ttl")]
    negative_ttl: Option<Duration>,
    #[serde(deserialize_with = "units::field::max_body")]
    max_body: Option<u64>,
    version: Option<String>,
    vary: Vec<String>,
    only_params: Option<Vec<String>>,
    ignore_params: Option<Vec<String>>,
    hide: Vec<String>,
    ignore_credentials: bool,
    override_cache_control: bool,
    client_cache: Option<String>,
    invalidates: Vec<String>,
    scope: Option<String>,
    memory_only: bool,
}

/// The bounds of a TTL that adapts: `["30s", "1h"]`.
#[derive(Deserialize)]
struct Bounds(
    #[serde(deserialize_with = "units::length")] Duration,
    #[serde(deserialize_with = "units::length")] Duration,
);

/// A policy: a TTL alone, or a table.
struct PolicyData(Policy);

impl<'de> Deserialize<'de> for PolicyData {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PolicyVisitor)
    }
}

struct PolicyVisitor;

impl<'de> Visitor<'de> for PolicyVisitor {
    type Value = PolicyData;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a TTL such as \"5m\", seconds, \"http\", or a table")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PolicyData, E> {
        if text == "http" {
            return Ok(PolicyData(Policy::http()));
        }
        let ttl = units::parse_duration(text);
        let ttl = ttl.map_err(|why| E::custom(format!("ttl: {why}")))?;
        Ok(PolicyData(Policy::ttl(ttl)))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<PolicyData, E> {
        Ok(PolicyData(Policy::ttl(Duration::from_secs(seconds))))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<PolicyData, E> {
        let seconds = u64::try_from(seconds).map_err(|_| E::custom("a negative TTL"))?;
        self.visit_u64(seconds)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PolicyData, A::Error> {
        let fields = Fields::deserialize(MapAccessDeserializer::new(map))?;
        policy(fields).map(PolicyData).map_err(A::Error::custom)
    }
}

fn policy(fields: Fields) -> Result<Policy, String> {
    let mut policy = match (fields.ttl, fields.http) {
        (Some(_), true) => return Err("ttl and http exclude each other".into()),
        (Some(ttl), false) => Policy::ttl(ttl),
        (None, true) => Policy::http(),
        (None, false) => Policy::none(),
    };
    policy.stale_while_revalidate = fields.stale_while_revalidate;
    policy.stale_if_error = fields.stale_if_error;
    policy.revalidate = fields.revalidate.or(policy.revalidate);
    policy.store_set_cookie = fields.store_set_cookie;
    policy.etag = fields.etag.unwrap_or(policy.etag);
    policy.jitter = fields.jitter;
    policy.adaptive = fields.adaptive.map(|Bounds(least, most)| (least, most));
    policy.early = fields.early.unwrap_or(policy.early);
    policy.coalesce = fields.coalesce.unwrap_or(policy.coalesce);
    policy.finish = fields.finish;
    policy.wait = fields.wait.unwrap_or(policy.wait);
    policy.soft_timeout = fields.soft_timeout;
    policy.hard_timeout = fields.hard_timeout;
    policy.settle = fields.settle;
    policy.unmatched |= fields.unmatched;
    for method in &fields.methods {
        let method = Method::from_bytes(method.as_bytes());
        policy
            .methods
            .push(method.map_err(|_| "methods: no method's name")?);
    }
    if let Some(bytes) = fields.max_request_body {
        policy.max_request_body =
            usize::try_from(bytes).map_err(|_| "max_request_body is too large")?;
    }
    for coding in &fields.precompress {
        policy.precompress.push(self::coding(coding)?);
    }
    if let Some(targets) = fields.targets {
        policy = policy.targets(targets);
    }
    policy.endpoint = fields.endpoint;
    policy.tags = fields.tags;
    policy.tag_fields = fields.tag_fields;
    policy.negative_ttl = fields.negative_ttl;
    policy.version = fields.version.unwrap_or_default();
    policy.ignore_credentials = fields.ignore_credentials;
    policy.override_cache_control = fields.override_cache_control;
    policy.client_cache = fields.client_cache;
    policy.memory_only = fields.memory_only;
    policy = policy.vary(fields.vary).hide(fields.hide);
    if let Some(statuses) = fields.statuses {
        policy = policy.statuses(statuses);
    }
    if let Some(bytes) = fields.max_body {
        policy = policy.max_body(usize::try_from(bytes).map_err(|_| "max_body is too large")?);
    }
    policy = match (fields.only_params, fields.ignore_params) {
        (Some(_), Some(_)) => return Err("only_params and ignore_params exclude each other".into()),
        (Some(only), None) => policy.only_params(only),
        (None, Some(ignore)) => policy.ignore_params(ignore),
        (None, None) => policy,
    };
    if let Some(text) = fields.scope {
        policy = policy.scope(scope(&text)?);
    }
    for text in &fields.invalidates {
        policy = policy.invalidates(selector(text));
    }
    Ok(policy)
}

fn coding(text: &str) -> Result<Coding, String> {
    let known = [Coding::Brotli, Coding::Gzip, Coding::Zstd];
    match known.iter().find(|coding| coding.as_str() == text) {
        Some(_) if cfg!(not(feature = "precompress")) => {
            Err("precompress needs the feature `precompress`".into())
        }
        Some(coding) => Ok(*coding),
        None => Err(format!(
            "precompress: {text:?} is none of \"br\", \"gzip\", \"zstd\""
        )),
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    match text.split_once(':') {
        None if text == "bearer" => Ok(Scope::bearer()),
        Some(("cookie", name)) => Ok(Scope::cookie(name)),
        Some(("header", name)) => Ok(Scope::header(name)),
        _ => Err(format!(
            "scope {text:?} is none of \"bearer\", \"cookie:NAME\", \"header:NAME\""
        )),
    }
}

fn selector(text: &str) -> Selector {
    match text.split_once(':') {
        Some(("tag", name)) => tag(name),
        Some(("endpoint", name)) => endpoint(name),
        Some(("uri", path)) => uri(path),
        _ => Selector::from(text),
    }
}
