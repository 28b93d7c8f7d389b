//! The Redis tier: one shared connection, every operation with a bound in
//! time, a breaker so that an outage does not cost every request a timeout.

mod breaker;
#[cfg(feature = "cluster")]
mod cluster;
mod connect;
mod counting;
mod entries;
mod erase;
mod fence;
mod insight;
mod lease;
mod ledger;
mod line;
mod link;
mod mend;
mod nodes;
mod own;
mod push;
mod reads;
mod releases;
mod scan;
mod scripts;
#[cfg(feature = "sentinel")]
mod sentinel;
mod single;
mod tier;
mod url;
mod wakes;
mod written;

// each topology is there, or says which feature it needs
#[cfg(not(feature = "cluster"))]
#[path = "no_cluster.rs"]
mod cluster;
#[cfg(not(feature = "sentinel"))]
#[path = "no_sentinel.rs"]
mod sentinel;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use tier::RedisStore;
