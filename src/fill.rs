//! From a judged answer to an entry.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header, response};
use tokio::runtime::Handle;

use crate::body::ResponseBody;
use crate::cache::guard::{self, Callback};
use crate::cache::{Engine, Fill, Leased, Varies};
use crate::clock::millis;
use crate::entry::{Complete, Entry, Fields, Held, Recording, coding, etag_of, storable};
use crate::flight::{self, ALONE, Drive, Landed, Landing, Opened};
use crate::generation::Generation;
use crate::inner::Content;
use crate::invalidate::uri_scope;
use crate::key::{Key, ScopeId};
use crate::known::number_value;
use crate::observe::compare;
use crate::outcome::Refusal;
use crate::policy::Compiled;
use crate::policy::freshness::Rules;
use crate::policy::response::Terms;
use crate::question::Observed;
use crate::question::Question;
use crate::route::{Route, own_scopes};
use crate::store::Group;

/// An answer that may be stored, and all that its entry is made of.
pub(crate) struct Made {
    pub(crate) question: Question,
    pub(crate) note: Generation,
    /// When its handler began (`Flights::begins`).
    pub(crate) began: i64,
    /// The request's fields as the handler saw them.
    pub(crate) seen: HeaderMap,
    pub(crate) route: Route,
    pub(crate) terms: Terms,
    pub(crate) lease: Option<Leased>,
    /// How long the handler took.
    pub(crate) took: Duration,
}

impl Made {
    /// All of the entry but its body. What is added to the answer for clients is
    /// added to `parts` here, so that a miss and a hit look alike.
    pub(crate) fn prepare(
        mut self,
        engine: &Engine,
        parts: &mut response::Parts,
        declared: Option<u64>,
    ) -> Prepared {
        let policy = Arc::clone(&self.question.policy);
        tell_clients(&policy, &mut parts.headers, &mut self.terms);
        let headers = self.stored_headers(engine, parts);
        // not stored: each hit says it anew
        let codings = &policy.precompress;
        coding::announce(
            &mut parts.headers,
            codings,
            parts.status,
            self.terms.rules,
            declared,
        );
        let observed = self.question.observed.clone();
        Prepared {
            observed,
            fill: self.fill(engine, parts.status),
            headers,
            policy,
            declared,
            started: engine.now(),
            supersedes: None,
        }
    }

    /// What is stored of the fields. An answer that was made without a `Date`
    /// gets it now (RFC 9110, 6.6.1); a 401 has its challenge (15.5.2).
    fn stored_headers(&self, engine: &Engine, parts: &response::Parts) -> HeaderMap {
        let headers = &parts.headers;
        let policy = &self.question.policy;
        let per_request = engine.per_request(policy);
        let without = &self.terms.without;
        let mut stored = storable(headers, per_request, without, policy.store_set_cookie);
        if !headers.contains_key(header::DATE) {
            stored.insert(header::DATE, engine.date());
        }
        let challenge = header::WWW_AUTHENTICATE;
        if parts.status == StatusCode::UNAUTHORIZED && !stored.contains_key(&challenge) {
            for line in headers.get_all(&challenge) {
                stored.append(&challenge, line.clone());
            }
        }
        stored
    }

    /// The entry but for its fields and body.
    pub(crate) fn fill(self, engine: &Engine, status: StatusCode) -> Fill {
        let Self {
            mut question,
            note,
            began,
            seen,
            route,
            terms,
            lease,
            took,
        } = self;
        let key_of = |canonical: &[u8]| Key::of(&engine.context.prefix, &route.family, canonical);
        let varies = (!terms.vary.is_empty()).then(|| Varies {
            key: key_of(&question.canonical),
            canonical: Arc::clone(&question.canonical),
            names: Arc::clone(&terms.vary),
        });
        question.variant = None;
        if !terms.vary.is_empty() {
            question.vary(&terms.vary, &seen);
        }
        let key = key_of(question.place());
        let tenant = question.tenant.as_deref();
        let groups = groups(&question.policy, &route, tenant, &terms);
        let mut scopes: Vec<ScopeId> = groups.iter().map(|group| group.0).collect();
        scopes.extend(own_scopes(&key, &route.family));
        let age = millis(terms.age);
        let mut entry = Entry {
            canonical: Arc::clone(question.place()),
            key,
            scopes: scopes.into(),
            status,
            fields: Fields::empty(),
            body: bytes::Bytes::new(),
            created: engine.wall().saturating_sub(age),
            stamp: note.stamp,
            lifetime: terms.lifetime,
            rules: terms.rules,
            took: match question.policy.early {
                true => u32::try_from(millis(took)).unwrap_or(u32::MAX),
                false => 0, // as if it cost nothing to renew it late
            },
        };
        if let Some(settle) = question.policy.settle {
            let began = engine.now().saturating_sub(millis(took));
            let since = began.saturating_sub(millis(settle));
            if engine.generations.invalidated_since(&entry, since) {
                entry.lifetime = entry.lifetime.at_most(age + millis(settle));
            }
        }
        Fill {
            entry,
            note,
            began,
            age,
            groups,
            varies,
            policy: question.policy,
            landing: None,
            lease,
            value: None,
            placed: None,
            written: None,
            alias: None,
        }
    }
}

/// What an entry is made of once its body is complete.
pub(crate) struct Prepared {
    pub(crate) fill: Fill,
    headers: HeaderMap,
    policy: Arc<Compiled>,
    /// The length that the answer declares.
    declared: Option<u64>,
    started: u64,
    /// What goes where this is not stored in its place.
    supersedes: Option<Arc<Held>>,
    /// It is compared, and not kept.
    observed: Option<Observed>,
}

impl Prepared {
    /// Should it turn out not to be stored, nothing stale is served in its place.
    pub(crate) fn supersedes(mut self, stale: Option<Arc<Held>>) -> Self {
        self.supersedes = stale;
        self
    }

    /// Begins to record `body`. Gives the body that the leader's client gets, and
    /// what drives it.
    pub(crate) fn record<B>(
        self,
        engine: &Arc<Engine>,
        landing: Landing,
        body: B,
    ) -> (ResponseBody<B>, Drive)
    where
        B: Content,
    {
        if engine.in_flight.is_scarce(self.declared.unwrap_or(0)) {
            engine.flights.shed(engine.now());
        }
        engine.flights.is_recorded(Arc::downgrade(landing.flight()));
        engine.balance(); // by what others have: one alone takes no room from the entries
        let (budget, clock) = (Arc::clone(&engine.in_flight), Arc::clone(&engine.clock));
        let recording = Recording::new(self.policy.max_body, self.declared, budget);
        let opened = Opened {
            entry: self.fill.entry.clone(),
            headers: self.headers.clone(),
            vary: self
                .fill
                .varies
                .as_ref()
                .map_or_else(Arc::default, |v| Arc::clone(&v.names)),
            age: self.fill.age,
            // what looks at the finished answer decides before anybody shares it
            streams: recording.has_room() && self.policy.store_if.is_none(),
            came: engine.now(),
        };
        let (engine, runtime) = (Arc::clone(engine), Handle::try_current().ok());
        let finish = move |whole, landing| self.finish(&engine, whole, landing, runtime.as_ref());
        let finish = Box::new(finish);
        let (leading, drive) = flight::drive(landing, opened, recording, finish, body, clock);
        (Box::new(leading).into(), drive)
    }

    fn finish(
        self,
        engine: &Arc<Engine>,
        whole: Result<Complete, Refusal>,
        landing: Option<Landing>,
        runtime: Option<&Handle>,
    ) -> Landed {
        let Self {
            mut fill,
            mut headers,
            policy,
            started,
            observed,
            supersedes,
            ..
        } = self;
        fill.age += engine.now().saturating_sub(started);
        let body = match whole {
            Ok(whole) => whole.into_bytes(),
            Err(refusal) => {
                refused(engine, &fill, refusal);
                if refusal != Refusal::NoRoom
                    && let (Some(stale), None) = (&supersedes, &observed)
                {
                    engine.discard(stale);
                }
                return Landed::Alone;
            }
        };
        let entry = &mut fill.entry;
        if let Some(check) = &policy.store_if {
            let wanted = guard::call(engine, Callback::StoreIf, || {
                check(entry.status, &headers, &body)
            });
            if wanted != Some(true) {
                engine.counters.of(&entry.key).refusal(Refusal::StoreIf);
                tracing::debug!(target: "larder", key = %entry.key, "store_if declined");
                if let Some(lease) = &fill.lease {
                    lease.alone();
                }
                if let Some(landing) = landing {
                    landing.alone(Some(engine.now() + ALONE));
                }
                return Landed::Alone;
            }
        }
        add_fields(&policy, entry, &mut headers, &body);
        if let Some(Observed { against }) = observed {
            if let Some(stored) = against {
                compare(engine, &stored, (entry.status, &headers), Some(&body));
            }
            if let Some(landing) = landing {
                landing.alone(None);
            }
            return Landed::Alone; // what is stored stays
        }
        (entry.fields, entry.body) = Fields::pack(&headers, &body);
        fill.landing = landing;
        match engine.keep(fill, runtime) {
            Some(held) => Landed::Stored(held),
            None => Landed::Outdated,
        }
    }
}

/// Takes note of an answer that its body has kept from being stored: its head promised
/// that it would be.
fn refused(engine: &Engine, fill: &Fill, refusal: Refusal) {
    let key = &fill.entry.key;
    engine.counters.of(key).refusal(refusal);
    tracing::debug!(target: "larder", %key, ?refusal, "an answer is not stored for its body");
    if refusal != Refusal::NoRoom
        && let Some(lease) = &fill.lease
    {
        lease.alone(); // others like it will be so too
    }
}

/// Adds what the policy tells clients where the handler says nothing, and marks it
/// as such.
pub(crate) fn tell_clients(policy: &Compiled, headers: &mut HeaderMap, terms: &mut Terms) {
    if let Some(value) = &policy.client_cache
        && !headers.contains_key(header::CACHE_CONTROL)
    {
        headers.insert(header::CACHE_CONTROL, value.clone());
        terms.rules = terms.rules.and(Rules::CLIENT_CACHE);
    }
}

/// What is said of a whole body.
fn add_fields(policy: &Compiled, entry: &Entry, headers: &mut HeaderMap, body: &[u8]) {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
    if !bodiless.contains(&entry.status) {
        // for HEAD, and so that no layer further out has to add it to every hit
        headers.insert(header::CONTENT_LENGTH, number_value(body.len() as u64));
    }
    // one that the handler does not know must not be sent to it
    let known = headers.contains_key(header::ETAG) || entry.rules.has(Rules::VALIDATES);
    if policy.etag && entry.status == StatusCode::OK && !known {
        headers.insert(header::ETAG, etag_of(body));
    }
}

/// The URI's group, the tags', and those that the answer names itself.
fn groups(policy: &Compiled, route: &Route, tenant: Option<&str>, terms: &Terms) -> Vec<Group> {
    let uri = uri_scope(&route.uri, policy.keys_whole_uri(), tenant);
    let tags = terms.tags.iter().map(|tag| ScopeId::tag(tenant, tag));
    let named = terms.groups.iter();
    let named = named.map(|group| ScopeId::group(tenant, &route.host, group));
    let all = std::iter::once(uri).chain(tags).chain(named);
    all.map(Group).collect()
}
