//! A hot key that expires: a thousand requests a second for one URL whose
//! handler takes 200 ms and whose entry lives for two seconds.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml --bin hot

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, hours};
use larder_peers::answer::{Calls, answer, request, router};
use larder_peers::sync_body::SyncBody;
use larder_peers::{BoxError, Result, runtime};
use tower::util::{BoxCloneService, MapResponse};
use tower::{Layer, Service, ServiceExt};

const TTL: Duration = Duration::from_secs(2);
const HANDLER: Duration = Duration::from_millis(200);
const LASTS: Duration = Duration::from_secs(20);
const APART: Duration = Duration::from_millis(1);

type Site = BoxCloneService<axum::extract::Request, Response<Body>, Infallible>;

struct Case {
    name: &'static str,
    site: Site,
    calls: Calls,
    times: Rc<RefCell<Vec<Duration>>>,
}

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let local = tokio::task::LocalSet::new();
    let cases = local.block_on(&runtime()?, async {
        let cases = [
            larder(
                "larder, an entry that does not expire",
                Policy::ttl(hours(1)),
            )?,
            larder("larder", Policy::ttl(TTL))?,
            larder(
                "larder, without early renewal",
                Policy::ttl(TTL).early(false),
            )?,
            tower_http_cache(),
        ];
        for case in &cases {
            ask(case).await?; // none begins cold
            case.times.borrow_mut().clear();
        }
        let mut ticks = tokio::time::interval(APART);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        for tick in 0..LASTS.as_millis() as usize {
            ticks.tick().await;
            for n in 0..cases.len() {
                begin(&cases[(tick + n) % cases.len()]); // each is first in its turn
            }
        }
        tokio::time::sleep(HANDLER * 2).await; // the last ones come in
        Result::Ok(cases)
    })?;
    println!(
        "{:<40} {:>10} {:>12} {:>8} {:>12} {:>6}",
        "1,000 requests/s, handler 200 ms", "median", "p99", "ratio", "slowest", "runs"
    );
    let base = quantile(&cases[0], 0.99);
    for case in &cases {
        let p99 = quantile(case, 0.99);
        println!(
            "{:<40} {:>7.1} µs {:>9.1} µs {:>8.2} {:>9.1} µs {:>6}",
            case.name,
            micros(quantile(case, 0.5)),
            micros(p99),
            p99.as_secs_f64() / base.as_secs_f64(),
            micros(quantile(case, 1.0)),
            case.calls.count(),
        );
    }
    Ok(())
}

/// Begins a request: a hit ends at once, the others go on by themselves.
fn begin(case: &Case) {
    let mut asking = Box::pin(ask(case));
    let mut cx = Context::from_waker(Waker::noop());
    match asking.as_mut().poll(&mut cx) {
        Poll::Ready(done) => done.expect("every service answers"),
        Poll::Pending => {
            tokio::task::spawn_local(asking);
        }
    }
}

/// One request, from its making to the last byte of its answer.
fn ask(case: &Case) -> impl Future<Output = Result<()>> + 'static {
    let (site, times) = (case.site.clone(), Rc::clone(&case.times));
    let request = request(0);
    async move {
        let start = Instant::now();
        let response = site.oneshot(request).await?;
        response.into_body().collect().await?;
        times.borrow_mut().push(start.elapsed());
        Ok(())
    }
}

fn quantile(case: &Case, share: f64) -> Duration {
    let mut times = case.times.borrow().clone();
    times.sort_unstable();
    let at = (times.len() as f64 * share) as usize;
    let last = times.len().saturating_sub(1);
    times.get(at.min(last)).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn slow_router(calls: Calls) -> axum::Router {
    router(get(move || async move {
        calls.add();
        tokio::time::sleep(HANDLER).await;
        answer().await
    }))
}

fn case(name: &'static str, site: Site, calls: Calls) -> Case {
    Case {
        name,
        site,
        calls,
        times: Rc::default(),
    }
}

fn larder(name: &'static str, policy: Policy) -> Result<Case> {
    let calls = Calls::new();
    let cache = Cache::builder().memory(64 * MIB).build()?;
    let layer = cache.layer(policy.endpoint("items").unmatched());
    let site = boxed(layer.layer(slow_router(calls)));
    Ok(case(name, site, calls))
}

fn tower_http_cache() -> Case {
    use tower_http_cache::backend::memory::InMemoryBackend;
    let calls = Calls::new();
    let layer = tower_http_cache::layer::CacheLayer::builder(InMemoryBackend::new(10_000))
        .ttl(TTL)
        .build();
    let router = MapResponse::new(slow_router(calls), |response: Response<Body>| {
        response.map(SyncBody::new)
    });
    case("tower-http-cache", boxed(layer.layer(router)), calls)
}

fn boxed<S, B>(site: S) -> Site
where
    S: Service<axum::extract::Request, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let site = site.map_response(|response: Response<B>| response.map(Body::new));
    BoxCloneService::new(site.map_err(|error| -> Infallible { panic!("it failed: {error:?}") }))
}
