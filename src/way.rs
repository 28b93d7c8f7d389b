//! [`Serve`]: a request on its way. `serve.rs` tells the story; the files that it
//! names have its chapters.

use std::sync::Arc;

use crate::shared::Shared;
use crate::stats::{Counts, Ticket};

/// One request on its way.
pub(crate) struct Serve<S> {
    pub(crate) inner: S,
    pub(crate) shared: Arc<Shared>,
    /// Those of the request's endpoint.
    pub(crate) counts: Arc<Counts>,
    /// What the request is counted by.
    pub(crate) ticket: Arc<Ticket>,
    /// A layer of the same cache is further out.
    pub(crate) nested: bool,
    /// Behind a request's back: it has its answer already.
    pub(crate) behind: bool,
}
