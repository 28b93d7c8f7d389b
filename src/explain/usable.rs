//! What follows from what was found.

use super::explanation::Would;
use crate::key::Key;
use crate::outcome::{Bypass, Cause, Staleness, Tier};
use crate::policy::freshness::Use;
use crate::question::Question;

/// What a tier holds, and how it may be used.
pub(super) struct Usable {
    pub(super) key: Key,
    pub(super) tier: Tier,
    pub(super) how: Use,
    /// Of a miss by it.
    pub(super) cause: Cause,
    /// The handler has failed a moment ago, and this stands in for it.
    pub(super) left_alone: bool,
}

/// What becomes of a request without its handler, in this order as in `serve.rs`:
///
/// 1. What could answer is only observed.
/// 2. It is fresh, or may be served stale.
/// 3. The request wants nothing else than what is stored (RFC 9111, 5.2.1.7).
/// 4. It stands in for a handler that is left alone.
pub(super) fn answered(best: Option<&Usable>, question: &Question) -> Option<Would> {
    let how = best.map_or(Use::Validate, |best| best.how);
    if question.policy.watch.observe.is_some() && how != Use::Validate {
        return Some(Would::Miss(Cause::Observed));
    }
    match (how, best) {
        (Use::Fresh(_) | Use::Early(_), Some(best)) => return Some(Would::Hit(best.tier)),
        (Use::WhileRevalidating, _) => return Some(Would::Stale(Staleness::WhileRevalidating)),
        (Use::AsAsked, _) => return Some(Would::Stale(Staleness::MaxStale)),
        _ => {}
    }
    let wish = question.asks.wish.as_deref();
    if wish.is_some_and(|wish| wish.only_if_cached) {
        return Some(Would::Bypass(Bypass::OnlyIfCached));
    }
    let left_alone = best.is_some_and(|best| best.left_alone);
    left_alone.then_some(Would::Stale(Staleness::LeftAlone))
}
