//! Why a request would be answered as it would be: looked at step by step, with
//! nothing filled, kept, counted or renewed.

mod explanation;
mod find;
mod outline;
mod steps;
mod texts;
mod usable;

pub use explanation::{About, Explanation, Step, Would};
pub(crate) use find::Layers;
