//! Assertions about responses. Each says what became of the request instead.

use http::Response;

use crate::outcome::{Bypass, Outcome, Refusal};

/// How a response was made.
///
/// # Panics
///
/// If it did not go through a cache.
#[track_caller]
pub fn outcome<B>(response: &Response<B>) -> Outcome {
    match response.extensions().get::<Outcome>() {
        Some(outcome) => *outcome,
        None => panic!("the response has no outcome: it did not go through a cache"),
    }
}

/// Asserts that a stored response answered.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_hit<B>(response: &Response<B>) {
    let outcome = outcome(response);
    assert!(outcome.is_hit(), "not a hit: {outcome:?}");
}

/// Asserts that the handler answered a request that a stored response could
/// have.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_miss<B>(response: &Response<B>) {
    let outcome = outcome(response);
    assert!(
        matches!(outcome, Outcome::Miss { .. }),
        "not a miss: {outcome:?}"
    );
}

/// Asserts that the request did not take part in caching, for this reason.
///
/// # Panics
///
/// If it did, or for another reason.
#[track_caller]
pub fn assert_bypass<B>(response: &Response<B>, reason: Bypass) {
    let outcome = outcome(response);
    let same = matches!(outcome, Outcome::Bypass { reason: r, .. } if r == reason);
    assert!(same, "not a bypass for {reason:?}: {outcome:?}");
}

/// Asserts that a stored response answered though it was stale.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_stale<B>(response: &Response<B>) {
    let outcome = outcome(response);
    let stale = matches!(outcome, Outcome::Stale { .. });
    assert!(stale, "not stale: {outcome:?}");
}

/// Asserts that the handler confirmed a stored response by 304.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_revalidated<B>(response: &Response<B>) {
    let outcome = outcome(response);
    let revalidated = matches!(outcome, Outcome::Revalidated { .. });
    assert!(revalidated, "not revalidated: {outcome:?}");
}

/// Asserts that the request shared the fill of another one.
///
/// # Panics
///
/// If it did not.
#[track_caller]
pub fn assert_coalesced<B>(response: &Response<B>) {
    let outcome = outcome(response);
    let coalesced = matches!(outcome, Outcome::Coalesced { .. });
    assert!(coalesced, "not coalesced: {outcome:?}");
}

/// Asserts that the handler's answer is stored once its body has ended, or keeps one
/// stored.
///
/// # Panics
///
/// If it is not.
#[track_caller]
pub fn assert_stored<B>(response: &Response<B>) {
    let outcome = outcome(response);
    assert!(outcome.is_stored(), "not stored: {outcome:?}");
}

/// Asserts that the handler answered and that its answer is not stored, for this
/// reason.
///
/// # Panics
///
/// If it is, or for another reason.
#[track_caller]
pub fn assert_not_stored<B>(response: &Response<B>, reason: Refusal) {
    let outcome = outcome(response);
    let same = match outcome {
        Outcome::Miss { stored, .. } | Outcome::Revalidated { stored, .. } => stored == Err(reason),
        _ => false,
    };
    assert!(same, "not refused for {reason:?}: {outcome:?}");
}
