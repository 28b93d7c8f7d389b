//! Writing to the shared store what a fill has made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Engine, Writes};
use super::keep::Fill;
use super::lease::Leased;
use crate::entry::{Entry, codec};
use crate::error::{StoreError, StoreErrorKind};
use crate::generation::{Rule, keeps};
use crate::invalidate::Target;
use crate::key::{Key, ScopeId};
use crate::store::{Record, Removal, Store};

impl Engine {
    /// Writes an entry to the store. Of two writes of one key the earlier note
    /// counts until both have ended.
    pub(super) async fn write(self: &Arc<Self>, mut fill: Fill) {
        if fill.placed.is_none() {
            let alias = fill.alias.as_ref().map(|alias| &alias.key);
            fill.placed = Some(self.place(&fill.entry.key, alias).await);
        }
        let key = fill.entry.key.clone();
        {
            let mut writing = self.writing();
            let writes = writing.entry(key.clone()).or_insert(Writes {
                note: fill.note,
                count: 0,
            });
            writes.note = writes.note.earlier(fill.note);
            writes.count += 1;
        }
        let _ended = Ended(self, key);
        self.write_noted(fill).await;
    }

    /// Writes an entry to the store, and takes it back if an invalidation came
    /// in between (rule 4 of `generation/mod.rs`).
    async fn write_noted(self: &Arc<Self>, fill: Fill) {
        let Some(store) = &self.store else { return };
        let entry = &fill.entry;
        let ttl = Duration::from_millis(entry.lifetime.keep.saturating_sub(fill.age));
        if !self.generations.valid(entry, fill.note.number) {
            return self.end_replaced(&fill).await;
        }
        if self.pulse.is_some() && !entry.stamp.is_known() {
            return self.unwritten(fill.replaced(), true).await; // who could tell whether it holds?
        }
        let Some(frame) = codec::encode(entry, &self.wire) else {
            tracing::error!(target: "larder", "no randomness: an entry cannot be sealed");
            return self.unwritten(fill.replaced(), false).await;
        };
        match may_write(&**store, &fill).await {
            Ok(true) => {}
            Ok(false) => return self.overtaken(entry),
            unknown => return self.counted(unknown), // memory keeps it
        }
        let leads = self.lead(&**store, &fill, ttl).await;
        // one that was given, not filled: what is being filled comes too late
        let replaces = fill.written.is_some().then_some(fill.place());
        let record = Record {
            key: &entry.key,
            frame: frame.clone(),
            ttl,
            groups: &fill.groups,
            lease: fill.lease.as_ref().map(Leased::lease),
            leads: false,
            replaces,
        };
        match store.put(record).await {
            Err(error) if is_fenced(&error) => return self.overtaken(entry), // nor is it to be taken back
            Ok(()) => {
                if let Some(lease) = &fill.lease {
                    lease.ended();
                }
                if !leads {
                    self.unwritten(fill.replaced().skip(1), false).await; // it answers by now
                }
            }
            Err(error) => {
                let is_away = does_not_answer(&error);
                self.counted::<()>(Err(error));
                self.unwritten(fill.replaced(), is_away).await;
            }
        }
        if !self.generations.valid(entry, fill.note.number) && keeps(Rule::TakenBack) {
            if let Some(pulse) = &self.pulse {
                return self.counted(pulse.fence.take_back(&entry.key, &frame).await);
            }
            self.counted(store.remove(Removal::Key(&entry.key)).await);
            // who has read it meanwhile is refused by this once it is hidden no more
            self.fence(&Target::of_group(ScopeId::key(entry.key.as_str())));
        }
    }

    /// Writes what leads to an entry. `false` where something has failed.
    async fn lead(&self, store: &dyn Store, fill: &Fill, ttl: Duration) -> bool {
        let mut leads = true;
        for (key, frame) in self.leading(fill) {
            let leading = Record {
                key,
                frame,
                ttl,
                groups: &fill.groups,
                lease: None,
                leads: true,
                replaces: fill.written.is_some().then_some(key), // whoever was later by his clock
            };
            let led = store.put(leading).await;
            if !led.as_ref().is_err_and(is_fenced) {
                leads &= led.is_ok();
                self.counted(led); // else one that was made later leads there
            }
        }
        leads
    }

    /// It was invalidated meanwhile. Where it was given, what it replaces has ended too, and what
    /// is being loaded since before that, elsewhere perhaps.
    #[cold]
    pub(super) async fn end_replaced(self: &Arc<Self>, fill: &Fill) {
        let Some(pulse) = self.pulse.as_ref().filter(|_| fill.written.is_some()) else {
            return self.unwritten(fill.replaced(), false).await;
        };
        fill.replaced().for_each(|name| self.supersede(pulse, name));
        let told = self.tell_kept(pulse).await;
        self.counted(told); // else it is told later
    }

    /// The store has not taken it. One that was given takes the place of what lies under its
    /// `names` all the same: that is removed, or invalidated as soon as the clock can be told.
    /// A store that `is_away` is not asked for it.
    #[cold]
    async fn unwritten(self: &Arc<Self>, names: impl Iterator<Item = &Key>, mut is_away: bool) {
        let Some(store) = &self.store else { return };
        for name in names {
            if !is_away {
                let removed = store.remove(Removal::Key(name)).await;
                let Err(error) = &removed else { continue };
                is_away = does_not_answer(error);
                self.counted(removed);
            }
            match &self.pulse {
                Some(pulse) => self.supersede(pulse, name),
                None if is_away => self.unlink(name.clone()),
                None => {}
            }
        }
    }

    #[cold]
    fn overtaken(&self, entry: &Entry) {
        tracing::debug!(target: "larder", key = %entry.key, "another instance has filled it");
        self.memory.remove_upto(entry); // what lies in the store counts
    }

    /// What leads to an entry: what answers vary on, or where the value of a content
    /// lies.
    fn leading<'a>(&self, fill: &'a Fill) -> Vec<(&'a Key, Bytes)> {
        let life = (fill.entry.created, fill.entry.lifetime.keep);
        let varies = fill.varies.as_ref().and_then(|varies| {
            let (of, names) = ((&*varies.canonical, &*fill.entry.scopes), &varies.names);
            let frame = codec::encode_vary((&varies.key, &self.wire), of, names, life.0, life.1);
            Some((&varies.key, frame?))
        });
        let alias = fill.alias.as_ref();
        let alias = alias.and_then(|alias| Some((&alias.key, codec::encode(alias, &self.wire)?)));
        varies.into_iter().chain(alias).collect()
    }
}

/// Whether a fill still has its right, where the write itself would not tell: one that has
/// lapsed, and what is written beforehand without it (a value's other name).
async fn may_write(store: &dyn Store, fill: &Fill) -> Result<bool, StoreError> {
    match &fill.lease {
        Some(lease) if lease.has_lapsed() || fill.alias.is_some() => {
            lease.is_held(store, fill.entry.took > 0).await
        }
        _ => Ok(true),
    }
}

/// Another one that counts lies there, or may.
fn is_fenced(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Fenced
}

/// Who asks it again waits as long again.
fn does_not_answer(error: &StoreError) -> bool {
    use StoreErrorKind::{Timeout, Unavailable};
    matches!(error.kind(), Timeout | Unavailable)
}

/// Ends the note of a write, also where its runtime ends first.
struct Ended<'a>(&'a Engine, Key);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut writing = self.0.writing();
        if let Some(writes) = writing.get_mut(&self.1) {
            writes.count -= 1;
            if writes.count == 0 {
                writing.remove(&self.1);
            }
        }
    }
}
