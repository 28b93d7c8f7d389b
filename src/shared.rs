//! [`Shared`]: what the services of one layer share, and how they know the policy of
//! a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use http::Request;

use crate::arrived::head_of;
use crate::cache::Engine;
use crate::cache::guard::{self, Callback};
use crate::flight::{ALONE, Marks};
use crate::hint::seldom;
use crate::key::endpoint_of_route;
use crate::outcome::Bypass;
use crate::place::place;
use crate::policy::request::is_unsafe;
use crate::policy::{Compiled, Found, NameFn, Place, RequestHead, Table};
use crate::question::Question;
use crate::stats::{Counts, Ticket, Users};

/// The endpoint of requests that have arrived at no route.
const DEFAULT: &str = "default";

/// What the services of one layer share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) annotation: Annotation,
    /// The routes seen so far.
    routes: RwLock<HashMap<Box<str>, Arc<Route>, ahash::RandomState>>,
    /// Whether a request came without a route.
    outside: AtomicBool,
    /// Whether one was passed by, for a router had named no route for it.
    unmatched: AtomicBool,
    /// Whether a layer of the same cache further in has decided.
    decided_inside: AtomicBool,
    /// For which keys: by whether a layer lies further out too, which may be this one again, and
    /// by whether a HEAD asks, which may have a handler of its own.
    inside: [[Mutex<Marks>; 2]; 2],
}

/// What a matched route implies.
struct Route {
    endpoint: Arc<str>,
    /// Those of that endpoint, once they count anything.
    counts: OnceLock<Arc<Counts>>,
}

/// Where a request has arrived.
pub(crate) struct Arrival {
    pub(crate) endpoint: Arc<str>,
    pub(crate) counts: Arc<Counts>,
}

impl Shared {
    pub(crate) fn new(engine: Arc<Engine>, annotation: Annotation) -> Self {
        Self {
            engine,
            annotation,
            routes: RwLock::default(),
            outside: AtomicBool::new(false),
            unmatched: AtomicBool::new(false),
            decided_inside: AtomicBool::new(false),
            inside: Default::default(),
        }
    }

    /// Takes note of whether a layer further in has decided what a request gets.
    pub(crate) fn decided(&self, question: &Question, nested: bool, inside: bool) {
        if inside {
            self.decided_inside.store(true, Ordering::Relaxed);
        }
        if self.decided_inside.load(Ordering::Relaxed) {
            let mut marks = self.inside(question, nested);
            match inside {
                true => marks.set(question.place(), self.engine.now() + ALONE),
                false => marks.clear(question.place()),
            }
        }
    }

    /// Whether one did so a moment ago: then this one asks no store, and for no right to fill.
    pub(crate) fn is_decided_inside(&self, question: &Question, nested: bool) -> bool {
        self.decided_inside.load(Ordering::Relaxed)
            && self
                .inside(question, nested)
                .holds(question.place(), self.engine.now())
    }

    fn inside(&self, question: &Question, nested: bool) -> MutexGuard<'_, Marks> {
        let marks = &self.inside[usize::from(nested)][usize::from(question.head)];
        marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint that a matched route implies.
    pub(crate) fn endpoint_of(&self, pattern: Option<&str>) -> Arc<str> {
        let route = self.route(pattern);
        route.map_or_else(|| DEFAULT.into(), |route| Arc::clone(&route.endpoint))
    }

    /// A matched route, remembered for who asks about requests without sending them.
    fn route(&self, pattern: Option<&str>) -> Option<Arc<Route>> {
        let Some(pattern) = pattern else {
            self.outside.store(true, Ordering::Relaxed);
            return None;
        };
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(pattern) {
            return Some(Arc::clone(route));
        }
        drop(routes);
        let route = Arc::new(Route {
            endpoint: endpoint_of_route(pattern).into(),
            counts: OnceLock::new(),
        });
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(routes.entry(pattern.into()).or_insert(route)))
    }

    /// The policy of a request.
    pub(crate) fn policy<R>(&self, request: &Request<R>) -> Option<&Arc<Compiled>> {
        let head = head_of(request);
        let found = self
            .annotation
            .find(place(head.extensions), head.uri.path());
        found.ok().map(|found| found.policy)
    }

    /// Where a request has arrived, if a policy covers that.
    pub(crate) fn arrival(&self, request: &RequestHead<'_>, ticket: &Ticket) -> Option<Arrival> {
        let (place, path) = (place(request.extensions), request.uri.path());
        let Found { policy, pattern } = self.annotation.find(place, path).ok()?;
        Some(self.arrived(policy, pattern, request, ticket))
    }

    /// The same where its policy and its route's pattern are known.
    pub(crate) fn arrived(
        &self,
        policy: &Compiled,
        pattern: Option<&str>,
        request: &RequestHead<'_>,
        ticket: &Ticket,
    ) -> Arrival {
        let counters = &self.engine.counters;
        let of = |endpoint: &str| counters.endpoint(endpoint);
        let (endpoint, counts) = match (&policy.endpoint, self.route(pattern)) {
            (Some(endpoint), _) => (Arc::clone(endpoint), of(endpoint)),
            (None, Some(route)) => {
                let counts = route.counts.get_or_init(|| of(&route.endpoint));
                (Arc::clone(&route.endpoint), Arc::clone(counts))
            }
            (None, None) => (DEFAULT.into(), of(DEFAULT)),
        };
        counts.has_policy(&policy.watch);
        let windows = [policy.stale_while_revalidate, policy.stale_if_error];
        counts.may_serve_stale(windows.iter().any(Option::is_some));
        self.look_at(policy, &counts, request, Some(ticket));
        Arrival { endpoint, counts }
    }

    pub(crate) fn routes(&self) -> Vec<String> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.keys().map(|route| route.to_string()).collect()
    }

    pub(crate) fn is_outside(&self) -> bool {
        self.outside.load(Ordering::Relaxed)
    }

    /// The policy of a write where a router has matched no route, or where a path is excluded
    /// as it may be read: nothing is cached there, but what is declared is invalidated.
    #[cold]
    pub(crate) fn writes(
        &self,
        reason: Bypass,
        request: &RequestHead<'_>,
    ) -> Option<&Arc<Compiled>> {
        self.writes_at(place(request.extensions), reason, request)
    }

    /// The same for who knows the place by other means.
    pub(crate) fn writes_at(
        &self,
        place: Place<'_>,
        reason: Bypass,
        request: &RequestHead<'_>,
    ) -> Option<&Arc<Compiled>> {
        if !is_unsafe(request.method) {
            return None;
        }
        let path = request.uri.path();
        let declares = match reason {
            Bypass::Unmatched => true,
            // it may be another one than the one that is excluded
            Bypass::NoPolicy => self.annotation.is_excluded_as_read(place, path),
            _ => false,
        };
        if !declares {
            return None;
        }
        let policy = self.annotation.declared(place, path)?.policy;
        (!policy.methods.contains(request.method)).then_some(policy)
    }

    /// Why a request stands aside, noted for who asks about such requests.
    #[cold]
    pub(crate) fn aside(&self, reason: Bypass, path: &str) -> Bypass {
        if reason == Bypass::Unmatched {
            match &self.annotation {
                Annotation::Table(table) => table.was_unmatched(path),
                Annotation::One(_) => self.unmatched.store(true, Ordering::Relaxed),
            }
        }
        reason
    }

    /// Whether requests for such a path stand aside for that.
    pub(crate) fn is_unmatched(&self, path: &str) -> bool {
        match &self.annotation {
            Annotation::Table(table) => table.is_unmatched(path),
            Annotation::One(_) => self.unmatched.load(Ordering::Relaxed) && !self.is_outside(),
        }
    }

    /// Takes down what a policy tells of a request for the statistics, where no layer
    /// further out has. One without a ticket ends here.
    pub(crate) fn look_at(
        &self,
        policy: &Compiled,
        counts: &Counts,
        request: &RequestHead<'_>,
        ticket: Option<&Ticket>,
    ) {
        let watch = &policy.watch;
        let name = |which, of: &NameFn| guard::call(&self.engine, which, || of(request)).flatten();
        if let Some(label) = &watch.label
            && let Some(label) = name(Callback::Label, label)
            && ticket.is_none_or(Ticket::take_label)
        {
            self.engine.counters.asked.saw(&label, 1);
        }
        if let Some(user) = &watch.user
            && let Some(user) = name(Callback::CountUsers, user)
            && ticket.is_none_or(Ticket::take_user)
        {
            counts.users.get_or_init(Users::default).saw(&user);
        }
    }
}

/// How a layer knows the policy of a request.
pub(crate) enum Annotation {
    /// One for all that it is laid around.
    One(Arc<Compiled>),
    Table(Box<Table>),
}

impl Annotation {
    pub(crate) fn find<'t: 'p, 'p>(
        &'t self,
        place: Place<'p>,
        path: &str,
    ) -> Result<Found<'t, 'p>, Bypass> {
        self.find_by(place, || path)
    }

    /// The same; the path is asked for where a table looks at it.
    #[inline]
    pub(crate) fn find_by<'t: 'p, 'p, 'u>(
        &'t self,
        place: Place<'p>,
        path: impl FnOnce() -> &'u str,
    ) -> Result<Found<'t, 'p>, Bypass> {
        match (self, place) {
            (Self::One(policy), Place::Fallback) if !policy.unmatched => {
                seldom();
                Err(Bypass::Unmatched)
            }
            (Self::One(policy), place) => Ok(of_one(policy, place)),
            (Self::Table(table), place) => table.find(place, path()),
        }
    }

    /// Whether a path is left out for the sake of how its handler may read it.
    #[cold]
    pub(crate) fn is_excluded_as_read(&self, place: Place<'_>, path: &str) -> bool {
        match self {
            Self::One(_) => false,
            Self::Table(table) => table.is_excluded_as_read(place, path),
        }
    }

    /// The same for what a write invalidates: `unmatched` is about what is cached.
    pub(crate) fn declared<'t: 'p, 'p>(
        &'t self,
        place: Place<'p>,
        path: &str,
    ) -> Option<Found<'t, 'p>> {
        match self {
            Self::One(policy) => Some(of_one(policy, place)),
            Self::Table(table) => table.declared(place, path),
        }
    }
}

#[inline]
fn of_one<'t: 'p, 'p>(policy: &'t Arc<Compiled>, place: Place<'p>) -> Found<'t, 'p> {
    Found {
        policy,
        pattern: match place {
            Place::Matched(pattern) => Some(pattern),
            _ => None,
        },
    }
}
