//! The steps of a request (`serve.rs`), looked at and not taken.

use std::sync::Arc;

use http::{HeaderMap, Request};
use http_body::Body;

use super::explanation::{About, Explanation, Step, Would};
use super::outline::Outline;
use super::texts::{freshness, gone, key_of, of_entry, policy_of, varying};
use super::usable::{Usable, answered};
use crate::arrived::Arrived;
use crate::ask::{Aside, ask_found};
use crate::cache::{Cache, Engine};
use crate::entry::codec::Frame;
use crate::entry::{Entry, Held};
use crate::generation::Standing;
use crate::invalidate::tenant_suffix;
use crate::key::{Canonical, Key, Writer};
use crate::layer::CacheLayer;
use crate::outcome::{Bypass, Cause, Tier};
use crate::place::{original_uri, place};
use crate::policy::Place;
use crate::policy::freshness::{Rules, Use, stands_in, usable};
use crate::question::Question;
use crate::shared::Shared;
use crate::store::memory::Slot;

impl Cache {
    /// What would become of a request now, step by step: which policy it has, whether it
    /// takes part, its key, what the tiers hold, what invalidations have done to that,
    /// how fresh it is, and why the last miss was one. Nothing is filled or
    /// renewed, and it counts as no request; Redis is asked where a request would ask it, also
    /// for a lease that is over.
    ///
    /// The layer is found by the request's path: by the routes that layers have seen, so
    /// that a route is known once it was asked. [`CacheLayer::explain`] looks at one
    /// layer. Of layers inside each other the one that was made first is taken for the inner one.
    /// What asks by its content ([`Policy::methods`](crate::Policy::methods)) is not read here.
    ///
    /// ```
    /// # async fn why(cache: larder::Cache) -> Result<(), http::Error> {
    /// let request = http::Request::get("/characters/7").header("host", "api.example");
    /// println!("{}", cache.explain(&request.body(String::new())?).await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain<B: Body>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Explanation> + Send {
        let request = Outline::of(request);
        async move { self.explain_outline(&request).await }
    }

    async fn explain_outline(&self, request: &Request<Outline>) -> Explanation {
        let path = original_uri(request.extensions(), request.uri()).path();
        let layers = &self.engine().layers;
        match layers.of_path(path).or_else(|| layers.excluding(path)) {
            Some((layer, pattern)) => layer.explain(request, pattern.as_deref()).await,
            None => {
                let mut steps = Steps::default();
                let none = "no layer of this cache is known to cover this path; a route is known once it was asked";
                let table = layers.tell_why_not(path);
                let why = table.map_or_else(|| none.to_owned(), |why| format!("{why}; {none}"));
                steps.say(About::Policy, why);
                steps.end(None, Would::Bypass(Bypass::NoPolicy))
            }
        }
    }
}

impl CacheLayer {
    /// What would become of a request at this layer: see [`Cache::explain`].
    pub fn explain<B: Body>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Explanation> + Send {
        let path = original_uri(request.extensions(), request.uri()).path();
        let known = match place(request.extensions()) {
            Place::Matched(pattern) => Some(pattern.to_owned()),
            _ => self.shared.route_of(path),
        };
        let request = Outline::of(request);
        async move { self.shared.explain(&request, known.as_deref()).await }
    }
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn say(&mut self, about: About, found: impl Into<String>) {
        let found = found.into();
        self.0.push(Step { about, found });
    }

    fn writes(mut self) -> Explanation {
        self.say(About::Admission, "its method may change something: it goes to the handler, and invalidates if that succeeds");
        self.end(None, Would::Bypass(Bypass::Method))
    }

    fn end(mut self, key: Option<Key>, would: Would) -> Explanation {
        self.say(About::Result, would.to_string());
        let steps = self.0;
        Explanation { steps, key, would }
    }
}

impl Shared {
    async fn explain(
        self: &Arc<Self>,
        request: &Request<Outline>,
        pattern: Option<&str>,
    ) -> Explanation {
        let mut steps = Steps::default();
        let arrived = Arrived::of(request);
        let path = arrived.head.uri.path();
        let found = match self.policy_for(pattern, path) {
            Ok(found) => found,
            Err(reason) => {
                let place = pattern.map_or(Place::Outside, Place::Matched);
                if self.writes_at(place, reason, &arrived.head).is_some() {
                    return steps.writes();
                }
                let why = match reason {
                    Bypass::Unmatched => "a router names no route for it (its fallback, nest_service): the policy must be unmatched()".to_owned(),
                    _ => self.tell_why_not(path),
                };
                steps.say(About::Policy, why);
                return steps.end(None, Would::Bypass(reason));
            }
        };
        let endpoint = match &found.policy.endpoint {
            Some(endpoint) => Arc::clone(endpoint),
            None => self.endpoint_of(found.pattern),
        };
        steps.say(About::Policy, policy_of(&found, &endpoint));
        let mut canonical = Writer::empty();
        let asked = match ask_found(self, &arrived, &found, &mut canonical, false) {
            Ok(asked) => asked,
            Err(Aside::Bypass(reason)) => {
                steps.say(About::Admission, format!("it bypasses: {reason}"));
                return steps.end(None, Would::Bypass(reason));
            }
            Err(Aside::Write(..)) => return steps.writes(),
            Err(Aside::Content(_)) => {
                steps.say(
                    About::Admission,
                    "it asks by its content, which is not looked at here",
                );
                return steps.end(None, Would::Bypass(Bypass::RequestBody));
            }
        };
        let part = match asked.policy.watch.observe {
            Some(_) => "it is only observed: the handler answers it",
            None => "it takes part",
        };
        steps.say(About::Admission, part);
        let family = match &asked.tenant {
            None => endpoint,
            Some(tenant) => format!("{endpoint}{}", tenant_suffix(tenant)).into(),
        };
        let question = asked.question(&canonical, None);
        self.engine.explain(steps, question, &family, request).await
    }
}

impl Engine {
    async fn explain(
        self: &Arc<Self>,
        mut steps: Steps,
        mut question: Question,
        family: &str,
        request: &Request<Outline>,
    ) -> Explanation {
        let at = steps.0.len();
        let leased = self.explain_lease(&mut steps).await;
        let in_memory = match leased {
            true => self.explain_memory(&mut steps, &mut question, request.headers()),
            false => Err(Cause::StoreError),
        };
        let (mut cause, mut best) = match in_memory {
            Ok(usable) => (usable.cause, Some(usable)),
            Err(cause) => (cause, None),
        };
        let answers = |best: &Usable| matches!(best.how, Use::Fresh(_));
        if leased
            && !best.as_ref().is_some_and(answers)
            && self.store.is_some()
            && !question.policy.memory_only
        {
            let headers = request.headers();
            let look = self.explain_store(&mut steps, &mut question, family, headers);
            match look.await {
                Ok(usable) => {
                    cause = usable.cause;
                    best = best
                        .filter(|known| known.how == Use::WhileRevalidating && !answers(&usable))
                        .or(Some(usable));
                }
                Err(found) if best.is_none() && found != Cause::New => cause = found,
                Err(_) => {}
            }
        }
        let place = question.place();
        let key = match &best {
            Some(found) => found.key.clone(), // it may lie in another language's place
            None => Key::of(&self.context.prefix, family, place),
        };
        let parts = key_of(&key, &question, request);
        steps.0.insert(
            at,
            Step {
                about: About::Key,
                found: parts,
            },
        );
        let flying = self.flights.is_flying(place);
        if flying {
            steps.say(About::Flight, "a fill is under way");
        }
        match self.counters.traces.last_miss(place) {
            Some(cause) => steps.say(About::LastMiss, cause.as_str()),
            None => steps.say(About::LastMiss, "this process remembers none"),
        }
        let would = answered(best.as_ref(), &question).unwrap_or_else(|| {
            let (cause, _) = self.traced(place, cause);
            match flying && question.policy.coalesce && !question.head {
                true => Would::Coalesced(cause),
                false => Would::Miss(cause),
            }
        });
        steps.end(Some(key), would)
    }

    /// Whether a request would have a lease. One that is over is asked for, as it would.
    async fn explain_lease(self: &Arc<Self>, steps: &mut Steps) -> bool {
        let held = self.is_leased(self.now());
        let has = held || self.lease().await;
        let found = match (has, held) {
            (true, true) if self.pulse.is_none() => "not needed: this process shares no clock",
            (true, true) => "held: memory may be served",
            (true, false) => "was over: Redis has given another, memory may be served",
            (false, _) => "not to be had: Redis does not answer, and no tier is read without it",
        };
        steps.say(About::Lease, found);
        has
    }

    fn explain_memory(
        &self,
        steps: &mut Steps,
        question: &mut Question,
        headers: &HeaderMap,
    ) -> Result<Usable, Cause> {
        let mut slot = self.memory.peek(&question.canonical);
        if let Some(Slot::Vary(variants, _)) = &slot {
            steps.say(About::Memory, varying(&variants.names));
            question.vary(&variants.names, headers);
            let spoken = question.policy.spoken(variants, headers);
            let at = |place: &Canonical| self.memory.peek(place);
            slot = at(question.place()).or_else(|| at(&spoken?));
            if slot.is_none() {
                steps.say(About::Memory, "none for these values");
                return Err(Cause::Variant);
            }
        }
        let Some(Slot::Entry(held)) = slot else {
            let (cause, by) = self.traced(question.place(), Cause::New);
            steps.say(About::Memory, gone(cause, by, self.memory.keeps_entries()));
            return Err(cause);
        };
        steps.say(About::Memory, of_entry(&held.entry));
        self.explain_held(steps, question, &held)
    }

    fn explain_held(
        &self,
        steps: &mut Steps,
        question: &Question,
        held: &Held,
    ) -> Result<Usable, Cause> {
        let (number, clock) = (held.number(), self.generations.clock());
        let standing = self.generations.standing(&held.entry, number);
        let age = held.age(self.now());
        let about = format!("valid at {number}, the clock is at {clock}");
        self.explain_use(
            steps,
            question,
            (&held.entry, age, Tier::Memory),
            (standing, &about),
        )
        .inspect_err(|cause| {
            if *cause == Cause::Invalidated {
                let by = self.generations.blame(&held.entry, number);
                steps.say(About::Invalidations, format!("by {by}"));
            }
        })
    }

    async fn explain_store(
        self: &Arc<Self>,
        steps: &mut Steps,
        question: &mut Question,
        family: &str,
        headers: &HeaderMap,
    ) -> Result<Usable, Cause> {
        let key = |question: &Question| Key::of(&self.context.prefix, family, question.place());
        let mut cause = Cause::New;
        let mut found = self.peek_store(question, &key(question)).await;
        if let (Ok(Some(Frame::Vary(names))), None) = (&found, &question.variant) {
            steps.say(About::Store, varying(names));
            question.vary(names, headers);
            cause = Cause::Variant;
            found = self.peek_store(question, &key(question)).await;
        }
        match found {
            Ok(Some(Frame::Entry(entry))) => {
                steps.say(About::Store, of_entry(&entry));
                let age = entry.age_at(self.wall());
                let stamp = entry.stamp;
                let about = format!(
                    "made at {} of the shared clock, which is at {}",
                    stamp.number,
                    self.generations.stamp().number
                );
                let standing = self.holds(&entry, self.generations.clock(), self.now());
                self.explain_use(
                    steps,
                    question,
                    (&entry, age, Tier::Redis),
                    (standing, &about),
                )
            }
            Ok(None) => {
                steps.say(About::Store, "nothing");
                Err(cause)
            }
            other => {
                let cause = other.err().unwrap_or(Cause::Variant);
                steps.say(About::Store, cause.as_str());
                Err(cause)
            }
        }
    }

    fn explain_use(
        &self,
        steps: &mut Steps,
        question: &Question,
        (entry, age, tier): (&Entry, u64, Tier),
        (standing, about): (Standing, &str),
    ) -> Result<Usable, Cause> {
        let mut lifetime = entry.lifetime;
        match standing {
            Standing::Gone => {
                steps.say(About::Invalidations, format!("{about}: invalidated"));
                return Err(Cause::Invalidated);
            }
            Standing::Aged(aging) => {
                lifetime = lifetime.ended(aging.ended(age, self.now()));
                steps.say(
                    About::Invalidations,
                    format!("{about}: its time to live was ended"),
                );
            }
            Standing::Good => steps.say(About::Invalidations, format!("{about}: valid")),
        }
        let asks = &question.asks;
        if asks.authorized && !entry.rules.has(Rules::SHARES_AUTHORIZED) {
            steps.say(
                About::Freshness,
                "the request has Authorization, and the entry is not for it",
            );
            return Err(Cause::Authorization);
        }
        let wish = asks.wish.as_deref();
        let how = usable(&lifetime, entry.rules, age, wish);
        steps.say(About::Freshness, freshness(&lifetime, age, how));
        let (place, now) = (question.place(), self.now());
        let left_alone = age < lifetime.keep && self.flights.is_throttled(place, now) && {
            let unreached = question.policy.http && self.flights.is_unreached(place, now);
            stands_in(&lifetime, entry.rules, age, wish, unreached)
        };
        Ok(Usable {
            key: entry.key.clone(),
            tier,
            how,
            cause: match age < lifetime.fresh {
                true => Cause::Request,
                false => Cause::Expired,
            },
            left_alone,
        })
    }
}
