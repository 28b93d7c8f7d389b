//! Which release has filled what: told behind the requests' backs, with the counts.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::outcome::Cause;
use crate::policy::beside_release;
use crate::stats::DAY;
use crate::store::ledger::Ledger;

impl Engine {
    /// Where releases are told apart.
    fn releases(&self) -> Option<(&dyn Ledger, String)> {
        let release = &self.context.release;
        let ledger = self.ledger().filter(|_| !release.is_empty())?;
        let hash = Sha256::digest(release);
        Some((
            ledger,
            hash[..8].iter().map(|b| format!("{b:02x}")).collect(),
        ))
    }

    /// An entry was kept.
    pub(super) fn has_filled(&self, entry: &Entry) {
        let tells = self.pulse.is_some() && !self.context.release.is_empty();
        if tells {
            let filled = &self.counters.filled;
            filled.filled(beside_release(&entry.canonical));
        }
    }

    /// Why nothing is there, of which this process remembers nothing.
    pub(super) fn filled_elsewhere(&self, place: &[u8]) -> Cause {
        match self.pulse.is_some() && !self.context.release.is_empty() {
            true => self.counters.filled.cause(beside_release(place)),
            false => Cause::New,
        }
    }

    /// Tells the others what this release has filled.
    pub(super) async fn tell_filled(&self) -> Result<(), StoreError> {
        let Some((ledger, release)) = self.releases() else {
            return Ok(());
        };
        let filled = &self.counters.filled;
        let bits = filled.take();
        if bits.is_empty() {
            return Ok(());
        }
        let told = ledger.tell_filled(&release, self.slot_time() / DAY, &bits);
        told.await.inspect_err(|_| filled.put_back(bits))
    }

    /// Learns what others have filled.
    pub(super) async fn learn_filled(&self) {
        let Some((ledger, release)) = self.releases() else {
            return;
        };
        match ledger.filled(&release, self.slot_time() / DAY).await {
            Ok(maps) => self.counters.filled.learn(maps),
            Err(error) => {
                tracing::debug!(target: "larder", %error, "what other releases have filled is not known");
            }
        }
    }

    /// The same, behind a request's back.
    pub(super) fn begin_learning(self: &Arc<Self>, runtime: &Handle) {
        if self.releases().is_some() {
            let engine = Arc::clone(self);
            let learning = async move { engine.learn_filled().await };
            self.tasks.spawn(runtime, learning);
        }
    }
}
