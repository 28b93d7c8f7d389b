//! Requests whose content is part of the key: QUERY (RFC 10008), and POST where
//! a policy takes it for a question.
//!
//! The content is read before anything is looked up, up to a bound and for so long
//! as a request waits for the cache, and the handler gets it as it came. That needs a
//! body that can be made again: axum's, `Full<Bytes>` or `String`. Others, longer and
//! slower ones bypass the cache.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;

use crate::arrived::{Arrived, head_of};
use crate::ask::{Aside, ask, or_only_if_cached};
use crate::body::ResponseBody;
use crate::cache::Engine;
use crate::inner::{Content, Inner};
use crate::key::{Writer, json};
use crate::outcome::Bypass;
use crate::policy::{Compiled, RequestHead, targeted};
use crate::rebuild;
use crate::way::Serve;

impl<S> Serve<S> {
    /// A request whose content is part of its key.
    pub(crate) async fn content<R, B>(
        self,
        policy: Arc<Compiled>,
        request: Request<R>,
    ) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Inner<R, B>,
        R: Body + Send + 'static,
        B: Content,
    {
        let (parts, body) = request.into_parts();
        if let Err(reason) = meant(&parts.headers) {
            let request = Request::from_parts(parts, body);
            let reason = or_only_if_cached(&policy, request.headers(), reason);
            return self.pass(reason, request).await;
        }
        let limit = policy.max_request_body;
        if body.size_hint().lower() > limit as u64 {
            let request = Request::from_parts(parts, body);
            let reason = or_only_if_cached(&policy, request.headers(), Bypass::RequestBody);
            return self.pass(reason, request).await;
        }
        let request = Request::from_parts(parts, body);
        let shared = Arc::clone(&self.shared);
        let engine = &shared.engine;
        let mut canonical = Writer::empty();
        // what its head decides needs no content: a stream's may never end
        let asked = match ask(&shared, &Arrived::of(&request), &mut canonical, true) {
            Ok(asked) if asked.asks.conditional && *request.method() == Method::POST => {
                // 304 is for others, and 412 the handler's to say (RFC 9110, 13.1)
                let reason = or_only_if_cached(&policy, request.headers(), Bypass::Precondition);
                return self.pass(reason, request).await;
            }
            Ok(asked) => asked,
            Err(Aside::Bypass(reason)) => return self.pass(reason, request).await,
            Err(Aside::Write(..)) | Err(Aside::Content(_)) => {
                return self.pass(Bypass::Method, request).await;
            }
        };
        let (parts, body) = request.into_parts();
        let (body, content) = rebuild::read(body, limit, late(engine)).await;
        let request = Request::from_parts(parts, body);
        let Some(content) = content else {
            let reason = or_only_if_cached(&policy, request.headers(), Bypass::RequestBody);
            return self.pass(reason, request).await;
        };
        if !engine.enabled() {
            return self.pass(Bypass::Disabled, request).await;
        }
        write(&mut canonical, &head_of(&request), &content);
        if let Some(rate) = policy.watch.observe {
            let question = asked.question(&canonical, None);
            return Box::pin(self.observe(question, rate, request)).await;
        }
        match engine.look_memory(&asked, &canonical, request.headers()) {
            Ok(found) => {
                let question = asked.question(&canonical, None);
                let (parts, body) = request.into_parts();
                Ok(self.hit(&found, question, parts, body))
            }
            Err((missed, variant)) => {
                let question = Box::new(asked.question(&canonical, variant));
                let (parts, body) = request.into_parts();
                let family = question.family(&self.shared, &parts);
                let request = Request::from_parts(parts, body);
                self.read(question, family, missed, request).await
            }
        }
    }
}

/// Once a content has not come in the time of a request: its client may wait for an
/// answer before it sends more. Without a runtime nobody can tell.
async fn late(engine: &Engine) {
    match engine.has_runtime() {
        true => tokio::time::sleep(engine.budget).await,
        false => std::future::pending().await,
    }
}

/// Whether the content's meaning is known (RFC 10008, 2: a content type is
/// required; several lines of codings may be read in several ways), and may be
/// read before it is forwarded (RFC 10036).
fn meant(headers: &HeaderMap) -> Result<(), Bypass> {
    if targeted::is_true(headers, "incremental") {
        return Err(Bypass::Streaming);
    }
    let lines = |name: &HeaderName| headers.get_all(name).iter().count();
    match lines(&CONTENT_TYPE) == 1 && lines(&CONTENT_ENCODING) <= 1 {
        true => Ok(()),
        false => Err(Bypass::RequestBody),
    }
}

/// Continues a canonical request with a method and a content: what gives it its
/// meaning, and its hash. JSON counts in one form (RFC 10008, 2.7).
pub(crate) fn write(writer: &mut Writer, request: &RequestHead<'_>, content: &[u8]) {
    writer.field(request.method.as_str().as_bytes());
    let field = |name: &HeaderName| request.headers.get(name).map(|value| value.as_bytes());
    let (kind, coding) = (field(&CONTENT_TYPE), field(&CONTENT_ENCODING));
    let kind = kind.map(in_one_case);
    writer.option(kind.as_deref());
    writer.option(coding);
    let is_json = coding.is_none() && kind.is_some_and(|kind| is_json(&kind));
    match is_json.then(|| json::canonical(content)).flatten() {
        Some(form) => writer.secret(&form),
        None => writer.secret(content),
    }
}

/// A media type in lower case, its parameters as they are: the case of their
/// values counts (RFC 9110, 8.3.1).
fn in_one_case(kind: &[u8]) -> Vec<u8> {
    let mut kind = kind.trim_ascii().to_vec();
    let end = kind.iter().position(|b| *b == b';').unwrap_or(kind.len());
    kind[..end].make_ascii_lowercase();
    kind
}

/// JSON by its media type, in UTF-8.
fn is_json(kind: &[u8]) -> bool {
    let (kind, parameters) = match kind.iter().position(|b| *b == b';') {
        Some(at) => (kind[..at].trim_ascii(), kind[at + 1..].trim_ascii()),
        None => (kind, &b""[..]),
    };
    let known: [&[u8]; 3] = [b"", b"charset=utf-8", b"charset=\"utf-8\""];
    (kind == b"application/json" || kind.ends_with(b"+json"))
        && known
            .iter()
            .any(|known| parameters.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrived::head_of;

    fn key(kind: &str, content: &str) -> Vec<u8> {
        let request = Request::query("/").header(CONTENT_TYPE, kind).body(());
        let mut writer = Writer::empty();
        let request = request.unwrap();
        write(&mut writer, &head_of(&request), content.as_bytes());
        writer.as_bytes().to_vec()
    }

    trait Query {
        fn query(uri: &str) -> http::request::Builder;
    }

    impl Query for Request<()> {
        fn query(uri: &str) -> http::request::Builder {
            Self::builder().method("QUERY").uri(uri)
        }
    }

    #[test]
    fn json_counts_in_one_form_and_nothing_else_does() {
        let json = "application/json";
        assert_eq!(
            key(json, "{\"a\":1,\"b\":2}"),
            key("Application/JSON", "{ \"b\":2, \"a\":1 }")
        );
        assert_ne!(key(json, "{\"a\":1}"), key(json, "{\"a\":2}"));
        assert_ne!(key("text/plain", "[1]"), key("text/plain", "[ 1 ]"));
        assert_ne!(key(json, "[1]"), key("application/x+json", "[1]"));
        assert_ne!(
            key("application/json;charset=utf-16", "[1]"),
            key("application/json;charset=utf-16", "[ 1]")
        );
        assert_ne!(key(json, "[1,"), key(json, "[1, "));
        let charset = "application/json; Charset=UTF-8";
        assert_eq!(key(charset, "[1]"), key(charset, "[ 1]"));
    }

    #[test]
    fn the_type_counts_in_any_case_and_its_parameters_as_they_are_written() {
        let form = "multipart/form-data; boundary=a";
        assert_eq!(key(form, "x"), key("Multipart/Form-Data; boundary=a", "x"));
        assert_ne!(key(form, "x"), key("multipart/form-data; boundary=A", "x"));
        let ld = |profile| format!("application/ld+json;profile=\"{profile}\"");
        assert_ne!(key(&ld("/a"), "[1]"), key(&ld("/A"), "[1]"));
    }
}
