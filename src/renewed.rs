//! When the handler has confirmed what is stored: the entry lives on with the
//! answer's fields (RFC 9111, 3.2, 4.3.4 and 4.3.5).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header, response};

use crate::answered::{Answered, declared};
use crate::body::ResponseBody;
use crate::cache::guard::{self, Callback};
use crate::cache::{Engine, Stale};
use crate::entry::{Entry, Fields, Held, storable};
use crate::fill::tell_clients;
use crate::flight::{Landed, Landing};
use crate::generation::{Rule, keeps};
use crate::known::number_value;
use crate::outcome::{Outcome, Refusal};
use crate::policy::freshness::Rules;
use crate::policy::lifetime::age_of;
use crate::policy::{Hint, conditional, response as judge};
use crate::reply;

impl Answered {
    /// The handler confirmed what is stored (RFC 9111, 4.3.4): the entry lives
    /// on with the answer's fields, under the number of its own body.
    pub(crate) fn renewed<B>(
        self,
        engine: &Arc<Engine>,
        stale: &Stale,
        response: Response<B>,
        landing: Landing,
    ) -> Response<ResponseBody<B>> {
        let (parts, _) = response.into_parts();
        let entry = &stale.held.entry;
        let known = said(entry);
        let speaks = conditional::confirms(&parts.headers, &known);
        let mut merged = match speaks {
            true => merged(engine, &known, &parts.headers),
            false => known, // of another answer: this one is served once more, and goes
        };
        let hint = Hint::of(&parts.extensions);
        let terms = match speaks {
            true => self.merged_terms(engine, stale, &mut merged, hint),
            false => Err(Refusal::Validator),
        };
        let (head, asks, counted) = (self.question.head, self.question.asks.clone(), self.counted);
        let policy = Arc::clone(&self.question.policy);
        let (age, ttl) = match &terms {
            Ok(terms) => {
                let age = crate::clock::millis(terms.age);
                (age, terms.lifetime.fresh.saturating_sub(age))
            }
            // of the fields that it has now
            Err(_) if speaks => {
                let (now, policy) = (engine.clock.wall(), &self.question.policy);
                let age = age_of(policy, &merged, now, self.took);
                (crate::clock::millis(age), 0)
            }
            Err(_) => (stale.age, 0),
        };
        let stored = terms.as_ref().map(|_| ()).map_err(|refusal| *refusal);
        let (seen, cause) = (self.seen.clone(), self.cause);
        match terms {
            Ok(terms) => landing.make(|landing| {
                match self.live_on(engine, stale, &merged, terms, Some(landing)) {
                    Some(held) => Landed::Stored(held),
                    None => Landed::Outdated,
                }
            }),
            Err(refusal) => {
                engine.discard(&stale.held);
                self.refused(engine, (parts.status, refusal), landing);
            }
        }
        let outcome = Outcome::Revalidated {
            cause,
            age: Duration::from_millis(age),
            ttl: Duration::from_millis(ttl),
            stored,
        };
        let mut headers = storable(&merged, &[], &[], true);
        headers.insert(header::AGE, number_value(age / 1000));
        if counted {
            reply::seen(&outcome);
        }
        let response = reply::stored(engine, &stale.held.entry, headers, head, outcome);
        reply::shape(response, &policy, &stale.held.coded, &seen, &asks)
    }

    /// A layer further in has decided. Where it tells this layer's own condition by 304, the
    /// client gets what that confirms.
    pub(crate) fn decided<B>(self, response: Response<B>) -> Response<ResponseBody<B>> {
        let told = self.validating && response.status() == StatusCode::NOT_MODIFIED;
        let Some(stale) = self.stale.filter(|_| told) else {
            return response.map(ResponseBody::inner);
        };
        let entry = &stale.held.entry;
        let mut whole = response.map(|_| ResponseBody::stored(entry.body.clone()));
        *whole.status_mut() = entry.status;
        *whole.headers_mut() = conditional::merge(&said(entry), whole.headers());
        let (policy, asks) = (&self.question.policy, &self.question.asks);
        reply::shape(whole, policy, &stale.held.coded, &self.seen, asks)
    }

    /// Whether a renewal's answer is a 304 that this layer has not asked for: one further
    /// out has, and knows what it confirms.
    pub(crate) fn is_told_behind(&self, status: StatusCode) -> bool {
        !self.counted && !self.validating && status == StatusCode::NOT_MODIFIED
    }

    /// The terms on which it lives on. What the policy tells clients is added to its
    /// fields then.
    fn merged_terms(
        &self,
        engine: &Engine,
        stale: &Stale,
        merged: &mut HeaderMap,
        hint: Hint,
    ) -> Result<judge::Terms, Refusal> {
        let (entry, now) = (&stale.held.entry, engine.clock.wall());
        let mut judged = merged.clone();
        if !self.question.policy.store_set_cookie {
            judged.remove(header::SET_COOKIE); // the client's alone, see `storable`
        }
        let mut terms = self.terms(entry.status, &judged, entry.body.len() as u64, hint, now)?;
        tell_clients(&self.question.policy, merged, &mut terms);
        if let Some(check) = &self.question.policy.store_if {
            let fields = self.stored_fields(engine, merged, &terms);
            let wanted = guard::call(engine, Callback::StoreIf, || {
                check(entry.status, &fields, &entry.body)
            });
            if wanted != Some(true) {
                return Err(Refusal::StoreIf);
            }
        }
        Ok(terms)
    }

    /// What is stored of the fields of an entry that is confirmed.
    fn stored_fields(
        &self,
        engine: &Engine,
        merged: &HeaderMap,
        terms: &judge::Terms,
    ) -> HeaderMap {
        let policy = &self.question.policy;
        let (apart, cookies) = (engine.per_request(policy), policy.store_set_cookie);
        storable(merged, apart, &terms.without, cookies)
    }

    /// Keeps an entry on new terms and with new fields.
    fn live_on(
        self,
        engine: &Arc<Engine>,
        stale: &Stale,
        merged: &HeaderMap,
        terms: judge::Terms,
        landing: Option<Landing>,
    ) -> Option<Arc<Held>> {
        let entry = &stale.held.entry;
        let headers = self.stored_fields(engine, merged, &terms);
        let mut made = self.made(terms);
        if keeps(Rule::MergeKeepsNote) {
            made.note = stale.held.note(); // of the stored body, not of the answer without one
        }
        let mut fill = made.fill(engine, entry.status);
        fill.join(entry);
        fill.entry.fields = Fields::pack(&headers, &[]).0;
        fill.entry.body = entry.body.clone();
        fill.landing = landing;
        engine.keep(fill, tokio::runtime::Handle::try_current().ok().as_ref())
    }

    /// The answer to a HEAD may say whether what is stored still holds (RFC 9111,
    /// 4.3.5): if so its fields are taken over, if not the entry goes.
    pub(crate) fn heard_of<B>(
        self,
        engine: &Arc<Engine>,
        stale: &Stale,
        response: Response<B>,
    ) -> Response<ResponseBody<B>> {
        let (parts, body) = response.into_parts();
        let counted = self.counted;
        let outcome = Outcome::Miss {
            cause: self.cause,
            stored: Err(Refusal::Head),
            status: parts.status,
        };
        if self.question.policy.http && parts.status == stale.held.entry.status {
            self.take_over(engine, stale, &parts);
        }
        let body = ResponseBody::inner(body);
        match counted {
            true => reply::finish(engine, parts, body, outcome),
            false => reply::said(engine, parts, body, outcome),
        }
    }

    fn take_over(self, engine: &Arc<Engine>, stale: &Stale, parts: &response::Parts) {
        let entry = &stale.held.entry;
        let known = said(entry);
        let length = declared(&parts.headers);
        let fits = length.is_ok_and(|len| len.is_none_or(|len| len == entry.body.len() as u64));
        match conditional::same(&parts.headers, &known) {
            Some(true) if fits => {}
            None if fits => return, // it lives as long as it would
            _ => return engine.discard(&stale.held),
        }
        let mut merged = merged(engine, &known, &parts.headers);
        let hint = Hint::of(&parts.extensions);
        if let Ok(terms) = self.merged_terms(engine, stale, &mut merged, hint) {
            self.live_on(engine, stale, &merged, terms, None);
        }
    }
}

/// The fields of an entry that its handler has said.
fn said(entry: &Entry) -> HeaderMap {
    let mut fields = entry.fields.to_headers();
    if entry.rules.has(Rules::CLIENT_CACHE) {
        fields.remove(header::CACHE_CONTROL);
    }
    fields
}

/// An entry's fields and those of the answer that confirmed it, which is dated
/// now where it is not (RFC 9110, 6.6.1).
fn merged(engine: &Engine, known: &HeaderMap, answer: &HeaderMap) -> HeaderMap {
    // what is not stored changes nothing that is (RFC 9111, 3.2)
    let mut merged = conditional::merge(known, &storable(answer, &[], &[], true));
    if let Some(age) = answer.get(header::AGE) {
        merged.insert(header::AGE, age.clone());
    }
    if !answer.contains_key(header::DATE) {
        merged.insert(header::DATE, engine.date());
    }
    merged
}
