//! What the cache tells of itself: health, servers, entries.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::engine::Engine;
use super::handle::Cache;
use crate::entry::Held;
use crate::entry::codec::Peek;
use crate::error::StoreError;
use crate::generation::{Scoped, Stamp, Standing};
use crate::inspect::{
    EntryInfo, EntryPage, Health, InspectError, Instance, Server, StoreHealth, Topology,
};
use crate::invalidate::{Pattern, pattern_in};
use crate::key::{Key, ScopeId};
use crate::outcome::Tier;
use crate::policy::freshness::Lifetime;
use crate::store::Store;

/// Entries of memory on one page.
const PAGE: usize = 100;

impl Cache {
    /// The first part of every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.engine.context.prefix
    }

    /// Milliseconds since 1970.
    #[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "the page shows it"))]
    pub(crate) fn wall(&self) -> u64 {
        self.engine.wall()
    }

    /// How the cache is: whether Redis answers, and how fast just now, how the other
    /// processes are, and whether it is on. Takes one operation of the store, and where
    /// there is Redis a second one, and a beat if the last one has failed; each ends within the
    /// [`operation_timeout`](crate::CacheBuilder::operation_timeout).
    pub async fn health(&self) -> Health {
        let engine = &self.engine;
        let pulse = engine.pulse.as_ref();
        if pulse.is_some_and(|pulse| pulse.trouble.why().is_some()) {
            engine.lease().await; // it may be over
        }
        let store = match &engine.store {
            Some(store) => Some(engine.store_health(&**store).await),
            None => None,
        };
        let answers = store
            .as_ref()
            .is_none_or(|store| store.round_trip.is_some());
        Health {
            enabled: engine.enabled(),
            store,
            instances: engine.instances(answers).await,
            untold: pulse.map_or(0, |pulse| pulse.queue.len()),
        }
    }

    /// What the primaries of the Redis tier say of themselves (`INFO`, and `CONFIG GET`
    /// where that is allowed); empty without one.
    ///
    /// # Errors
    ///
    /// If one of them does not answer.
    pub async fn servers(&self) -> Result<Vec<Server>, StoreError> {
        match &self.engine.pulse {
            Some(pulse) => pulse.fence.servers().await,
            None => Ok(Vec::new()),
        }
    }

    /// Some of the entries whose keys match a pattern, as in
    /// [`invalidate`](Self::invalidate): those of Redis, by SCAN, or of memory where
    /// there is no Redis. About a hundred at a time; [`EntryPage::next`] is the cursor
    /// to go on from. What expires or is written meanwhile may be there or not.
    ///
    /// # Errors
    ///
    /// If the pattern or the cursor makes no sense, or if Redis does not answer.
    pub async fn entries(
        &self,
        pattern: &str,
        cursor: Option<&str>,
    ) -> Result<EntryPage, InspectError> {
        let engine = &self.engine;
        let Some(pulse) = &engine.pulse else {
            return self.memory_entries(pattern, cursor);
        };
        let pattern = engine.pattern(pattern)?;
        if let Some(cursor) = cursor.filter(|cursor| !pulse.fence.is_cursor(cursor)) {
            return Err(no_cursor(cursor));
        }
        let listed = pulse.fence.list(pattern.as_str(), cursor).await?;
        let entries = listed.entries.into_iter();
        Ok(EntryPage {
            entries: entries
                .filter_map(|(name, head)| engine.of_frame(Key::new(name), &head, false))
                .collect(),
            next: listed.next,
        })
    }

    /// The same of this process' memory. Takes time in proportion to all that it holds. Its cursor
    /// is a place: where entries come or go meanwhile, others may be missed, or be there twice.
    ///
    /// # Errors
    ///
    /// If the pattern or the cursor makes no sense.
    pub fn memory_entries(
        &self,
        pattern: &str,
        cursor: Option<&str>,
    ) -> Result<EntryPage, InspectError> {
        let engine = &self.engine;
        let pattern = engine.pattern(pattern)?;
        let first: usize = match cursor {
            None => 0,
            Some(cursor) => cursor.parse().map_err(|_| no_cursor(cursor))?,
        };
        let (mut at, mut entries, mut next) = (0, Vec::new(), None);
        engine.memory.each(|held| {
            at += 1;
            if at <= first || !pattern.matches(held.entry.name()) {
                return true;
            }
            if entries.len() == PAGE {
                next = Some((at - 1).to_string());
                return false;
            }
            entries.push(engine.of_held(held));
            true
        });
        Ok(EntryPage { entries, next })
    }

    /// What is stored under a key: in memory, or, where that is not fresh, in the shared store.
    /// None where nothing is. It is not served, not counted, and lives no longer for it. Takes
    /// time in proportion to what memory holds.
    ///
    /// # Errors
    ///
    /// If the key has another form than `<prefix>:<endpoint>:<hash>` or
    /// `<namespace>:<key>`, or if the store
    /// does not answer.
    pub async fn entry(&self, key: &str) -> Result<Option<EntryInfo>, InspectError> {
        let engine = &self.engine;
        let key = engine.key(key)?;
        let mut found = None;
        engine.memory.each(|held| {
            if held.entry.key == key {
                found = Some(engine.of_held(held));
            }
            found.is_none()
        });
        // others may have renewed what is left here
        let store = engine.store.as_ref().filter(|_| !is_fresh(found.as_ref()));
        let Some(store) = store else {
            return Ok(found);
        };
        match store.get(&key).await {
            Err(error) if found.is_none() => Err(error.into()),
            Err(_) | Ok(None) => Ok(found),
            Ok(Some(frame)) => {
                let there = engine.of_frame(key, &frame, true);
                let there = there.filter(|there| answers_before(there, found.as_ref()));
                Ok(there.or(found))
            }
        }
    }
}

fn is_fresh(entry: Option<&EntryInfo>) -> bool {
    entry.is_some_and(|entry| entry.valid == Some(true) && !entry.ttl.is_zero())
}

/// Of two that are not fresh a request is given the younger.
fn answers_before(there: &EntryInfo, here: Option<&EntryInfo>) -> bool {
    let valid = |entry: &&EntryInfo| entry.valid == Some(true);
    is_fresh(Some(there))
        || here
            .filter(valid)
            .is_none_or(|here| valid(&there) && there.age <= here.age)
}

fn no_cursor(text: &str) -> InspectError {
    InspectError::bad(format!("{text:?} is no cursor"))
}

impl Engine {
    fn pattern(&self, text: &str) -> Result<Pattern, InspectError> {
        match pattern_in(text, &self.context) {
            // a class is listed as it is written
            Err(_) if self.context.tenants && text.contains('[') => {
                Pattern::of_user(text, &self.context.prefix)
            }
            other => other,
        }
        .map_err(InspectError::bad)
    }

    fn key(&self, name: &str) -> Result<Key, InspectError> {
        if self.context.namespaces.of(name).is_some() {
            return Ok(Key::new(name)); // a value's
        }
        let rest = name.strip_prefix(self.context.prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix(':'));
        match rest {
            Some(rest) if !rest.starts_with('!') && rest.contains(':') => Ok(Key::new(name)),
            _ => Err(InspectError::bad(format!(
                "key {name:?} is not of the form \"{}:<endpoint>:<hash>\"",
                self.context.prefix
            ))),
        }
    }

    async fn store_health(&self, store: &dyn Store) -> StoreHealth {
        let (topology, answer) = match &self.pulse {
            Some(pulse) => (pulse.fence.topology(), pulse.fence.ping().await),
            None => {
                let asked = Instant::now();
                let nobodys = Key::new(format!("{}:!health", self.context.prefix));
                let answer = store.get(&nobodys).await.map(|_| asked.elapsed());
                (Topology::Own, answer)
            }
        };
        let pulse = self.pulse.as_ref();
        let error = match &answer {
            Err(error) => Some((error.kind(), error.to_string())),
            Ok(_) => pulse.and_then(|pulse| pulse.trouble.why()),
        };
        let (error, reason) = error.unzip();
        StoreHealth {
            topology,
            error,
            reason,
            round_trip: answer.ok(),
            open_for: pulse.and_then(|pulse| pulse.fence.open_for()),
            listening: pulse.is_some_and(|pulse| pulse.is_listening()),
            leased: pulse.is_none_or(|pulse| pulse.has_lease(self.now())),
        }
    }

    /// The processes that share the clock, this one first.
    async fn instances(&self, answers: bool) -> Vec<Instance> {
        let Some(pulse) = &self.pulse else {
            return vec![this("0".repeat(32), 0)];
        };
        let here = self.generations.stamp(); // before the rows: they can only know more
        let rows = match answers {
            true => pulse.fence.rows(None).await.ok(),
            false => None,
        };
        let rows = rows.map(|rows| rows.rows).unwrap_or_default();
        let who = pulse.who();
        let beats = rows.iter().find(|row| *row.who == *who);
        let mut instances = vec![this(who.to_string(), beats.map_or(0, |row| row.beats))];
        let others = rows.into_iter().filter(|row| *row.who != *who);
        instances.extend(others.map(|row| Instance {
            in_step: !here.is_known() || row.seen.covers(here),
            behind: behind(row.seen, here),
            id: row.who,
            this: false,
            beats: row.beats,
        }));
        instances[1..].sort_by(|a, b| a.id.cmp(&b.id));
        instances
    }

    /// A soft invalidation may have ended its time to live.
    fn left_of(&self, lifetime: Lifetime, standing: Standing, age: u64) -> Lifetime {
        match standing {
            Standing::Aged(aging) => lifetime.ended(aging.ended(age, self.now())),
            Standing::Good | Standing::Gone => lifetime,
        }
    }

    fn of_held(&self, held: &Held) -> EntryInfo {
        let (entry, age) = (&held.entry, held.age(self.now()));
        let standing = self.generations.standing(entry, held.number());
        let lifetime = self.left_of(entry.lifetime, standing, age);
        let left = |end: u64| Duration::from_millis(end.saturating_sub(age));
        EntryInfo {
            key: entry.key.clone(),
            tier: Tier::Memory,
            status: entry.status.as_u16(),
            age: Duration::from_millis(age),
            ttl: left(lifetime.fresh),
            kept: left(lifetime.keep),
            fill: Duration::from_millis(u64::from(entry.took)),
            size: entry.body.len() as u64,
            takes: Some(held.weight()),
            valid: Some(standing != Standing::Gone),
            scopes: entry.scopes.iter().map(|scope| scope.to_hex()).collect(),
            namespace: self.context.namespaces.of(entry.key.as_str()),
        }
    }

    /// What a frame says, of which the head alone may be there.
    fn of_frame(&self, key: Key, frame: &Bytes, whole: bool) -> Option<EntryInfo> {
        let peek = Peek::of(frame)?;
        let scopes = peek.scopes(frame);
        let standing = |scopes: &Vec<ScopeId>| {
            let name = key.as_str();
            let named = Named { scopes, name };
            match self.pulse.is_some() {
                true => self.generations.standing_of(&named, peek.stamp),
                false => Standing::Good,
            }
        };
        let standing = scopes.as_ref().map(standing);
        let scopes = scopes.unwrap_or_default();
        let age = self.wall().saturating_sub(peek.created);
        let known = standing.unwrap_or(Standing::Good);
        let lifetime = self.left_of(peek.lifetime, known, age);
        let left = |end: u64| Duration::from_millis(end.saturating_sub(age));
        Some(EntryInfo {
            tier: Tier::Redis,
            status: peek.status,
            age: Duration::from_millis(age),
            ttl: left(lifetime.fresh),
            kept: left(lifetime.keep),
            fill: Duration::from_millis(u64::from(peek.took)),
            size: peek.size,
            takes: whole.then_some(frame.len() as u64),
            valid: standing.map(|standing| standing != Standing::Gone),
            scopes: scopes.iter().map(|scope| scope.to_hex()).collect(),
            namespace: self.context.namespaces.of(key.as_str()),
            key,
        })
    }
}

/// An entry of which the numbers alone are known.
struct Named<'a> {
    scopes: &'a [ScopeId],
    name: &'a str,
}

impl Scoped for Named<'_> {
    fn scopes(&self) -> &[ScopeId] {
        self.scopes
    }

    fn name(&self) -> &str {
        self.name
    }
}

fn this(id: String, beats: u64) -> Instance {
    Instance {
        id,
        this: true,
        in_step: true,
        behind: Some(0),
        beats,
    }
}

fn behind(seen: Stamp, now: Stamp) -> Option<u64> {
    (seen.epoch == now.epoch).then(|| now.number.saturating_sub(seen.number))
}
