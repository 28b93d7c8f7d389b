//! What a request asks of the cache: the step from a request to a policy and a
//! canonical request, without any I/O.

use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Uri, request};

use crate::arrived::Arrived;
use crate::cache::Engine;
use crate::cache::guard::{self, Callback};
use crate::hint::seldom;
use crate::key::{Writer, write_query};
use crate::outcome::Bypass;
use crate::place::{original_uri, place};
use crate::policy::request::{self as admission, Wish};
use crate::policy::{Compiled, Found, KeyFn, RequestHead, Scoped};
use crate::question::{Asked, Question};
use crate::sent;
use crate::shared::Shared;

/// A request that takes part in caching, or what else becomes of it.
pub(crate) type Ask<'a> = Result<Asked<'a>, Aside<'a>>;

/// A request that memory is not asked for.
pub(crate) enum Aside<'a> {
    /// An unsafe method under a policy: it may invalidate. The question is that
    /// of a GET, where a POST's answer may do for it (RFC 9110, 9.3.3).
    Write(&'a Arc<Compiled>, Option<Box<Question>>),
    /// Its content is part of the key, and must be read first.
    Content(&'a Arc<Compiled>),
    Bypass(Bypass),
}

impl Question {
    /// The endpoint as it stands in keys, where it is not known yet.
    pub(crate) fn family(&self, shared: &Shared, request: &request::Parts) -> Arc<str> {
        let endpoint = match &self.policy.endpoint {
            Some(endpoint) => Arc::clone(endpoint),
            None => shared.endpoint_of(pattern(shared, request)),
        };
        self.family_in(endpoint)
    }
}

/// The pattern of the route that a request has arrived at.
pub(crate) fn pattern<'a>(shared: &'a Shared, request: &'a request::Parts) -> Option<&'a str> {
    let uri = original_uri(&request.extensions, &request.uri);
    let found = shared
        .annotation
        .find(place(&request.extensions), uri.path());
    found.ok().and_then(|found| found.pattern)
}

/// Finds the policy of a request, admits it, and writes down all that its
/// answer depends on into `canonical`; but for its content, which `reads` says that
/// the caller reads and writes itself.
#[inline]
pub(crate) fn ask<'a: 'p, 'p>(
    layer: &'a Shared,
    request: &Arrived<'p>,
    canonical: &mut Writer,
    reads: bool,
) -> Ask<'a> {
    let place = place(request.head.extensions);
    match layer.annotation.find_by(place, || request.head.uri.path()) {
        Ok(found) => ask_found(layer, request, &found, canonical, reads),
        Err(reason) => Err(match layer.writes(reason, &request.head) {
            Some(policy) => Aside::Write(policy, None),
            None => Aside::Bypass(layer.aside(reason, request.head.uri.path())),
        }),
    }
}

/// The same once its policy is found.
#[inline]
pub(crate) fn ask_found<'a>(
    layer: &'a Shared,
    request: &Arrived<'_>,
    found: &Found<'a, '_>,
    canonical: &mut Writer,
    reads: bool,
) -> Ask<'a> {
    let (engine, policy, head) = (&layer.engine, found.policy, &request.head);
    let usual = policy.usual && *head.method == Method::GET && engine.enabled();
    if !usual || request.has_body {
        seldom();
        takes_part(layer, request, found, canonical, reads)?;
    }
    write(engine, found, request, canonical)
}

#[cold]
fn refused<'a>(policy: &Compiled, headers: &HeaderMap, reason: Bypass) -> Aside<'a> {
    Aside::Bypass(or_only_if_cached(policy, headers, reason))
}

/// Whether a request takes part in caching, as far as its method, its content and the
/// cache's switch say.
#[inline(never)]
fn takes_part<'a>(
    layer: &'a Shared,
    request: &Arrived<'_>,
    found: &Found<'a, '_>,
    canonical: &mut Writer,
    reads: bool,
) -> Result<(), Aside<'a>> {
    let (engine, policy, head) = (&layer.engine, found.policy, &request.head);
    let asks_by_content = policy.methods.contains(head.method);
    if admission::is_unsafe(head.method) && !asks_by_content {
        let posted = policy.http && *head.method == Method::POST && engine.enabled();
        let question = posted.then(|| posted_question(layer, request, found, canonical));
        return Err(Aside::Write(policy, question.flatten().map(Box::new)));
    }
    if !engine.enabled() {
        engine.passed_off();
        return Err(Aside::Bypass(Bypass::Disabled));
    }
    if !policy.stores() {
        return Err(Aside::Bypass(Bypass::NotCached));
    }
    if asks_by_content {
        return match reads {
            true => Ok(()),
            false => Err(Aside::Content(policy)),
        };
    }
    admission::method(head.method, request.has_body)
        .map_err(|reason| Aside::Bypass(or_only_if_cached(policy, head.headers, reason)))
}

/// Where the handler must not be asked, no reason to ask it counts (RFC 9111,
/// 5.2.1.7).
#[cold]
pub(crate) fn or_only_if_cached(policy: &Compiled, headers: &HeaderMap, reason: Bypass) -> Bypass {
    match policy.http && Wish::of(headers).only_if_cached {
        true => Bypass::OnlyIfCached,
        false => reason,
    }
}

/// The question of a GET for what a POST is sent to.
#[cold]
fn posted_question(
    layer: &Shared,
    request: &Arrived<'_>,
    found: &Found<'_, '_>,
    canonical: &mut Writer,
) -> Option<Question> {
    let mut headers = request.head.headers.clone();
    found.policy.hide(&mut headers);
    if headers != *request.head.headers {
        return None; // its handler sees what that of a GET would not
    }
    headers.remove(http::header::CONTENT_TYPE); // of the POST's own content
    let head = RequestHead {
        method: &Method::GET,
        headers: &headers,
        ..request.head
    };
    let request = Arrived { head, ..*request };
    let asked = write(&layer.engine, found, &request, canonical).ok()?;
    Some(asked.question(canonical, None))
}

#[inline(never)] // the same for every service, and short in a frame of its own
fn write<'a>(
    engine: &Engine,
    found: &Found<'a, '_>,
    request: &Arrived<'_>,
    writer: &mut Writer,
) -> Ask<'a> {
    let (policy, head) = (found.policy, &request.head);
    let mut keyed = admission::KeyedFields::new();
    let (method, uri, headers) = (head.method, head.uri, head.headers);
    let no = |reason| refused(policy, headers, reason);
    let admitted = admission::admit(policy, method, uri, headers, &mut keyed).map_err(no)?;
    writer.push(&policy.preamble);
    let tenant = match &engine.tenant {
        None => {
            writer.absent();
            None
        }
        Some(_) => Some(write_tenant(engine, head, writer).map_err(no)?),
    };
    match admitted.host {
        Some(host) => writer.field_lowercase(host),
        None => writer.absent(),
    }
    // plain and unknown are one: a server behind a proxy knows no better
    let secure = uri.scheme().is_some_and(is_https);
    writer.push(&[u8::from(secure)]);
    match &policy.key {
        None => write_target(writer, uri, policy),
        Some(key) => write_own(engine, writer, key, head).map_err(no)?,
    }
    if !keyed.is_empty() || policy.scope.is_some() {
        seldom();
        write_keyed(engine, policy, head, &keyed, writer).map_err(no)?;
    }
    sent::write(writer, found, request);
    Ok(Asked {
        policy,
        tenant,
        head: admitted.head,
        asks: admitted.asks,
    })
}

#[inline(never)] // HTTP/1.1 tells no scheme
fn is_https(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTPS
}

#[cold]
fn write_tenant(
    engine: &Engine,
    head: &RequestHead<'_>,
    writer: &mut Writer,
) -> Result<String, Bypass> {
    let tenant = engine.tenant_of(head)?.ok_or(Bypass::NoTenant)?;
    writer.field(tenant.as_bytes());
    Ok(tenant)
}

/// Path and query.
#[inline(never)]
fn write_target(writer: &mut Writer, uri: &Uri, policy: &Compiled) {
    writer.field(uri.path().as_bytes());
    write_query(writer, uri.query(), &policy.params);
}

/// What a policy's own key says.
#[cold]
fn write_own(
    engine: &Engine,
    writer: &mut Writer,
    key: &KeyFn,
    head: &RequestHead<'_>,
) -> Result<(), Bypass> {
    match guard::call(engine, Callback::Key, || key(head)) {
        Some(Some(text)) => {
            writer.field(text.as_bytes());
            Ok(())
        }
        _ => Err(Bypass::NoKey),
    }
}

/// The fields that are keyed, and the scope's value.
#[inline(never)]
fn write_keyed(
    engine: &Engine,
    policy: &Compiled,
    head: &RequestHead<'_>,
    keyed: &[(&str, &HeaderValue, bool)],
    writer: &mut Writer,
) -> Result<(), Bypass> {
    for (name, value, secret) in keyed {
        writer.field(name.as_bytes());
        match secret {
            true => writer.secret(value.as_bytes()),
            false => writer.field(value.as_bytes()),
        }
    }
    if let Some(scope) = &policy.scope {
        writer.absent(); // the end of the keyed fields
        let scoped = guard::call(engine, Callback::Scope, || scope.of(head));
        match scoped.unwrap_or(Scoped::Unknown) {
            Scoped::Value(value) => writer.secret(&value),
            Scoped::Anonymous => writer.absent(),
            Scoped::Unknown => return Err(Bypass::NoScope),
        }
    }
    Ok(())
}
