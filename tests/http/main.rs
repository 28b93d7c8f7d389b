//! `Policy::http()` by the RFCs, through the public API, on memory and on a
//! real Redis. One topic a module; `site` is what they share.

#[path = "../support/mod.rs"]
mod support;

mod conditional;
mod directives;
mod fields;
mod freshness;
mod invalidation;
mod model;
mod ranges;
mod route;
mod site;
mod stale;
mod status;
mod storing;
mod targeted;
mod validation;
mod vary;
