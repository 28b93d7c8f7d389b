//! Where a request has arrived, and what that belongs to.

use std::sync::Arc;

use http::{Request, request};

use crate::ask::pattern;
use crate::cache::Engine;
use crate::generation::Scoped;
use crate::invalidate::{Target, targets_declared, uri_scope};
use crate::key::{Key, ScopeId};
use crate::named::host_of;
use crate::place::{original_uri, place, rewritten};
use crate::policy::template::Params;
use crate::policy::{Compiled, RequestHead};
use crate::question::Question;
use crate::shared::Shared;

/// Where a request has arrived: its route and its target.
pub(crate) struct Route {
    pattern: Option<String>,
    pub(crate) uri: http::Uri,
    /// The handler's own, where that is another one.
    own: Option<http::Uri>,
    pub(crate) host: String,
    /// The endpoint as it stands in keys, tenant included.
    pub(crate) family: Arc<str>,
}

impl Route {
    pub(crate) fn of(shared: &Shared, family: Arc<str>, request: &request::Parts) -> Self {
        let uri = original_uri(&request.extensions, &request.uri);
        Self {
            pattern: pattern(shared, request).map(str::to_owned),
            host: host_of(uri, &request.headers),
            own: rewritten(uri, &request.uri).cloned(),
            uri: uri.clone(),
            family,
        }
    }

    /// The same of a whole request.
    pub(crate) fn of_request<R>(shared: &Shared, family: Arc<str>, request: &Request<R>) -> Self {
        let (own, headers) = (request.uri(), request.headers());
        let uri = original_uri(request.extensions(), own);
        let found = shared
            .annotation
            .find(place(request.extensions()), uri.path());
        let pattern = found.ok().and_then(|found| found.pattern);
        Self {
            pattern: pattern.map(str::to_owned),
            host: host_of(uri, headers),
            own: rewritten(uri, own).cloned(),
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
        scopes.push(uri_scope(
            &self.uri,
            question.policy.keys_whole_uri(),
            tenant,
        ));
        scopes.extend(own_scopes(&key, &self.family));
        Asked { key, scopes }
    }

    pub(crate) fn uri(&self) -> &http::Uri {
        &self.uri
    }

    pub(crate) fn params(&self) -> Params<'_> {
        let own = self.own.as_ref().map(http::Uri::path);
        Params::new(self.pattern.as_deref(), self.uri.path(), own)
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
        let tenant = engine.tenant_of(&head);
        let nobodys = tenant.is_err();
        let tenant = tenant.ok().flatten();
        let tenant = tenant.as_deref();
        let found = shared
            .annotation
            .declared(place(request.extensions()), uri.path());
        let pattern = found.and_then(|found| found.pattern);
        let own = rewritten(uri, request.uri()).map(http::Uri::path);
        let params = Params::new(pattern, uri.path(), own);
        // without a tenant nothing was ever stored for it
        let mut targets = match nobodys {
            true => Vec::new(),
            false => vec![Target::of_uri(uri, tenant)],
        };
        for template in &policy.invalidates {
            let declared = template
                .render(&params)
                .map_err(|missing| missing.to_string())
                .and_then(|selector| {
                    let targets = targets_declared(&selector, &engine.context, tenant);
                    targets.map_err(|error| error.to_string())
                });
            match declared {
                Ok(declared) => targets.extend(declared),
                Err(why) => {
                    let Some(times) = engine.faults.undeclared.happened(engine.now()) else {
                        continue;
                    };
                    tracing::error!(
                        target: "larder", route = params.route(), selector = template.source(), %why, times,
                        "a declared invalidation cannot be made"
                    );
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
pub(crate) fn own_scopes(key: &Key, family: &str) -> impl Iterator<Item = ScopeId> {
    let everybodys = family.split_once('@').map(|(endpoint, _)| endpoint);
    let endpoints = [Some(family), everybodys].into_iter().flatten();
    std::iter::once(ScopeId::key(key.as_str()))
        .chain(endpoints.map(ScopeId::endpoint).collect::<Vec<_>>())
}
