//! Route tables as data.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::named::{Naming, Of};
use super::units;
use crate::entry::Coding;
use crate::invalidate::{Selector, endpoint, tag, uri};
use crate::policy::{Policy, Routes, Scope};

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with default, except and paths"
)]
struct TableData {
    default: Option<PolicyData>,
    #[serde(default, deserialize_with = "units::or_default")]
    except: Vec<String>,
    #[serde(default, deserialize_with = "units::or_default")]
    paths: Rows,
}

/// Patterns and their policies.
#[derive(Default)]
struct Rows(BTreeMap<String, PolicyData>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("patterns and their policies")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
        let mut rows = BTreeMap::new();
        while let Some(pattern) = map.next_key::<String>()? {
            let name = format!("route {pattern:?}");
            let policy = map.next_value_seed(Of::new(&name))?;
            if rows.insert(pattern, policy).is_some() {
                return Err(A::Error::custom(format!("{name}: two rows of one pattern")));
            }
        }
        Ok(Rows(rows))
    }
}

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let data = TableData::deserialize(Naming::of(from, "paths"))?;
        let mut routes = Self::new().except(data.except);
        if let Some(PolicyData(policy)) = data.default {
            routes = routes.default_policy(policy);
        }
        for (pattern, PolicyData(policy)) in data.paths.0 {
            routes = routes.route(pattern, policy);
        }
        Ok(routes)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "units::duration")]
    ttl: Option<Duration>,
    #[serde(deserialize_with = "units::or_default")]
    http: bool,
    #[serde(deserialize_with = "units::duration")]
    stale_while_revalidate: Option<Duration>,
    #[serde(deserialize_with = "units::duration")]
    stale_if_error: Option<Duration>,
    #[serde(deserialize_with = "units::duration")]
    revalidate: Option<Duration>,
    targets: Option<Vec<String>>,
    #[serde(deserialize_with = "units::or_default")]
    store_set_cookie: bool,
    etag: Option<bool>,
    #[serde(deserialize_with = "units::or_default")]
    jitter: f64,
    adaptive: Option<Bounds>,
    early: Option<bool>,
    coalesce: Option<bool>,
    #[serde(deserialize_with = "units::or_default")]
    finish: bool,
    #[serde(deserialize_with = "units::duration")]
    wait: Option<Duration>,
    #[serde(deserialize_with = "units::duration")]
    soft_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::duration")]
    hard_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::duration")]
    settle: Option<Duration>,
    #[serde(deserialize_with = "units::or_default")]
    methods: Vec<String>,
    #[serde(deserialize_with = "units::size")]
    max_request_body: Option<u64>,
    #[serde(deserialize_with = "units::or_default")]
    precompress: Vec<String>,
    #[serde(deserialize_with = "units::or_default")]
    unmatched: bool,
    endpoint: Option<String>,
    #[serde(deserialize_with = "units::or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "units::or_default")]
    tag_fields: Vec<String>,
    statuses: Option<Vec<u16>>,
    #[serde(deserialize_with = "units::duration")]
    negative_ttl: Option<Duration>,
    #[serde(deserialize_with = "units::size")]
    max_body: Option<u64>,
    version: Option<String>,
    #[serde(deserialize_with = "units::or_default")]
    vary: Vec<String>,
    only_params: Option<Vec<String>>,
    ignore_params: Option<Vec<String>>,
    #[serde(deserialize_with = "units::or_default")]
    hide: Vec<String>,
    #[serde(deserialize_with = "units::or_default")]
    ignore_credentials: bool,
    #[serde(deserialize_with = "units::or_default")]
    override_cache_control: bool,
    client_cache: Option<String>,
    #[serde(deserialize_with = "units::or_default")]
    invalidates: Vec<String>,
    scope: Option<String>,
    #[serde(deserialize_with = "units::or_default")]
    memory_only: bool,
}

/// The bounds of a TTL that adapts: `["30s", "1h"]`.
#[derive(Deserialize)]
#[serde(expecting = "two durations such as [\"30s\", \"1h\"]")]
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
        let fields = Fields::deserialize(Naming::of(MapAccessDeserializer::new(map), ""))?;
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

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn wrong(text: &str) -> String {
        let error = serde_json::from_str::<Config>(text).unwrap_err();
        assert_eq!(error.line(), 1, "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_wrong_in_json_names_its_row_and_its_field() {
        for (text, named) in [
            (r#"{"prefix": 5}"#, "prefix: invalid type"),
            (r#"{"enabled": "x"}"#, "enabled: "),
            (r#"{"max_variants": -1}"#, "max_variants: "),
            (r#"{"least_hit_rate": "x"}"#, "least_hit_rate: "),
            (r#"{"lease": "5 parsecs"}"#, "lease: \"5 parsecs\""),
            (
                r#"{"routes": {"default": {"ttl": true}}}"#,
                "default: ttl: ",
            ),
            (r#"{"routes": {"except": "/a"}}"#, "except: "),
        ] {
            let error = wrong(text);
            assert!(error.starts_with(named), "{text}: {error}");
        }
        for (row, named) in [
            ("true", "invalid type"),
            ("\"soon\"", "ttl: \"soon\""),
            (r#"{"ttl": "soon"}"#, "ttl: \"soon\""),
            (r#"{"jitter": "x"}"#, "jitter: "),
            (r#"{"tags": 7}"#, "tags: "),
            (r#"{"statuses": ["x"]}"#, "statuses: "),
            (r#"{"version": 1}"#, "version: "),
            (r#"{"adaptive": ["soon", "1h"]}"#, "adaptive: \"soon\""),
            (
                r#"{"adaptive": ["1h"]}"#,
                "adaptive: invalid length 1, expected two durations",
            ),
            (
                r#"{"ttl": 5, "http": true}"#,
                "ttl and http exclude each other",
            ),
        ] {
            let error = wrong(&format!(r#"{{"routes": {{"paths": {{"/a": {row}}}}}}}"#));
            let named = format!("route \"/a\": {named}");
            assert!(error.starts_with(&named), "{row}: {error}");
        }
    }

    #[test]
    fn a_configuration_may_be_part_of_another() {
        #[derive(serde::Deserialize)]
        struct App {
            name: String,
            #[serde(flatten)]
            cache: Config,
        }
        let text = r#"{"name": "x", "memory": "1MiB", "routes": {"default": 5}}"#;
        let app: App = serde_json::from_str(text).unwrap();
        assert_eq!((&*app.name, app.cache.memory), ("x", Some(1 << 20)));
        assert!(app.cache.routes().is_some());
    }

    #[test]
    fn a_row_that_is_there_twice_is_refused() {
        let error = wrong(r#"{"routes": {"paths": {"/a": 5, "/a": "1h"}}}"#);
        assert!(error.starts_with("route \"/a\": two rows"), "{error}");
    }

    #[test]
    fn nothing_is_the_default_of_any_field() {
        let row = r#"{"ttl": 5, "jitter": null, "tags": null, "vary": null, "finish": null}"#;
        let all = format!(
            r#"{{"prefix": null, "routes": {{"except": null, "default": null, "paths": {{"/a": {row}}}}}}}"#
        );
        let config: Config = serde_json::from_str(&all).unwrap();
        assert_eq!(config.routes().unwrap().rows.len(), 1);
        assert!(serde_json::from_str::<Config>(r#"{"routes": {"paths": null}}"#).is_ok());
    }

    #[test]
    fn what_is_wrong_in_toml_has_its_line_too() {
        let text = "memory = 1\n[routes.paths]\n\"/a\" = { ttl = 5, jitter = \"x\" }\n";
        let error = toml::from_str::<Config>(text).unwrap_err();
        assert!(
            error.message().starts_with("route \"/a\": jitter: "),
            "{error}"
        );
        assert!(error.to_string().contains("line 3"), "{error}");
        let error = toml::from_str::<Config>("lease = \"x\"").unwrap_err();
        assert!(error.message().starts_with("lease: \"x\""), "{error}");
    }
}
