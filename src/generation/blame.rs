//! Which scope an invalidation had that has reached an entry: for statistics, never
//! for a decision.

use super::clock::{Generations, Scoped};
use crate::key::ScopeId;
use crate::outcome::InvalidatedBy;

impl Generations {
    /// By what an entry of this number was invalidated.
    pub(crate) fn blame(&self, entry: &impl Scoped, number: u64) -> InvalidatedBy {
        let marks = self.read();
        if marks.hard.everything.number > number {
            return InvalidatedBy::Everything;
        }
        let reached = |id: &&ScopeId| {
            let mark = marks.hard.scopes.get(*id);
            mark.is_some_and(|mark| mark.number > number)
        };
        let scopes = entry.scopes();
        if let Some(id) = scopes.iter().find(reached) {
            return kind_of(*id, entry);
        }
        let mut bans = marks.hard.bans.iter();
        match bans.any(|(mark, ban)| mark.number > number && ban.matches(entry.name())) {
            true => InvalidatedBy::Pattern,
            false => InvalidatedBy::Forgotten,
        }
    }
}

/// What a scope of an entry is. The first is its URI (`fill.rs`), its key's and
/// endpoints' follow from its name.
fn kind_of(id: ScopeId, entry: &impl Scoped) -> InvalidatedBy {
    if entry.scopes().first() == Some(&id) {
        return InvalidatedBy::Uri;
    }
    if id == ScopeId::key(entry.name()) {
        return InvalidatedBy::Key;
    }
    let family = entry.name().split(':').nth(1).unwrap_or_default();
    let endpoint = family.split_once('@').map_or(family, |(name, _)| name);
    let endpoints = [family, endpoint].map(ScopeId::endpoint);
    match endpoints.contains(&id) {
        true => InvalidatedBy::Endpoint,
        false => InvalidatedBy::Tag,
    }
}
