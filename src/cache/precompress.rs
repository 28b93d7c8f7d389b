//! Coded variants of entries in memory, made in the background.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::engine::Engine;
use crate::entry::{Held, coding};
use crate::policy::Compiled;

impl Engine {
    /// Codes an entry's body off the request's path, a few at a time, and puts
    /// the variants beside it. Who waits for a turn keeps no body: what memory lets go
    /// meanwhile is not coded. Where too many wait, an entry stays as it is.
    pub(super) fn precompress(
        self: &Arc<Self>,
        held: &Arc<Held>,
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
        let held = Arc::downgrade(held);
        self.tasks.spawn(&runtime, async move {
            let Ok(waits) = engine.to_code.try_acquire() else {
                return;
            };
            let Ok(turn) = engine.coders.acquire().await else {
                return; // never closed
            };
            drop(waits);
            let Some(held) = held.upgrade() else {
                return;
            };
            let entry = held.entry.clone();
            let code = move || coding::code_all(&entry, &policy.precompress);
            if let Ok(coded) = blocking.spawn_blocking(code).await
                && !coded.is_empty()
            {
                let with = held.with(coded);
                if engine.memory.has_room(with.weight()) {
                    engine.memory.replace(&held, Arc::new(with));
                    engine.memory.fit();
                }
            }
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response, header};
    use http_body_util::{BodyExt, Full};
    use tower::{ServiceExt, service_fn};
    use tower_layer::Layer;

    use crate::entry::Coding;
    use crate::{Cache, Policy, everything, minutes};

    #[tokio::test]
    async fn what_waits_to_be_coded_keeps_no_body() {
        let cache = Cache::builder().memory(1 << 20).build().unwrap();
        let policy = Policy::ttl(minutes(1)).precompress([Coding::Gzip]);
        let answer = |_: Request<String>| async {
            let body = Full::new(Bytes::from("x".repeat(4096)));
            let response = Response::builder().header(header::CONTENT_TYPE, "text/plain");
            Ok::<_, Infallible>(response.body(body).unwrap())
        };
        let service = cache.layer(policy).layer(service_fn(answer));
        let turns = cache.engine().coders.acquire_many(2).await.unwrap();
        let request = Request::get("/x").header("host", "a").body(String::new());
        let response = service.oneshot(request.unwrap()).await.unwrap();
        let _ = response.into_body().collect().await.unwrap();
        let mut body = Bytes::new();
        cache.engine().memory.each(|held| {
            body = held.entry.body.clone();
            true
        });
        assert_eq!(body.len(), 4096);
        let gone = cache.invalidate(everything()).await.unwrap();
        assert_eq!(gone.memory, 1);
        assert!(body.is_unique(), "nobody else keeps it");
        drop(turns);
        cache.idle().await;
    }
}
