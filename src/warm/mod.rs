//! Warming: filling ahead of the requests that will ask.
//!
//! 1. A run works through a list in a task of its own, so many items at a time
//!    ([`Warmup::concurrency`]) and, where that is asked, so many in a time
//!    ([`Warmup::every`]). No request waits for it: a miss of what is being warmed
//!    shares that fill, as it would any other's.
//! 2. What is fresh is skipped, and costs neither a turn nor a run of the handler.
//!    What another request or another process is filling is left to it.
//! 3. Warming is no traffic: it counts neither as hit nor as miss.
//! 4. A failure ends its item, and the run goes on. A bad line of a list is a
//!    failure with its number.
//! 5. The run tells each step as it is done, and all of it at its end. It can be
//!    cancelled: nothing more is begun, what has begun comes to its end.

mod list;
mod mark;
mod report;
mod requests;
#[cfg(feature = "axum")]
mod router;
mod run;
mod settings;
mod turns;
#[cfg(feature = "values")]
mod values;

pub use list::WarmList;
pub(crate) use mark::{Told, Warms, of};
pub use report::{WarmFailure, WarmReport, WarmStep, Warmed};
pub use run::Warming;
pub use settings::Warmup;
