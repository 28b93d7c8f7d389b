//! [`Question`]: what a request asks of the cache, once it has found its policy.

use std::sync::Arc;

use http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use crate::entry::Entry;
use crate::invalidate::tenant_suffix;
use crate::key::{Canonical, Key, Writer};
use crate::policy::accept::best_language;
use crate::policy::conditional::CONDITIONS;
use crate::policy::request::Asks;
use crate::policy::{Compiled, vary};
use crate::store::variants::Variants;

/// A request that takes part in caching.
pub(crate) struct Asked<'a> {
    pub(crate) policy: &'a Arc<Compiled>,
    pub(crate) tenant: Option<String>,
    pub(crate) head: bool,
    pub(crate) asks: Asks,
}

impl Asked<'_> {
    /// Whether its hit is what is stored, and nobody is to be told of it.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        let (policy, watch) = (self.policy, &self.policy.watch);
        let plain = || policy.precompress.is_empty() && !watch.names() && watch.verify <= 0.0;
        !self.asks.conditional && (policy.usual || plain())
    }

    /// The question for which memory had no answer.
    pub(crate) fn question(&self, canonical: &Writer, variant: Option<Box<Writer>>) -> Question {
        Question {
            policy: Arc::clone(self.policy),
            tenant: self.tenant.clone(),
            head: self.head,
            asks: self.asks.clone(),
            canonical: canonical.finish(),
            variant: variant.map(|variant| variant.finish()),
            name: None,
            began: None,
            observed: None,
        }
    }
}

impl Compiled {
    /// Where an answer lies among those that vary on `names`.
    pub(crate) fn variant(
        &self,
        canonical: &[u8],
        names: &[HeaderName],
        headers: &HeaderMap,
    ) -> Writer {
        let mut writer = Writer::resume(canonical);
        vary::write(&mut writer, names, headers, self);
        writer
    }

    /// Where a variant lies that is in the language which a request likes best.
    /// Only under RFC 9111's own rules, and only where language is all that
    /// answers vary on.
    pub(crate) fn spoken(&self, variants: &Variants, headers: &HeaderMap) -> Option<Canonical> {
        let by_language = self.http && *variants.names == [ACCEPT_LANGUAGE];
        let language = by_language.then(|| best_language(headers)).flatten()?;
        variants.speaking(&language)
    }
}

/// A request that memory could not answer, and where its answer belongs.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) policy: Arc<Compiled>,
    pub(crate) tenant: Option<String>,
    pub(crate) head: bool,
    pub(crate) asks: Asks,
    pub(crate) canonical: Canonical,
    /// The place of its answer among those that vary, once that is known.
    pub(crate) variant: Option<Canonical>,
    /// Its name in the store, where that is no hash: a value's.
    pub(crate) name: Option<Key>,
    /// When the store was first asked for it, in milliseconds.
    pub(crate) began: Option<u64>,
    /// Its answer is compared, and not kept.
    pub(crate) observed: Option<Observed>,
}

impl Question {
    /// The name of its answer in the store.
    pub(crate) fn key(&self, prefix: &str, family: &str) -> Key {
        match &self.name {
            Some(name) => name.clone(),
            None => Key::of(prefix, family, self.place()),
        }
    }

    /// The canonical request of the entry that can answer.
    pub(crate) fn place(&self) -> &Canonical {
        self.variant.as_ref().unwrap_or(&self.canonical)
    }

    /// Goes on to the place of an answer that varies on `names`.
    pub(crate) fn vary(&mut self, names: &[HeaderName], headers: &HeaderMap) {
        let variant = self.policy.variant(&self.canonical, names, headers);
        self.variant = Some(variant.finish());
    }

    /// Makes its request one for everybody: for the whole, whatever it asked for, and
    /// without what it said to this cache, such as `only-if-cached`.
    pub(crate) fn ask_for_all(&mut self, request: &mut HeaderMap) {
        for name in CONDITIONS {
            request.remove(name);
        }
        if self.policy.http {
            request.remove(CACHE_CONTROL);
            request.remove(PRAGMA);
        }
        self.asks = Asks {
            authorized: self.asks.authorized,
            ..Asks::default()
        };
    }

    /// The endpoint as it stands in keys, tenant included.
    pub(crate) fn family_in(&self, endpoint: Arc<str>) -> Arc<str> {
        match &self.tenant {
            None => endpoint,
            Some(tenant) => format!("{endpoint}{}", tenant_suffix(tenant)).into(),
        }
    }
}

/// An answer that is not kept.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// What it is compared with.
    pub(crate) against: Option<Arc<Entry>>,
}
