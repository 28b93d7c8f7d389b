//! The advisor: rules over what is known of servers, policies and traffic, each
//! with what to do about it.
//!
//! Of the servers:
//!
//! 1. `server-unbounded`: no `maxmemory`.
//! 2. `server-noeviction`: a full server would refuse writes.
//! 3. `server-eviction-policy`: another one than is expected.
//! 4. `server-writes-stopped`: the last snapshot failed, and the server refuses writes.
//! 5. `server-fsync-always`: each write waits for the disk.
//!
//! Of the policies:
//!
//! 6. `policy-endless`: a TTL of more than a year, or none of its own at all.
//! 7. `policy-shares-private`: what handlers mark private is shared.
//! 8. `policy-shares-cookies`: what sets a cookie is shared.
//! 9. `policy-stale-forbidden`: it serves stale answers, and they forbid it.
//!
//! Of the traffic, once there is enough of it:
//!
//! 10. `hit-rate-low`: less than is asked for, with the likeliest cause.
//! 11. `endpoint-never-hits`: stored and never found again, or never stored.
//! 12. `memory-small`: what is stored is pushed out before it is asked for again.
//! 13. `codings-do-not-pay`: what is coded beforehand is hardly smaller.

mod advice;
mod facts;
mod policies;
mod rules;
mod servers;
mod traffic;

pub use advice::{Advice, AdviceLevel};
pub(crate) use facts::{Facts, PolicyFacts, Sampled};
pub(crate) use policies::of_policies;
pub(crate) use rules::advise;
pub(crate) use servers::of_servers;
