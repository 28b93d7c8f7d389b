//! Coded variants of entries in memory, made in the background.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::engine::Engine;
use crate::entry::{Held, coding};
use crate::policy::Compiled;

impl Engine {
    /// Codes an entry's body off the request's path, a few at a time, and puts
    /// the variants beside it.
    pub(super) fn precompress(
        self: &Arc<Self>,
        held: Arc<Held>,
        policy: &Arc<Compiled>,
        runtime: Option<&Handle>,
    ) {
        let entry = &held.entry;
        let headers = entry.fields.to_headers();
        let codable = coding::is_codable(entry.status, &headers, entry.rules, entry.body.len());
        let (false, true, Some(runtime)) = (policy.precompress.is_empty(), codable, runtime) else {
            return;
        };
        let (engine, policy) = (Arc::clone(self), Arc::clone(policy));
        let (runtime, blocking) = (runtime.clone(), runtime.clone());
        self.tasks.spawn(&runtime, async move {
            let Ok(turn) = engine.coders.acquire().await else {
                return; // never closed
            };
            let entry = held.entry.clone();
            let code = move || coding::code_all(&entry, &policy.precompress);
            if let Ok(coded) = blocking.spawn_blocking(code).await
                && !coded.is_empty()
            {
                engine.memory.replace(&held, Arc::new(held.with(coded)));
            }
            drop(turn);
        });
    }
}
