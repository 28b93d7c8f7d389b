//! From a loaded value to an entry.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::ask::Ask;
use super::space::{Belongs, Space};
use crate::cache::guard::{self, Callback};
use crate::cache::{Fill, Leased, Placed};
use crate::clock::millis;
use crate::entry::{Entry, Fields, Held};
use crate::flight::{Landed, Landing};
use crate::generation::Generation;
use crate::key::ScopeId;
use crate::outcome::Refusal;
use crate::policy::freshness::{Lifetime, Rules};
use crate::store::Group;

/// A value that was just made.
pub(super) struct Made<T> {
    pub(super) value: Arc<T>,
    /// From before its load began.
    pub(super) note: Generation,
    /// When that was (`Flights::begins`).
    pub(super) began: i64,
    /// How long that took.
    pub(super) took: Duration,
    pub(super) lease: Option<Leased>,
    pub(super) placed: Option<Placed>,
    /// Dropped when the store has it.
    pub(super) written: Option<oneshot::Sender<()>>,
}

/// Runs a loader: what it gives, when it began (`Flights::begins`), and how long it
/// took.
pub(super) async fn timed<T, S, L, E>(
    space: &Space<S>,
    loader: impl FnOnce() -> L,
) -> Result<(T, (i64, Duration)), E>
where
    L: Future<Output = Result<T, E>>,
{
    let (engine, counts) = (&space.engine, &space.counts);
    let started = engine.now();
    let began = engine.flights.begins(started);
    let filling = counts.filling(&*engine.clock);
    let loaded = loader().await;
    filling.ended(&*engine.clock);
    loaded.map(|value| (value, (began, engine.since(started))))
}

impl<T: Send + Sync + 'static> Ask<T> {
    /// Stores what was made, if it may be, and lands its flight: those who wait
    /// for it have it in any case. Tells why it is not stored.
    pub(super) fn store(&self, made: Made<T>, landing: Landing) -> Result<(), Refusal> {
        let engine = &self.space.engine;
        let written = self.written(&made.value);
        let tags = self.tags(&made.value);
        let refused = match (&written, &tags) {
            (Err(refusal), _) | (_, Err(refusal)) => Some(*refusal),
            _ => None,
        };
        let (note, took) = (made.note, made.took);
        let body = written.unwrap_or_default();
        let holds = self.space.to_hold(&made.value, body.len(), 0);
        let tags = tags.unwrap_or_default();
        let entry = self.entry(body, &tags, note, took);
        let weight = Held::weight_of(&entry, Some(holds.weight));
        let in_memory = holds.kept && engine.memory.has_room(weight);
        let has_place = in_memory || engine.is_written(self.space.policy.memory_only);
        let refused = refused.or_else(|| (!has_place).then_some(Refusal::NoRoom));
        let known = self.space.known_tags(&self.seeds);
        let groups = known.chain(tags).map(Group).collect();
        let fill = Fill {
            groups,
            alias: self.leads_to(&entry),
            entry,
            note,
            began: made.began,
            age: 0,
            varies: None,
            policy: Arc::clone(&self.space.policy),
            landing: None,
            lease: made.lease,
            value: Some(holds),
            placed: made.placed,
            written: made.written,
        };
        if let Some(refusal) = refused {
            let held = engine.held(fill.entry, 0, note.number).holding(fill.value);
            landing.make(|_landing| Landed::Stored(Arc::new(held)));
            return Err(refusal);
        }
        landing.make(|landing| {
            let fill = Fill {
                landing: Some(landing),
                ..fill
            };
            match engine.keep(fill, Handle::try_current().ok().as_ref()) {
                Some(held) => Landed::Stored(held),
                None => Landed::Outdated,
            }
        });
        Ok(())
    }

    /// A value as it is written, where it may be stored.
    fn written(&self, value: &T) -> Result<Bytes, Refusal> {
        let (rulings, engine) = (&self.space.rulings, &self.space.engine);
        if let Some(check) = &rulings.store_if
            && guard::call(engine, Callback::StoreIf, || check(&self.key, value)) != Some(true)
        {
            return Err(Refusal::StoreIf);
        }
        let policy = &self.space.policy;
        let alone = engine.store.is_none() || policy.memory_only;
        if alone && rulings.weigh.is_some() && policy.adaptive.is_none() {
            return Ok(Bytes::new()); // nobody reads it, or compares it with the next
        }
        let bytes = match guard::call(engine, Callback::Codec, || self.space.codec.encode(value)) {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                if let Some(times) = engine.faults.unencoded.happened(engine.now()) {
                    tracing::warn!(target: "larder", namespace = %self.space.name, %error, times, "a value cannot be written");
                }
                return Err(Refusal::Malformed);
            }
            None => return Err(Refusal::Malformed),
        };
        match bytes.len() <= self.space.policy.max_body {
            true => Ok(bytes.into()),
            false => Err(Refusal::TooLarge),
        }
    }

    /// The tags that only the value tells.
    fn tags(&self, value: &T) -> Result<Vec<ScopeId>, Refusal> {
        let Some(tags_of) = &self.space.rulings.tags_of else {
            return Ok(Vec::new());
        };
        let engine = &self.space.engine;
        let tags = guard::call(engine, Callback::TagsOf, || tags_of(&self.key, value));
        let tags = tags.ok_or(Refusal::Tags)?;
        match tags.iter().any(String::is_empty) || tags.len() > 1_000 {
            true => Err(Refusal::Tags),
            false => {
                let tenant = self.space.tenant.as_deref();
                let ids = tags.iter().map(|tag| ScopeId::tag(tenant, tag));
                Ok(ids.collect())
            }
        }
    }

    fn entry(&self, body: Bytes, tags: &[ScopeId], note: Generation, took: Duration) -> Entry {
        let (space, engine) = (&self.space, &self.space.engine);
        let Belongs { name, mut scopes } = self.belongs();
        scopes.extend_from_slice(tags);
        Entry {
            canonical: Arc::clone(&self.question.canonical),
            key: name,
            scopes: scopes.into(),
            status: StatusCode::OK,
            fields: Fields::empty(),
            body,
            created: engine.wall(),
            lifetime: self.lifetime(),
            rules: Rules::VALUE,
            took: match space.policy.early {
                true => u32::try_from(millis(took)).unwrap_or(u32::MAX),
                false => 0, // as if it cost nothing to renew it late
            },
            stamp: note.stamp,
        }
    }

    /// What leads to an entry, for other keys of the same content.
    fn leads_to(&self, entry: &Entry) -> Option<Entry> {
        let key = self.alias.clone()?;
        Some(Entry {
            key,
            body: Bytes::copy_from_slice(entry.key.as_str().as_bytes()),
            rules: Rules::VALUE.and(Rules::ALIAS),
            ..entry.clone()
        })
    }

    fn lifetime(&self) -> Lifetime {
        let policy = &self.space.policy;
        let chance = self.space.engine.dice.chance();
        let adapted = self.space.counts.watch.adapted(policy);
        let ttl = adapted.or(policy.ttl).unwrap_or_default();
        let fresh = millis(ttl.mul_f64(1.0 - policy.jitter * chance)).max(1);
        let window = |window: Option<Duration>| {
            let window = window.map_or(0, millis);
            fresh.saturating_add(window)
        };
        let (stale, error) = (
            window(policy.stale_while_revalidate),
            window(policy.stale_if_error),
        );
        Lifetime {
            fresh,
            stale,
            error,
            keep: stale.max(error),
        }
        .bounded()
    }
}
