//! Statistics: what is counted, of each endpoint and in all.

#[path = "../support/mod.rs"]
mod support;

mod analytics;
mod causes;
mod counting;
mod exact;
mod explain;
mod export;
mod observe;
mod prometheus;
mod removals;
mod shared;
mod tools;
