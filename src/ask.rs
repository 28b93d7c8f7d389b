//! What a request asks of the cache: the step from a request to a policy and a
//! canonical request, without any I/O.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Request};
use http_body::Body;

use crate::cache::Engine;
use crate::guard;
use crate::key::{Key, Writer, endpoint_of_route, write_query};
use crate::layer::Shared;
use crate::outcome::Bypass;
use crate::place::{original_uri, place};
use crate::policy::{Compiled, RequestHead, Scoped, request as admission, vary};

/// What becomes of a request.
#[allow(clippy::large_enum_variant, reason = "it lives for one call, on the stack")]
pub(crate) enum Ask {
    Cache(Asked),
    /// An unsafe method under a policy: it may invalidate.
    Write(Arc<Compiled>),
    Bypass(Bypass),
}

/// A request that takes part in caching.
pub(crate) struct Asked {
    pub(crate) policy: Arc<Compiled>,
    pub(crate) canonical: Writer,
    /// The place of its answer among those that vary, once that is known.
    pub(crate) variant: Option<Writer>,
    pub(crate) tenant: Option<String>,
    pub(crate) head: bool,
}

impl Asked {
    /// The canonical request of the entry that can answer.
    pub(crate) fn place(&self) -> &Writer {
        self.variant.as_ref().unwrap_or(&self.canonical)
    }

    /// Where the answer lies among those that vary on `names`.
    pub(crate) fn variant_on(&self, names: &[HeaderName], headers: &HeaderMap) -> Writer {
        let mut writer = Writer::resume(self.canonical.as_bytes());
        vary::write(&mut writer, names, headers, &self.policy);
        writer
    }

    /// The endpoint as it stands in keys, tenant included.
    pub(crate) fn family(&self, engine: &Engine, pattern: Option<&str>) -> String {
        let endpoint = match (&self.policy.endpoint, pattern) {
            (Some(endpoint), _) => Cow::Borrowed(endpoint.as_str()),
            (None, Some(pattern)) => Cow::Owned(endpoint_of_route(pattern)),
            (None, None) => Cow::Borrowed("default"),
        };
        engine.family(&endpoint, self.tenant.as_deref())
    }

    /// The name of a canonical request in the store.
    pub(crate) fn key_of(&self, engine: &Engine, family: &str, canonical: &Writer) -> Key {
        Key::of(&engine.context.prefix, family, canonical.as_bytes())
    }
}

/// Finds the policy of a request, admits it, and writes down all that its
/// answer depends on.
#[inline]
pub(crate) fn ask<B: Body>(layer: &Shared, request: &Request<B>) -> Ask {
    let (engine, place) = (&layer.engine, place(request));
    let uri = original_uri(request);
    let policy = match layer.annotation.find(place, uri.path()) {
        Ok(found) => found.policy,
        Err(reason) => return Ask::Bypass(reason),
    };
    let method = request.method();
    if is_unsafe(method) {
        return Ask::Write(Arc::clone(policy));
    }
    if !engine.enabled() {
        return Ask::Bypass(Bypass::Disabled);
    }
    if policy.ttl.is_none() && policy.negative_ttl.is_none() {
        return Ask::Bypass(Bypass::NotCached);
    }
    if let Err(reason) = admission::method(method, !request.body().is_end_stream()) {
        return Ask::Bypass(reason);
    }
    let head = RequestHead {
        method,
        uri,
        headers: request.headers(),
        extensions: request.extensions(),
    };
    match write(engine, policy, &head) {
        Ok(asked) => Ask::Cache(asked),
        Err(reason) => Ask::Bypass(reason),
    }
}

#[inline]
fn write(engine: &Engine, policy: &Arc<Compiled>, head: &RequestHead<'_>) -> Result<Asked, Bypass> {
    let admitted = admission::admit(policy, head.method, head.uri, head.headers)?;
    let tenant = tenant(engine, head)?;
    let mut writer = Writer::new(&policy.fingerprint);
    writer.field(b"GET"); // HEAD is answered from GET's entry
    writer.option(tenant.as_deref().map(str::as_bytes));
    match admitted.host {
        Some(host) => writer.field_lowercase(host),
        None => writer.absent(),
    }
    match &policy.key {
        None => {
            writer.field(head.uri.path().as_bytes());
            write_query(&mut writer, head.uri.query(), &policy.params);
        }
        Some(key) => match guard::call(|| key(head)) {
            Some(Some(text)) => writer.field(text.as_bytes()),
            _ => return Err(Bypass::NoKey),
        },
    }
    for (name, value, secret) in &admitted.keyed {
        writer.field(name.as_bytes());
        match secret {
            true => writer.secret(value.as_bytes()),
            false => writer.field(value.as_bytes()),
        }
    }
    if let Some(scope) = &policy.scope {
        writer.absent(); // the end of the keyed fields
        match scope.of(head) {
            Scoped::Value(value) => writer.secret(&value),
            Scoped::Anonymous => writer.absent(),
            Scoped::Unknown => return Err(Bypass::NoScope),
        }
    }
    Ok(Asked {
        policy: Arc::clone(policy),
        canonical: writer,
        variant: None,
        tenant,
        head: admitted.head,
    })
}

/// The tenant of a request, where the cache asks for one.
pub(crate) fn tenant(engine: &Engine, head: &RequestHead<'_>) -> Result<Option<String>, Bypass> {
    let Some(tenant) = &engine.tenant else {
        return Ok(None);
    };
    match guard::call(|| tenant(head)) {
        Some(Some(tenant)) => Ok(Some(tenant)),
        _ => Err(Bypass::NoTenant),
    }
}

/// Unsafe, or unknown and taken for unsafe (RFC 9110, 9.2.1; RFC 9111, 4.4).
fn is_unsafe(method: &Method) -> bool {
    !(method.is_safe() || method.as_str() == "QUERY")
}
