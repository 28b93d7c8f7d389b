//! From a judged answer to an entry.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header, request, response};
use tokio::runtime::Handle;

use crate::ask::{Question, pattern, tenant};
use crate::body::ResponseBody;
use crate::cache::{Engine, Fill, Leased, Varies};
use crate::clock::millis;
use crate::entry::{Complete, Entry, Fields, Recording, coding, etag_of, storable};
use crate::flight::{self, ALONE, Drive, Landed, Landing, Opened};
use crate::generation::{Generation, Scoped};
use crate::guard;
use crate::inner::Content;
use crate::invalidate::{Target, target_in, uri_scope};
use crate::key::{Key, ScopeId};
use crate::known::number_value;
use crate::layer::Shared;
use crate::named::origin_of;
use crate::observe::{Observed, compare};
use crate::outcome::Refusal;
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

    /// The same of a whole request.
    pub(crate) fn of_request<R>(shared: &Shared, family: Arc<str>, request: &Request<R>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let uri = original_uri(request.extensions(), uri);
        let found = shared
            .annotation
            .find(place(request.extensions()), uri.path());
        let pattern = found.ok().and_then(|found| found.pattern);
        Self {
            pattern: pattern.map(str::to_owned),
            origin: origin_of(uri, headers),
            uri: uri.clone(),
            family,
        }
    }

    /// What the answer to a question belongs to, as far as that is known before
    /// it has come.
    pub(crate) fn asked(&self, engine: &Engine, question: &Question) -> Asked {
        let tenant = question.tenant.as_deref();
        let key = Key::of(&engine.context.prefix, &self.family, question.place());
        let tags = question.policy.tags.iter();
        let tags = tags.filter_map(|tag| tag.render(&self.params(), str::to_owned).ok());
        let mut scopes: Vec<ScopeId> = tags.map(|tag| ScopeId::tag(tenant, &tag)).collect();
        scopes.push(uri_scope(&self.uri, &question.policy, tenant));
        scopes.extend(own_scopes(&key, &self.family));
        Asked { key, scopes }
    }

    pub(crate) fn uri(&self) -> &http::Uri {
        &self.uri
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
                    target_in(&selector, &engine.context, tenant).map_err(|error| error.to_string())
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

/// What an answer that has not come yet will belong to.
pub(crate) struct Asked {
    key: Key,
    scopes: Vec<ScopeId>,
}

impl Scoped for Asked {
    fn scopes(&self) -> &[ScopeId] {
        &self.scopes
    }

    fn name(&self) -> &str {
        self.key.as_str()
    }
}

/// The key's own scope, its endpoint's, and its endpoint's over all tenants.
fn own_scopes(key: &Key, family: &str) -> impl Iterator<Item = ScopeId> {
    let everybodys = family.split_once('@').map(|(endpoint, _)| endpoint);
    let endpoints = [Some(family), everybodys].into_iter().flatten();
    std::iter::once(ScopeId::key(key.as_str()))
        .chain(endpoints.map(ScopeId::endpoint).collect::<Vec<_>>())
}

/// An answer that may be stored, and all that its entry is made of.
pub(crate) struct Made {
    pub(crate) question: Question,
    pub(crate) note: Generation,
    /// The request's fields as the handler saw them.
    pub(crate) seen: HeaderMap,
    pub(crate) route: Route,
    pub(crate) terms: Terms,
    pub(crate) lease: Option<Leased>,
    /// How long the handler took.
    pub(crate) took: Duration,
}

impl Made {
    /// All of the entry but its body. What is added to the answer for clients is
    /// added to `parts` here, so that a miss and a hit look alike.
    pub(crate) fn prepare(
        self,
        engine: &Engine,
        parts: &mut response::Parts,
        declared: Option<u64>,
    ) -> Prepared {
        let policy = Arc::clone(&self.question.policy);
        if let Some(value) = &policy.client_cache
            && !parts.headers.contains_key(header::CACHE_CONTROL)
        {
            parts.headers.insert(header::CACHE_CONTROL, value.clone());
        }
        let headers = self.stored_headers(engine, &parts.headers);
        // not stored: each hit says it anew
        let codings = &policy.precompress;
        coding::announce(
            &mut parts.headers,
            codings,
            parts.status,
            self.terms.rules,
            declared,
        );
        let observed = self.question.observed.clone();
        Prepared {
            observed,
            fill: self.fill(engine, parts.status),
            headers,
            policy,
            declared,
            started: engine.now(),
        }
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
            lease,
            took,
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
        scopes.extend(own_scopes(&key, &route.family));
        let age = millis(terms.age);
        let mut entry = Entry {
            canonical: Arc::clone(question.place()),
            key,
            scopes: scopes.into(),
            status,
            fields: Fields::empty(),
            body: bytes::Bytes::new(),
            created: engine.wall().saturating_sub(age),
            stamp: note.stamp,
            lifetime: terms.lifetime,
            rules: terms.rules,
            took: match question.policy.early {
                true => u32::try_from(millis(took)).unwrap_or(u32::MAX),
                false => 0, // as if it cost nothing to renew it late
            },
        };
        if let Some(settle) = question.policy.settle {
            let began = engine.now().saturating_sub(millis(took));
            let since = began.saturating_sub(millis(settle));
            if engine.generations.invalidated_since(&entry, since) {
                entry.lifetime = entry.lifetime.at_most(age + millis(settle));
            }
        }
        Fill {
            entry,
            note,
            age,
            groups,
            varies,
            policy: question.policy,
            landing: None,
            lease,
            value: None,
            written: None,
            alias: None,
        }
    }
}

/// What an entry is made of once its body is complete.
pub(crate) struct Prepared {
    pub(crate) fill: Fill,
    headers: HeaderMap,
    policy: Arc<Compiled>,
    /// The length that the answer declares.
    declared: Option<u64>,
    started: u64,
    /// It is compared, and not kept.
    observed: Option<Observed>,
}

impl Prepared {
    /// Begins to record `body`. Gives the body that the leader's client gets, and
    /// what drives it.
    pub(crate) fn record<B>(
        self,
        engine: &Arc<Engine>,
        landing: Landing,
        body: B,
    ) -> (ResponseBody<B>, Drive)
    where
        B: Content,
    {
        let opened = Opened {
            entry: self.fill.entry.clone(),
            headers: self.headers.clone(),
            vary: self
                .fill
                .varies
                .as_ref()
                .map_or_else(Arc::default, |v| Arc::clone(&v.names)),
            age: self.fill.age,
            // what looks at the finished answer decides before anybody shares it
            streams: self.declared.is_some() && self.policy.store_if.is_none(),
            alone: engine.now() + ALONE,
        };
        engine.balance();
        let budget = Arc::clone(&engine.in_flight);
        let recording = Recording::new(self.policy.max_body, self.declared, budget);
        let (engine, runtime) = (Arc::clone(engine), Handle::try_current().ok());
        let finish = move |whole, landing| self.finish(&engine, whole, landing, runtime.as_ref());
        let (leading, drive) = flight::drive(landing, opened, recording, Box::new(finish), body);
        (Box::new(leading).into(), drive)
    }

    fn finish(
        self,
        engine: &Arc<Engine>,
        whole: Complete,
        landing: Option<Landing>,
        runtime: Option<&Handle>,
    ) -> Landed {
        let Self {
            mut fill,
            mut headers,
            policy,
            started,
            observed,
            ..
        } = self;
        fill.age += engine.now().saturating_sub(started);
        let body = whole.into_bytes();
        let entry = &mut fill.entry;
        if let Some(check) = &policy.store_if {
            let wanted = guard::call(|| check(entry.status, &headers, &body));
            if wanted != Some(true) {
                engine.counters.of(&entry.key).refusal(Refusal::StoreIf);
                tracing::debug!(target: "larder", key = %entry.key, "store_if declined");
                if let Some(lease) = &fill.lease {
                    lease.alone();
                }
                if let Some(landing) = landing {
                    landing.alone(Some(engine.now() + ALONE));
                }
                return Landed::Alone;
            }
        }
        add_fields(&policy, entry, &mut headers, &body);
        if let Some(Observed { against }) = observed {
            if let Some(stored) = against {
                compare(engine, &stored, (entry.status, &headers), Some(&body));
            }
            if let Some(landing) = landing {
                landing.alone(None);
            }
            return Landed::Alone; // what is stored stays
        }
        (entry.fields, entry.body) = Fields::pack(&headers, &body);
        fill.landing = landing;
        match engine.keep(fill, runtime) {
            Some(held) => Landed::Stored(held),
            None => Landed::Outdated,
        }
    }
}

/// What is said of a whole body.
fn add_fields(policy: &Compiled, entry: &Entry, headers: &mut HeaderMap, body: &[u8]) {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
    if !bodiless.contains(&entry.status) {
        // for HEAD, and so that no layer further out has to add it to every hit
        headers.insert(header::CONTENT_LENGTH, number_value(body.len() as u64));
    }
    // one that the handler does not know must not be sent to it
    let known = headers.contains_key(header::ETAG) || entry.rules.has(Rules::VALIDATES);
    if policy.etag && entry.status == StatusCode::OK && !known {
        headers.insert(header::ETAG, etag_of(body));
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
