//! A key that a run of warming fills, as `ahead.rs` does for a request.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use http::HeaderMap;

use super::ask::Ask;
use super::handle::Values;
use super::key::ValueKey;
use crate::flight::{Crowded, Entered, Leads};
use crate::outcome::{Bypass, Cause};
use crate::warm::{Told, Warmed, Warms};

impl<T: Send + Sync + 'static> Values<T> {
    /// Fills a key that is not fresh for long enough, counted by nobody.
    pub(crate) async fn fill_ahead<F, L, E>(
        &self,
        key: ValueKey<'_>,
        warms: &Warms,
        loader: F,
    ) -> Told
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<T, E>>,
        E: Display,
    {
        let engine = Arc::clone(&self.space().engine);
        if let Some(reason) = self.space().bypass(&key) {
            return Told::failed(reason);
        }
        let mut ask = Ask::new(self.space(), &key, None);
        let (family, none) = (Arc::clone(&self.space().name), HeaderMap::new());
        let wants = engine.wants(&mut ask.question, &family, &none, warms);
        let Some(mut missed) = wants.await else {
            return Told::Done(Warmed::Fresh);
        };
        match warms.turn().await {
            Err(_) => return Told::Cancelled,
            Ok(false) => {}
            Ok(true) => {
                let wants = engine.wants(&mut ask.question, &family, &none, warms);
                match wants.await {
                    Some(again) => missed = again,
                    None => return Told::Done(Warmed::Fresh),
                }
            }
        }
        if !engine.enabled() {
            return Told::failed(Bypass::Disabled);
        }
        if missed.cause == Cause::StoreError && !engine.serves_alone() {
            return Told::failed(missed.cause);
        }
        let (led, landing) = match ask.enter(Leads::Renews) {
            Entered::Lead(led, landing) => (led, landing),
            Entered::Alone(Crowded::Yes) => return Told::failed(Bypass::Crowded),
            _ => return Told::Done(Warmed::Shared),
        };
        let renewed = ask.renewed(landing, &missed, loader).await;
        drop(led);
        match renewed {
            None => Told::Done(Warmed::Shared),
            Some(Err(error)) => Told::failed(error),
            Some(Ok(Err(refusal))) => Told::failed(format!("not stored: {refusal}")),
            Some(Ok(Ok(()))) => Told::Done(Warmed::Filled),
        }
    }
}
