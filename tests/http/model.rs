//! A small model of RFC 9111 beside the cache, by chance: an origin that changes its mind
//! and fails now and then, requests with all that a client may say, and a clock that goes
//! on. Each answer names the event at the origin that it is of, and so
//!
//! 1. has that event's body, for the URI and the fields that it varies on (4 and 4.1);
//! 2. is, where it was stored, of one that may be stored and shared, and no older than
//!    the last write to its URI (3, 3.5 and 4.4);
//! 3. is fresh, or stale within the window that allows it (4.2; RFC 5861);
//! 4. tells its true age (4.2.3);
//! 5. is a 304 or a part for those alone who ask for it (4.3.2; RFC 9110, 14).
//!
//! `LARDER_SEED` begins with a known seed, `LARDER_SEEDS` is how many there are.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use larder::testing::ManualClock;
use larder::{Clock, Outcome, Policy, Staleness, everything};
use tower::{Layer, service_fn};

use crate::support::chance::Chance;
use crate::support::{Reply, Tiers, request, send, tiers};

const URIS: [&str; 2] = ["/a", "/b?x=1"];
const PARTS: [&str; 4] = ["bytes=0-4", "bytes=3-", "bytes=-4", "bytes=999-"];
const WISHES: [&str; 7] = [
    "no-cache",
    "max-age=3",
    "min-fresh=2",
    "max-stale=3",
    "only-if-cached",
    "no-store",
    "max-age=2, max-stale=2",
];

/// What the origin says of a URI for some time.
#[derive(Debug, Clone, Default)]
struct Says {
    version: u64,
    control: Vec<&'static str>,
    vary: &'static str,
    etag: u64,
    modified: bool,
    /// `Date` lies so many seconds back.
    dated: u64,
    age: u64,
    status: u16,
}

impl Says {
    fn by(chance: &mut Chance, version: u64) -> Self {
        let ages = ["max-age=2", "max-age=5", "max-age=0", "s-maxage=4"];
        let rest = ["no-cache", "no-store", "private", "must-revalidate"];
        let mut control = Vec::new();
        let mut maybe = |of: &[&'static str], share| {
            if chance.below(share) == 0 {
                control.push(pick(chance, of));
            }
        };
        maybe(&ages, 1);
        maybe(&["stale-while-revalidate=3"], 3);
        maybe(&["stale-if-error=6"], 3);
        maybe(&rest, 3);
        Self {
            version,
            control,
            vary: pick(chance, &["", "foo", "foo, bar"]),
            etag: chance.below(3),
            modified: chance.below(2) == 0,
            dated: chance.below(3),
            age: chance.below(6).saturating_sub(3),
            status: pick(chance, &[200, 200, 200, 200, 404, 503]),
        }
    }

    fn has(&self, directive: &str) -> bool {
        self.control.contains(&directive)
    }

    fn seconds(&self, name: &str) -> Option<u64> {
        let mut all = self.control.iter().filter_map(|one| one.split_once('='));
        all.find(|(known, _)| *known == name)
            .and_then(|(_, value)| value.parse().ok())
    }

    fn tag(&self, seen: &HeaderMap) -> Option<String> {
        let weak = ["", "", "W/"].get(usize::try_from(self.etag).ok()?)?;
        let tag = format!("{weak}\"{}{}\"", self.version, self.variant(seen));
        (self.etag > 0).then_some(tag)
    }

    /// What it varies on of a request.
    fn variant(&self, seen: &HeaderMap) -> String {
        let names = self.vary.split(", ").filter(|name| !name.is_empty());
        names.map(|name| format!("-{}", said(seen, name))).collect()
    }

    fn modified(&self) -> String {
        let date = || date(self.version * 10);
        self.modified.then(date).unwrap_or_default()
    }

    fn may_be_stored(&self) -> bool {
        !self.has("no-store") && !self.has("private")
    }

    fn shares_authorized(&self) -> bool {
        let s_maxage = self.seconds("s-maxage").is_some();
        s_maxage || self.has("public") || self.has("must-revalidate")
    }
}

/// One answer of the origin.
#[derive(Debug, Clone)]
struct Event {
    uri: String,
    /// In milliseconds, as all here.
    at: u64,
    says: Says,
    seen: HeaderMap,
}

impl Event {
    fn body(&self) -> String {
        let Says {
            version, status, ..
        } = self.says;
        let variant = self.says.variant(&self.seen);
        format!("{} {version} {status} {variant} and some more", self.uri)
    }

    fn age(&self, now: u64) -> u64 {
        let date = self.at / 1000 * 1000 - self.says.dated * 1000;
        (self.says.age * 1000).max(self.at - date) + now - self.at
    }

    /// Whether it may be served at an age, and as what it was.
    fn serves(&self, age: u64, outcome: &Outcome) -> bool {
        let says = &self.says;
        let s_maxage = says.seconds("s-maxage");
        let never_stale = says.has("no-cache") || says.has("must-revalidate") || s_maxage.is_some();
        let fresh = match says.has("no-cache") {
            true => 0,
            false => s_maxage.or(says.seconds("max-age")).unwrap_or(0) * 1000,
        };
        let within = |name| age < fresh + says.seconds(name).unwrap_or(0) * 1000;
        let stale = match outcome {
            Outcome::Stale { why, .. } => match why {
                Staleness::WhileRevalidating => within("stale-while-revalidate"),
                Staleness::MaxStale => true,
                _ => within("stale-if-error"),
            },
            _ => false,
        };
        age < fresh || (stale && !never_stale)
    }
}

#[derive(Default)]
struct World {
    says: HashMap<&'static str, Says>,
    events: Vec<Event>,
    /// The last event of a write to each URI.
    written: HashMap<&'static str, usize>,
}

fn pick<T: Copy>(chance: &mut Chance, of: &[T]) -> T {
    of[usize::try_from(chance.below(of.len() as u64)).unwrap()]
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |v| v.to_str().unwrap())
}

fn now(clock: &ManualClock) -> u64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Whether a client that has sent these fields has what has that tag and date.
fn known(seen: &HeaderMap, tag: &str, modified: &str) -> bool {
    let same = |a: &str, b: &str| a.trim_start_matches("W/") == b.trim_start_matches("W/");
    match said(seen, "if-none-match") {
        "" => {
            let since = httpdate::parse_http_date(said(seen, "if-modified-since"));
            let modified = httpdate::parse_http_date(modified);
            modified.is_ok_and(|modified| since.is_ok_and(|since| modified <= since))
        }
        sought => !tag.is_empty() && same(sought, tag),
    }
}

fn answer(world: &Mutex<World>, at: u64, request: &Request<Body>) -> Response<Body> {
    let mut world = world.lock().unwrap();
    let (uri, seen) = (request.uri().to_string(), request.headers().clone());
    let mut says = world.says[&*uri].clone();
    if *request.method() == Method::POST {
        says.status = 200;
    }
    let tag = says.tag(&seen).unwrap_or_default();
    let modified = says.modified();
    let confirms = says.status == 200 && known(&seen, &tag, &modified);
    let event = Event {
        uri,
        at,
        says,
        seen,
    };
    let body = event.body();
    let says = event.says.clone();
    world.events.push(event);
    let answer = Response::builder().header("x-event", world.events.len());
    if says.status == 503 {
        return answer.status(503).body(body.into()).unwrap();
    }
    let fields = [
        ("cache-control", says.control.join(", ")),
        ("vary", says.vary.to_owned()),
        ("etag", tag),
        ("last-modified", modified),
        ("age", says.age.to_string()),
        ("date", date(at / 1000 - says.dated)),
    ];
    let answer = fields
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .fold(answer, |answer, (name, value)| answer.header(name, value));
    match confirms {
        true => answer.status(304).body(Body::empty()),
        false => answer.status(says.status).body(body.into()),
    }
    .unwrap()
}

fn fields(chance: &mut Chance, (tag, modified): &(String, String)) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut maybe = |share, name, of: &[&str]| {
        if chance.below(share) == 0 {
            all.push((name, pick(chance, of).to_owned()));
        }
    };
    maybe(2, "foo", &["1", "2"]);
    maybe(4, "bar", &["1", "2"]);
    maybe(6, "authorization", &["Bearer a", "Bearer b"]);
    maybe(4, "cache-control", &WISHES);
    maybe(4, "range", &PARTS);
    if !tag.is_empty() {
        maybe(4, "if-none-match", &[tag]);
        maybe(8, "if-range", &[tag]);
    }
    if !modified.is_empty() {
        maybe(6, "if-modified-since", &[modified]);
    }
    all
}

/// What is wrong with an answer.
fn wrong(
    world: &World,
    sent: &Request<()>,
    reply: &Reply,
    before: usize,
    now: u64,
) -> Option<String> {
    let (asked, uri) = (sent.headers(), sent.uri().to_string());
    let number: usize = match said(&reply.headers, "x-event") {
        "" => {
            let allowed = reply.status == 504 && said(asked, "cache-control") == "only-if-cached";
            return (!allowed).then(|| "it is nobody's".into());
        }
        number => number.parse().unwrap(),
    };
    let event = &world.events[number - 1];
    let (says, age) = (&event.says, event.age(now));
    let mut faults = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_owned());
        }
    };
    check(event.uri == uri, "another URI's");
    check(
        says.variant(&event.seen) == says.variant(asked),
        "another variant",
    );
    if number <= before {
        let authorized = asked.contains_key("authorization");
        let written = world.written.get(&*uri).is_none_or(|write| number > *write);
        check(says.may_be_stored(), "not to be stored");
        check(!authorized || says.shares_authorized(), "not to be shared");
        check(written, "from before a write");
        check(event.serves(age, &reply.outcome), "too old");
        let told = said(&reply.headers, "age") == (age / 1000).to_string();
        check(told || reply.status == 416, "its age");
    }
    let (body, whole) = (&reply.body[..], event.body());
    let (tag, modified) = (said(&reply.headers, "etag"), says.modified());
    match reply.status.as_u16() {
        206 => {
            let range = said(&reply.headers, "content-range").strip_prefix("bytes ");
            let (range, len) = range.unwrap().split_once('/').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            let same = len == whole.len().to_string() && body == &whole.as_bytes()[from..=to];
            check(same && asked.contains_key("range"), "the part");
            let sought = said(asked, "if-range");
            check(sought.is_empty() || sought == tag, "a part of another");
        }
        304 => check(
            body.is_empty() && known(asked, tag, &modified),
            "304 for who has it not",
        ),
        416 => check(asked.contains_key("range"), "416 for no range"),
        status => {
            let head = *sent.method() == Method::HEAD;
            check(head || body == whole.as_bytes(), "another body");
            check(status == says.status, "another status");
        }
    }
    (!faults.is_empty()).then(|| format!("{}: {event:?}, now of age {age}", faults.join(", ")))
}

async fn run(
    seed: u64,
    Tiers {
        cache, clock, name, ..
    }: &Tiers,
) {
    let mut chance = Chance::of(seed, 0);
    let world = Arc::new(Mutex::new(World::default()));
    let (asked, time) = (Arc::clone(&world), clock.clone());
    let origin = service_fn(move |request: Request<Body>| {
        let answer = answer(&asked, now(&time), &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let app = cache.layer(Policy::http().early(false)).layer(origin);
    let mut had = Default::default();
    for step in 0..100 {
        clock.advance(Duration::from_millis(pick(
            &mut chance,
            &[0, 300, 900, 2500],
        )));
        for uri in URIS {
            if step == 0 || chance.below(8) == 0 {
                let says = Says::by(&mut chance, step + 1);
                world.lock().unwrap().says.insert(uri, says);
            }
        }
        let uri = pick(&mut chance, &URIS);
        let method = match chance.below(20) {
            0 => Method::POST,
            1..5 => Method::HEAD,
            _ => Method::GET,
        };
        let fields = match method {
            Method::POST => Vec::new(),
            _ => fields(&mut chance, &had),
        };
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, &**v)).collect();
        let sent = request(method.clone(), uri, &fields);
        let before = world.lock().unwrap().events.len();
        let kept = request(method.clone(), uri, &fields).map(|_| ());
        let reply = send(&app, sent).await;
        cache.idle().await;
        let mut world = world.lock().unwrap();
        if method == Method::POST {
            let write = world.events.len();
            world.written.insert(uri, write);
            continue;
        }
        if let Some(wrong) = wrong(&world, &kept, &reply, before, now(clock)) {
            panic!("LARDER_SEED={seed}, {name}, step {step}: {wrong}\n{kept:?}\n{reply:?}");
        }
        if reply.status == 200 {
            let field = |name| said(&reply.headers, name).to_owned();
            had = (field("etag"), field("last-modified"));
        }
    }
    cache.invalidate(everything()).await.unwrap();
}

#[tokio::test]
async fn answers_are_what_a_model_of_the_rfc_allows() {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = number("LARDER_SEED").unwrap_or(1);
    for tiers in tiers().await {
        for seed in first..first + number("LARDER_SEEDS").unwrap_or(20) {
            run(seed, &tiers).await;
        }
    }
}
