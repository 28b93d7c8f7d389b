//! The clocks of the hosts: none shows what another does.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::server::Lapse;
use super::world::{DAY, World};
use crate::clock::Clock;

/// A process' clock.
pub(super) struct HostClock {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
}

impl std::fmt::Debug for HostClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostClock({})", self.host)
    }
}

impl Clock for HostClock {
    fn monotonic(&self) -> Duration {
        let still = match self.world.lapse(Lapse::SuspendedClock) {
            true => self.world.stood(self.host),
            false => 0,
        };
        let ahead = 1_000_000 + 777 * self.host as u64;
        Duration::from_millis(ahead + self.world.now().saturating_sub(still))
    }

    fn wall(&self) -> SystemTime {
        let wall = i64::try_from(self.world.now()).unwrap() + self.world.state().wall;
        let ahead = wall + 50 * i64::try_from(self.host).unwrap();
        let since = DAY.saturating_add_signed(ahead);
        SystemTime::UNIX_EPOCH + Duration::from_millis(since)
    }
}
