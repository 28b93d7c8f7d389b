//! Wake-ups: those who wait for another instance's fill are told by Redis when
//! it has ended, and look for themselves now and then all the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::link::Link;
use super::push::Topic;
use crate::key::Key;
use crate::store::fence::Told;

/// Who is told looks for himself after this, jittered by half.
const TOLD: Duration = Duration::from_millis(200);
/// Who is not told, after this.
const UNTOLD: Duration = Duration::from_millis(25);

/// Who waits in this process, and whether Redis tells.
#[derive(Default)]
pub(super) struct Wakes {
    waiting: Arc<Mutex<Waiting>>,
    listening: Arc<AtomicBool>,
    told: Arc<AtomicBool>,
    listener: Mutex<Option<AbortHandle>>,
}

type Waiting = HashMap<String, Arc<Waiter>>;

#[derive(Default)]
struct Waiter {
    woken: Notify,
}

/// One who waits, until it is dropped.
struct Seat<'a>(&'a Wakes, &'a str, Arc<Waiter>);

impl Wakes {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the fill of a key has ended, or some time later.
    pub(super) async fn wait(&self, link: &Link, channel: String, key: &Key) {
        let seat = self.sit(key.as_str());
        self.listen(link, channel);
        let pause = match self.told.load(Ordering::Acquire) {
            true => TOLD,
            false => UNTOLD,
        };
        let _ = tokio::time::timeout(jittered(pause), seat.2.woken.notified()).await;
    }

    fn sit<'a>(&'a self, key: &'a str) -> Seat<'a> {
        let waiter = Arc::clone(self.waiting().entry(key.to_owned()).or_default());
        Seat(self, key, waiter)
    }

    /// Begins to listen, unless somebody does already. It ends with the
    /// connection; the next who waits begins again.
    fn listen(&self, link: &Link, channel: String) {
        if self.listening.swap(true, Ordering::AcqRel) {
            return;
        }
        let (waiting, told) = (Arc::clone(&self.waiting), Arc::clone(&self.told));
        let ended = Ended(Arc::clone(&self.listening), Arc::clone(&self.told));
        let listen = link.listen(Topic::channel(channel));
        let listener = tokio::spawn(async move {
            let _ended = ended;
            let Ok(mut pushes) = listen.await else {
                tokio::time::sleep(TOLD).await; // not at once again
                return;
            };
            told.store(true, Ordering::Release);
            while let Some(push) = pushes.next().await {
                let Told::Message(key) = push else { continue };
                let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let waiter = std::str::from_utf8(&key)
                    .ok()
                    .and_then(|key| waiting.get(key));
                if let Some(waiter) = waiter {
                    waiter.woken.notify_waiters();
                }
            }
        });
        let mut last = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(listener.abort_handle());
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let listener = self
            .listener
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener {
            listener.abort();
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        // this one and the table's
        if Arc::strong_count(&self.2) <= 2 {
            waiting.remove(self.1);
        }
    }
}

struct Ended(Arc<AtomicBool>, Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.1.store(false, Ordering::Release);
        self.0.store(false, Ordering::Release);
    }
}

/// Between half of a time and one and a half of it: instances do not poll in step.
fn jittered(pause: Duration) -> Duration {
    let random = ahash::RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1_000).unwrap_or(0);
    pause / 2 + pause * share / 1_000
}
