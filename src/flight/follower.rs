//! Those who follow.

use std::sync::Arc;

use super::{Flight, Landed, Opened, Reader};

/// One who waits for another's fill.
pub(crate) struct Follower {
    flight: Arc<Flight>,
    reader: Reader,
}

impl Follower {
    pub(super) fn join(flight: Arc<Flight>, most: usize) -> Option<Self> {
        {
            let mut state = flight.state();
            if state.shed || state.followers >= most {
                return None;
            }
            state.followers += 1;
        }
        flight.detach(); // the leader's client may stall from now on
        let reader = flight.reader();
        Some(Self { flight, reader })
    }

    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    pub(super) fn is_read(&self) -> bool {
        self.flight.is_read(&self.reader)
    }

    pub(super) fn left(&self) -> Option<u64> {
        self.flight.left_of(&self.reader)
    }

    pub(super) fn parts(&mut self) -> (&Arc<Flight>, &mut Reader) {
        (&self.flight, &mut self.reader)
    }

    /// Waits until there is something to serve, or nothing to wait for. A
    /// response that is complete is served as stored; one that may be sent
    /// before is served as it comes, unless the `whole` is wanted.
    pub(crate) async fn known(
        &self,
        whole: impl Fn(&Opened) -> bool,
    ) -> (Option<Arc<Opened>>, Option<Landed>) {
        let comes = |opened: &Arc<Opened>| opened.streams && !whole(opened);
        std::future::poll_fn(|cx| {
            self.flight.poll_known(&self.reader, cx, |opened, landed| {
                landed.is_some() || opened.is_some_and(comes)
            })
        })
        .await
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flight.forget(&self.reader);
        self.flight.left(|state| state.followers -= 1);
    }
}
