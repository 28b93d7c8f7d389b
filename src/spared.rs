//! Answers for clients that have them already, though their fill asked for the whole.

use http::header::{IF_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::ResponseBody;
use crate::entry::{coding, is_made};
use crate::outcome::{Outcome, Refusal};
use crate::policy::Compiled;
use crate::policy::cache_control::tags;
use crate::policy::conditional::{has_validator, not_modified};
use crate::policy::request::Asks;
use crate::reply;

/// What a leader's client gets, whose conditions were taken off its request, for others
/// want the whole. What is stored is narrowed down to them. Where nobody gets the whole,
/// the answer's head tells whether the client has it already: then it is spared the body
/// (RFC 9110, 13.2.2). One that is recorded goes on as it is.
pub(crate) fn spared<B>(
    response: Response<ResponseBody<B>>,
    policy: &Compiled,
    request: &HeaderMap,
    asks: &Asks,
) -> Response<ResponseBody<B>> {
    if is_instead(&response) {
        return response;
    }
    if response.body().is_stored() {
        return reply::shape(response, policy, &[], request, asks);
    }
    let headers = response.headers();
    let known = response.status() == StatusCode::OK
        && has_validator(headers)
        && not_modified(request, headers);
    match known && !is_recorded(&response) {
        true => reply::without_body(response, StatusCode::NOT_MODIFIED),
        false => response,
    }
}

/// Whether a response is no representation: it answers for a handler that did not.
fn is_instead<B>(response: &Response<B>) -> bool {
    let outcome = response.extensions().get::<Outcome>();
    let stored = Err(Refusal::Fallback);
    matches!(outcome, Some(Outcome::Miss { stored: known, .. }) if *known == stored)
}

/// Whether an entry may be made of a body while it is read, in this layer or further in.
fn is_recorded<B>(response: &Response<B>) -> bool {
    let outcome = response.extensions().get::<Outcome>();
    outcome.is_none_or(|outcome| matches!(outcome, Outcome::Miss { stored: Ok(()), .. }))
}

/// A part of what has a tag that was made here can be asked of no handler, which does
/// not know the tag: the whole is, as where it is another's (RFC 9110, 13.1.5). So are
/// those of what a policy has coded.
pub(crate) fn want_whole(headers: &mut HeaderMap, policy: Option<&Compiled>) {
    let ours = |tag: &HeaderValue| is_ours(tag.as_bytes(), policy);
    let dated = |policy: &Compiled| coding::is_by_date(headers, &policy.precompress);
    if headers.get(IF_RANGE).is_some_and(ours) || policy.is_some_and(dated) {
        headers.remove(IF_RANGE);
        headers.remove(RANGE);
    }
}

/// The same for the tags that `If-Match` lists: a handler may pass over them as well. Of
/// what was coded it is told the plain body's.
pub(crate) fn match_whole(headers: &mut HeaderMap, policy: Option<&Compiled>) {
    let lists = |line: &HeaderValue| tags(line.as_bytes()).any(|tag| is_ours(tag, policy));
    if headers.get_all(IF_MATCH).iter().any(lists) {
        headers.remove(RANGE);
    }
    if let Some(policy) = policy {
        coding::name_plain(headers, &policy.precompress);
    }
}

fn is_ours(tag: &[u8], policy: Option<&Compiled>) -> bool {
    let coded = |policy: &Compiled| coding::plain_of(tag, &policy.precompress).is_some();
    is_made(tag) || policy.is_some_and(coded)
}
