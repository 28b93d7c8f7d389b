//! From a judged answer to an entry.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, header, request, response};
use tokio::runtime::Handle;

use crate::ask::{Question, pattern, tenant};
use crate::cache::{Engine, Fill, Varies};
use crate::clock::millis;
use crate::entry::{Complete, Entry, Fields, Recording, coding, etag_of, storable};
use crate::generation::Generation;
use crate::guard;
use crate::invalidate::{Target, target_of, uri_scope};
use crate::key::{Key, ScopeId};
use crate::known::number_value;
use crate::layer::Shared;
use crate::named::origin_of;
use crate::place::{original_uri, place};
use crate::policy::freshness::Rules;
use crate::policy::response::Terms;
use crate::policy::template::Params;
use crate::policy::{Compiled, RequestHead};
use crate::store::Group;

/// Where a request has arrived: its route and its target.
pub(crate) struct Route {
    pattern: Option<String>,
    uri: http::Uri,
    origin: String,
    /// The endpoint as it stands in keys, tenant included.
    pub(crate) family: Arc<str>,
}

impl Route {
    pub(crate) fn of(shared: &Shared, family: Arc<str>, request: &request::Parts) -> Self {
        let uri = original_uri(&request.extensions, &request.uri);
        Self {
            pattern: pattern(shared, request).map(str::to_owned),
            origin: origin_of(uri, &request.headers),
            uri: uri.clone(),
            family,
        }
    }

    pub(crate) fn params(&self) -> Params<'_> {
        Params::new(self.pattern.as_deref(), self.uri.path())
    }

    /// What an unsafe request invalidates if it succeeds: its own URI (RFC
    /// 9111, 4.4) and what its policy declares.
    pub(crate) fn targets<R>(
        shared: &Shared,
        policy: &Compiled,
        request: &Request<R>,
    ) -> Vec<Target> {
        let engine = &shared.engine;
        let uri = original_uri(request.extensions(), request.uri());
        let head = RequestHead {
            method: request.method(),
            uri,
            headers: request.headers(),
            extensions: request.extensions(),
        };
        let Ok(tenant) = tenant(engine, &head) else {
            return Vec::new(); // nothing was ever stored for it
        };
        let tenant = tenant.as_deref();
        let found = shared
            .annotation
            .find(place(request.extensions()), uri.path());
        let pattern = found.ok().and_then(|found| found.pattern);
        let params = Params::new(pattern, uri.path());
        let mut targets = vec![Target::of_uri(uri, tenant)];
        for template in &policy.invalidates {
            let target = template
                .render(&params)
                .map_err(|missing| missing.to_string())
                .and_then(|selector| {
                    target_of(&selector, &engine.context.prefix, tenant)
                        .map_err(|error| error.to_string())
                });
            match target {
                Ok(target) => targets.push(target),
                Err(why) => {
                    tracing::error!(target: "larder", %why, "a declared invalidation cannot be made");
                }
            }
        }
        targets
    }
}

/// An answer that may be stored, and all that its entry is made of.
pub(crate) struct Made {
    pub(crate) question: Question,
    pub(crate) note: Generation,
    /// The request's fields as the handler saw them.
    pub(crate) seen: HeaderMap,
    pub(crate) route: Route,
    pub(crate) terms: Terms,
}

impl Made {
    /// Begins to record. What is added to the answer for clients is added to
    /// `parts` here, so that a miss and a hit look alike.
    pub(crate) fn record(
        self,
        engine: &Arc<Engine>,
        parts: &mut response::Parts,
        declared: Option<u64>,
    ) -> Recording {
        let policy = Arc::clone(&self.question.policy);
        if let Some(value) = &policy.client_cache
            && !parts.headers.contains_key(header::CACHE_CONTROL)
        {
            parts.headers.insert(header::CACHE_CONTROL, value.clone());
        }
        let at_least = declared.and_then(|len| usize::try_from(len).ok());
        let codable = coding::is_codable(
            parts.status,
            &parts.headers,
            self.terms.rules,
            at_least.unwrap_or(usize::MAX),
        );
        let started = engine.now();
        let headers = self.stored_headers(engine, &parts.headers);
        if codable && !policy.precompress.is_empty() {
            coding::add_vary(&mut parts.headers); // not stored: each hit says it anew
        }
        let fill = self.fill(engine, parts.status);
        let engine = Arc::clone(engine);
        let runtime = Handle::try_current().ok();
        Recording::new(policy.max_body, declared, move |whole| {
            let mut fill = fill;
            fill.age += engine.now().saturating_sub(started);
            finish(&engine, &policy, fill, headers, whole, runtime.as_ref());
        })
    }

    /// What is stored of the fields. An answer that was made without a `Date`
    /// gets it now (RFC 9110, 6.6.1).
    fn stored_headers(&self, engine: &Engine, headers: &HeaderMap) -> HeaderMap {
        let policy = &self.question.policy;
        let per_request = engine.per_request(policy);
        let without = &self.terms.without;
        let mut stored = storable(headers, per_request, without, policy.store_set_cookie);
        if !headers.contains_key(header::DATE) {
            stored.insert(header::DATE, engine.date());
        }
        stored
    }

    /// The entry but for its fields and body.
    pub(crate) fn fill(self, engine: &Engine, status: StatusCode) -> Fill {
        let Self {
            mut question,
            note,
            seen,
            route,
            terms,
        } = self;
        let key_of = |canonical: &[u8]| Key::of(&engine.context.prefix, &route.family, canonical);
        let varies = (!terms.vary.is_empty()).then(|| Varies {
            key: key_of(&question.canonical),
            canonical: Arc::clone(&question.canonical),
            names: Arc::clone(&terms.vary),
        });
        question.variant = None;
        if !terms.vary.is_empty() {
            question.vary(&terms.vary, &seen);
        }
        let key = key_of(question.place());
        let tenant = question.tenant.as_deref();
        let groups = groups(&question.policy, &route, tenant, &terms);
        let mut scopes: Vec<ScopeId> = groups.iter().map(|group| group.0).collect();
        scopes.push(ScopeId::key(key.as_str()));
        scopes.push(ScopeId::endpoint(&route.family));
        if let Some((endpoint, _)) = route.family.split_once('@') {
            scopes.push(ScopeId::endpoint(endpoint));
        }
        let age = millis(terms.age);
        let entry = Entry {
            canonical: Arc::clone(question.place()),
            key,
            scopes: scopes.into(),
            status,
            fields: Fields::empty(),
            body: bytes::Bytes::new(),
            created: engine.wall().saturating_sub(age),
            lifetime: terms.lifetime,
            rules: terms.rules,
        };
        Fill {
            entry,
            note,
            age,
            groups,
            varies,
            policy: question.policy,
        }
    }
}

/// The URI's group, the tags', and those that the answer names itself.
fn groups(policy: &Compiled, route: &Route, tenant: Option<&str>, terms: &Terms) -> Vec<Group> {
    let uri = uri_scope(&route.uri, policy, tenant);
    let tags = terms.tags.iter().map(|tag| ScopeId::tag(tenant, tag));
    let named = terms.groups.iter();
    let named = named.map(|group| ScopeId::group(tenant, &route.origin, group));
    let all = std::iter::once(uri).chain(tags).chain(named);
    all.map(Group).collect()
}

fn finish(
    engine: &Arc<Engine>,
    policy: &Compiled,
    mut fill: Fill,
    mut headers: HeaderMap,
    whole: Complete,
    runtime: Option<&Handle>,
) {
    let body = whole.into_bytes();
    let entry = &mut fill.entry;
    if let Some(check) = &policy.store_if {
        let wanted = guard::call(|| check(entry.status, &headers, &body));
        if wanted != Some(true) {
            engine.counters.refusals(1);
            tracing::debug!(target: "larder", key = %entry.key, "store_if declined");
            return;
        }
    }
    if !matches!(
        entry.status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT
    ) {
        // for HEAD, and so that no layer further out has to add it to every hit
        headers.insert(header::CONTENT_LENGTH, number_value(body.len() as u64));
    }
    // one that the handler does not know must not be sent to it
    let known = headers.contains_key(header::ETAG) || entry.rules.has(Rules::VALIDATES);
    if policy.etag && entry.status == StatusCode::OK && !known {
        headers.insert(header::ETAG, etag_of(&body));
    }
    (entry.fields, entry.body) = Fields::pack(&headers, &body);
    engine.keep(fill, runtime);
}
