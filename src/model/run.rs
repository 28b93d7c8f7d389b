//! One run: processes that serve, clients that read and invalidate, trouble, and the
//! judge.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_layer::Layer;

use super::host::HostClock;
use super::link::{Link, TIMEOUT};
use super::server::Lapse;
use super::world::{Chance, Fault, World};
use crate::body::ResponseBody;
use crate::cache::{Cache, CacheBuilder};
use crate::generation::{Rule, Without};
use crate::invalidate::{Selector, endpoint, everything, tag, uri};
use crate::outcome::{Cause, Outcome};
use crate::policy::{Hint, Policy, Routes};

const KEYS: u64 = 2;
const CLIENTS: usize = 2;

/// What is run.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) hosts: usize,
    /// Whether they share a clock; else one has a plain store.
    pub(super) shared: bool,
    pub(super) faults: &'static [Fault],
    /// In milliseconds, each host's in its turn.
    pub(super) leases: &'static [u64],
    /// Of each client.
    pub(super) operations: u64,
    pub(super) without: &'static [Rule],
    pub(super) lapses: &'static [Lapse],
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) invalidations: u64,
    pub(super) refused: u64,
    pub(super) unleased: u64,
    pub(super) faults: u64,
    pub(super) violations: Vec<String>,
    pub(super) story: Vec<String>,
}

impl Report {
    /// What happened when, as one number.
    pub(super) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.story.hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.invalidations += other.invalidations;
        self.refused += other.refused;
        self.unleased += other.unleased;
        self.faults += other.faults;
        self.violations.extend(other.violations);
    }
}

type Asked = Request<Full<Bytes>>;
type Told = UnsyncBoxBody<Bytes, Infallible>;
type App = BoxCloneSyncService<Asked, Response<ResponseBody<Told>>, Infallible>;

struct History {
    world: Arc<World>,
    events: AtomicU64,
    /// For each key the latest call of an invalidation that has returned `Ok`.
    required: [AtomicU64; KEYS as usize],
    report: Mutex<Report>,
}

impl History {
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap());
    }
}

fn slowly(chance: &mut Chance) -> Duration {
    Duration::from_millis(match chance.once_in(6) {
        true => chance.below(200),
        false => chance.below(6),
    })
}

/// The handler. It confirms whatever it is asked about.
async fn answer(
    history: Arc<History>,
    host: usize,
    request: Asked,
) -> Result<Response<Told>, Infallible> {
    let (world, began) = (&history.world, history.event());
    let key = request
        .uri()
        .path()
        .trim_start_matches("/items/")
        .to_owned();
    world.log(|| format!("{host} handles {key}: {began}"));
    sleep(world.draw(slowly)).await;
    world.runs(host).await;
    let confirms = request.headers().contains_key(header::IF_NONE_MATCH);
    let (status, body) = match confirms {
        true => (StatusCode::NOT_MODIFIED, String::new()),
        false => (StatusCode::OK, began.to_string()),
    };
    let (length, rest) = (body.len(), world.draw(slowly));
    let body = unfold(Some(body), move |body| async move {
        sleep(rest).await; // its head comes first
        Some((Ok(Frame::data(Bytes::from(body?))), None))
    });
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(body)));
    if !confirms {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    *response.status_mut() = status;
    let same = header::HeaderValue::from_static("\"same\"");
    response.headers_mut().insert(header::ETAG, same);
    response
        .extensions_mut()
        .insert(Hint::new().tag(format!("hint:{key}")));
    Ok(response)
}

fn builder(world: &Arc<World>, host: usize, setup: &Setup) -> CacheBuilder {
    let link = Link {
        world: Arc::clone(world),
        host,
    };
    let clock = HostClock {
        world: Arc::clone(world),
        host,
    };
    let builder = Cache::builder()
        .memory(1 << 20)
        .operation_timeout(TIMEOUT)
        .lease(Duration::from_millis(
            setup.leases[host % setup.leases.len()],
        ))
        .clock(Arc::new(clock));
    match setup.shared {
        true => builder.fenced(link),
        false => builder.store(link),
    }
}

fn process(history: &Arc<History>, host: usize, setup: &Setup) -> (Cache, App) {
    let cache = builder(&history.world, host, setup).build().unwrap();
    let policy = Policy::ttl(Duration::from_millis(250))
        .endpoint("items")
        .early(false)
        .stale_while_revalidate(Duration::from_millis(50))
        .stale_if_error(Duration::from_secs(5))
        .revalidate(Duration::from_millis(200))
        .tag("item:{id}");
    let layer = cache.routes(Routes::new().route("/items/{id}", policy));
    let history = Arc::clone(history);
    let handler = tower::service_fn(move |request| answer(Arc::clone(&history), host, request));
    (cache, BoxCloneSyncService::new(layer.layer(handler)))
}

async fn read(app: &App, history: &History, host: usize, key: u64) {
    let required = history.required[usize::try_from(key).unwrap()].load(Ordering::SeqCst);
    let at = history.event();
    let request = Request::get(format!("/items/{key}")).body(Full::default());
    let response = app.clone().oneshot(request.unwrap()).await.unwrap();
    let outcome = *response.extensions().get::<Outcome>().unwrap();
    let Ok(body) = response.into_body().collect().await else {
        panic!("a body ends early");
    };
    let began: u64 = str::from_utf8(&body.to_bytes()).unwrap().parse().unwrap();
    // out of reach of Redis fills are shared all the same (README, Several processes)
    let unleased = matches!(
        outcome,
        Outcome::Coalesced {
            cause: Cause::StoreError,
            ..
        }
    );
    let line = format!("{host} read {key} at {at}: {began}, {outcome:?}");
    history.world.log(|| line.clone());
    history.count(|report| {
        report.reads += 1;
        report.hits += u64::from(outcome.is_hit());
        match began < required {
            true if unleased => report.unleased += 1,
            true => report.violations.push(format!("{line}; {required} is Ok")),
            false => {}
        }
    });
}

async fn invalidate(cache: &Cache, history: &History, host: usize) {
    let (key, kind) = history.world.draw(|c| (c.below(KEYS), c.below(14)));
    let (selector, keys): (Selector, _) = match kind {
        0..=2 => (tag(format!("item:{key}")), key..key + 1),
        3 | 4 => (uri(format!("/items/{key}")), key..key + 1),
        5 | 6 => (tag(format!("hint:{key}")), key..key + 1),
        7 => (endpoint("items"), 0..KEYS),
        8 | 9 => ("api:it*".into(), 0..KEYS),
        10 => (everything(), 0..KEYS),
        11 => (tag(format!("item:{key}")).soft(), 0..0),
        _ => (tag(format!("other:{}", history.event())), 0..0),
    };
    let call = history.event();
    let done = cache.invalidate(selector.clone()).await;
    let ok = done.is_ok();
    history
        .world
        .log(|| format!("{host} invalidated {selector:?} at {call}: {ok}"));
    history.count(|report| match ok {
        true => report.invalidations += 1,
        false => report.refused += 1,
    });
    for key in keys.filter(|_| ok) {
        history.required[usize::try_from(key).unwrap()].fetch_max(call, Ordering::SeqCst);
    }
}

async fn client(history: Arc<History>, host: usize, (cache, app): (Cache, App), operations: u64) {
    for _ in 0..operations {
        let world = &history.world;
        let (rest, key, what) = world.draw(|chance| {
            let rest = match chance.below(16) {
                0 => chance.below(700), // so long that it falls silent
                1..=5 => chance.below(60),
                _ => chance.below(4),
            };
            (rest, chance.below(KEYS), chance.below(8))
        });
        sleep(Duration::from_millis(rest)).await;
        world.runs(host).await;
        match what {
            0 => invalidate(&cache, &history, host).await,
            _ => read(&app, &history, host, key).await,
        }
    }
}

async fn all(seed: u64, setup: &Setup, tells: bool) -> Report {
    let world = World::new(seed, setup.hosts, setup.faults, setup.lapses, tells);
    let history = Arc::new(History {
        world: Arc::clone(&world),
        events: AtomicU64::new(0),
        required: std::array::from_fn(|_| AtomicU64::new(0)),
        report: Mutex::default(),
    });
    let trouble = tokio::spawn(Arc::clone(&world).trouble());
    let mut clients = Vec::new();
    for host in 0..setup.hosts {
        let process = process(&history, host, setup);
        for _ in 0..CLIENTS {
            let (history, process) = (Arc::clone(&history), process.clone());
            clients.push(tokio::spawn(client(
                history,
                host,
                process,
                setup.operations,
            )));
        }
    }
    for client in clients {
        client.await.unwrap();
    }
    trouble.abort();
    let mut report = std::mem::take(&mut *history.report.lock().unwrap());
    report.faults = world.struck();
    report.story = world.story();
    report
}

/// Runs one seed, the same way each time, and tells its story if asked to.
pub(super) fn run(seed: u64, setup: &Setup, tells: bool) -> Report {
    let _without = Without::rules(setup.without);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(all(seed, setup, tells))
}
