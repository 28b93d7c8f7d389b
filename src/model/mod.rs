//! The checker of promise 2, by chance and by a seed: two or three caches, all of
//! larder but its Redis client, on a Redis in memory, with everything that can go
//! wrong on the way there. A run is one thread under a clock that jumps from timer to
//! timer, so its seed alone decides what happens, and a seed that fails fails again.
//!
//! A violation is a read that began after an `invalidate` had returned `Ok` and got a
//! body whose handler began before that call. With all rules there is none; without
//! any one of them (`generation/rules.rs`, `Lapse`) the checker finds one.
//!
//! `tests/history.rs` does the same with real servers and no rules left out.

#[cfg(feature = "redis")]
mod honest;
mod host;
mod link;
mod needed;
mod run;
mod server;
mod silent;
mod tests;
mod world;
