//! Warming of typed values.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use super::list::WarmList;
use super::mark::Warms;
use super::run::{Warming, too_long};
use super::settings::Warmup;
use crate::clock::millis;
use crate::values::{ValueKey, Values};

impl Warmup {
    /// Loads the value under each key that is not fresh, and stores it.
    ///
    /// ```
    /// # async fn run(cache: larder::Cache) -> Result<(), larder::ConfigError> {
    /// let scenes = cache.values::<String>("scene").build()?;
    /// let run = cache.warm().concurrency(3).values(&scenes, ["p1:s1", "p1:s2"], |key| async move {
    ///     Ok::<_, std::io::Error>(format!("the scene {key}")) // from the database
    /// });
    /// println!("{}", run.report().await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn values<T, K, F, E>(
        self,
        values: &Values<T>,
        keys: impl Into<WarmList<K>>,
        load: impl Fn(K) -> F + Send + Sync + 'static,
    ) -> Warming
    where
        T: Send + Sync + 'static,
        K: Clone + Into<ValueKey<'static>> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        self.values_by(values, keys, |key: &K| key.clone().into(), load)
    }

    /// The same for items whose key `key` tells.
    pub fn values_by<T, I, F, E>(
        self,
        values: &Values<T>,
        items: impl Into<WarmList<I>>,
        key: impl Fn(&I) -> ValueKey<'static> + Send + Sync + 'static,
        load: impl Fn(I) -> F + Send + Sync + 'static,
    ) -> Warming
    where
        T: Send + Sync + 'static,
        I: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (values, enough, longest) = (values.clone(), millis(self.enough), self.timeout);
        let (key, load) = (Arc::new(key), Arc::new(load));
        self.begin(items.into(), move |item, turns| {
            let (values, warms) = (values.clone(), Warms::new(turns, enough));
            let (key, load) = (Arc::clone(&key), Arc::clone(&load));
            async move {
                let key = key(&item);
                let filling = values.fill_ahead(key, &warms, move || load(item));
                let told = warms.within(longest, filling).await;
                told.unwrap_or_else(|| too_long(longest))
            }
        })
    }
}
