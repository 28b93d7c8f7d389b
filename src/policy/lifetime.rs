//! How long an answer may be used, once it may be stored.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::answer::Answer;
use super::cache_control::{Directives, Extent};
use super::compiled::Compiled;
use super::conditional::can_be_confirmed;
use super::freshness::{
    LONGEST, Lifetime, age_field, heuristic, initial_age, is_heuristic, stated as stated_by,
};
use crate::clock::millis;
use crate::outcome::Refusal;

/// What answer, handler and route say of a life.
pub(crate) struct Stated<'a> {
    pub(crate) directives: &'a Directives,
    /// The directives stand in a targeted field.
    pub(crate) targeted: bool,
    /// The handler's hint: it comes before all else.
    pub(crate) hint: Option<Duration>,
    /// The route's TTL.
    pub(crate) allowed: Duration,
}

impl Stated<'_> {
    /// The freshness lifetime that the answer states. Directives that the policy
    /// overrides are none, and count as targeted.
    fn by(&self, answer: &Answer<'_>) -> Option<Duration> {
        stated_by(self.directives, answer.headers, self.targeted, answer.now)
    }
}

/// The age that an answer came with, and its clocks. An answer of which no use
/// is left is refused.
pub(crate) fn of(
    policy: &Compiled,
    answer: &Answer<'_>,
    stated: &Stated<'_>,
) -> Result<(Duration, Lifetime), Refusal> {
    let said = stated.by(answer);
    let age = age_of(policy, answer.headers, answer.now, answer.took);
    let fresh = match policy.http {
        true => freshness(policy, answer, stated, said)?,
        false => route(policy, answer, stated, (age, said)),
    };
    let dead = stated.hint.or(said) == Some(Duration::ZERO);
    let lifetime = clocks(policy, answer, (stated.directives, dead), age, fresh);
    match lifetime.keep > millis(age) {
        true => Ok((age, lifetime)),
        false => Err(Refusal::ZeroTtl),
    }
}

/// The age that an answer came with: by its date too under RFC 9111 (4.2.3).
pub(crate) fn age_of(
    policy: &Compiled,
    headers: &HeaderMap,
    now: SystemTime,
    took: Duration,
) -> Duration {
    match policy.http {
        true => initial_age(headers, now, took),
        false => age_field(headers),
    }
}

/// Under a route's policy: its TTL, counted from now, or less if the answer
/// says so.
fn route(
    policy: &Compiled,
    answer: &Answer<'_>,
    stated: &Stated<'_>,
    (age, said): (Duration, Option<Duration>),
) -> Duration {
    let ttl = match (stated.hint, said) {
        (Some(hinted), _) => hinted.min(LONGEST),
        (None, Some(said)) => stated.allowed.min(said.saturating_sub(age)),
        (None, None) => stated.allowed,
    };
    let ttl = ttl.mul_f64(1.0 - policy.jitter * answer.chance);
    age.saturating_add(ttl)
}

/// Under RFC 9111: what is stated, else a guess where one is allowed (4.2). For
/// whoever came with a credential nothing is guessed: the answer may be theirs.
fn freshness(
    policy: &Compiled,
    answer: &Answer<'_>,
    stated: &Stated<'_>,
    said: Option<Duration>,
) -> Result<Duration, Refusal> {
    let directives = stated.directives;
    if let Some(hinted) = stated.hint {
        return Ok(hinted.min(LONGEST));
    }
    if said.is_none() && !(is_heuristic(answer.status) || directives.public) {
        return Err(Refusal::Status); // nothing allows to store it (3)
    }
    if directives.no_cache == Extent::Whole {
        return Ok(Duration::ZERO); // validated before each use (5.2.2.4)
    }
    if let Some(said) = said {
        return Ok(said.min(LONGEST));
    }
    if !directives.public && policy.has_open_credential(answer.request) {
        return Err(Refusal::Authorization);
    }
    Ok(heuristic(answer.headers, answer.now).unwrap_or_default())
}

/// The clocks behind freshness. What is never served stale has none (RFC 9111,
/// 4.2.4); what says itself that it is `dead`, none but those that it names.
fn clocks(
    policy: &Compiled,
    answer: &Answer<'_>,
    (directives, dead): (&Directives, bool),
    age: Duration,
    fresh: Duration,
) -> Lifetime {
    let ended = millis(fresh.max(age));
    let fresh = millis(fresh);
    let window = |set: Option<Duration>, said: Option<u64>| {
        let set = set.filter(|_| !dead);
        let window = set.or(said.map(Duration::from_secs)).unwrap_or_default();
        match directives.never_stale() {
            true => fresh,
            false => fresh.saturating_add(millis(window.min(LONGEST))),
        }
    };
    let stale = window(
        policy.stale_while_revalidate,
        directives.stale_while_revalidate,
    );
    let error = window(policy.stale_if_error, directives.stale_if_error);
    let validated = match can_be_confirmed(answer.status, answer.headers) {
        true => ended.saturating_add(millis(policy.revalidate)),
        false => 0,
    };
    Lifetime {
        fresh,
        stale,
        error,
        keep: stale.max(error).max(validated),
    }
    .bounded()
}
