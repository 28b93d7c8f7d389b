//! One fill, however many ask: who leads, who follows, and what becomes of them
//! when clients go away, handlers fail and entries are invalidated meanwhile.
//!
//! Each handler run is handed to the test, which answers it when it likes. The
//! tests run on one thread, where a few turns bring every request as far as it
//! gets by itself.

mod aging;
mod alone;
mod bounds;
mod broken;
mod gone;
mod hangs;
mod invalidated;
mod late;
mod layers;
mod nested;
mod order;
mod runtimes;
mod share;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod unreached;
mod variants;
mod withdrawn;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, request::Parts};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use larder::testing::{self, ManualClock};
use larder::{Cache, Fault, Outcome, Policy, minutes};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt};

type App = BoxCloneService<Request<Body>, Response<Body>, &'static str>;
type Answer = Result<Response<Body>, &'static str>;

fn policy() -> Policy {
    Policy::ttl(minutes(5))
}

/// An event that must come.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    let event = tokio::time::timeout(Duration::from_secs(20), event);
    event.await.expect("it never came")
}

/// Lets every task go as far as it gets by itself.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A handler run, waiting for what the test says.
struct Run {
    request: Parts,
    say: oneshot::Sender<Said>,
}

enum Said {
    Answer(Response<Body>),
    Error,
    Panic,
}

impl Run {
    fn answer(self, response: impl IntoResponse) {
        let _ = self.say.send(Said::Answer(response.into_response()));
    }

    /// Answers with a body that the test feeds.
    fn stream(self, declared: Option<u64>) -> Feeder {
        let (feeder, body) = fed(declared);
        self.answer(Body::new(body));
        feeder
    }

    fn fails(self) {
        let _ = self.say.send(Said::Error);
    }

    fn panics(self) {
        let _ = self.say.send(Said::Panic);
    }

    /// Waits until the handler is dropped.
    async fn cancelled(mut self) {
        soon(self.say.closed()).await;
    }

    fn is_cancelled(&self) -> bool {
        self.say.is_closed()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.request.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// The handler's side of a site.
struct Origin {
    runs: mpsc::UnboundedReceiver<Run>,
}

impl Origin {
    /// The next run.
    async fn run(&mut self) -> Run {
        soon(self.runs.recv()).await.expect("the site is there")
    }

    /// The runs that have begun by now.
    async fn all(&mut self) -> Vec<Run> {
        settle().await;
        std::iter::from_fn(|| self.runs.try_recv().ok()).collect()
    }

    async fn is_idle(&mut self) -> bool {
        self.all().await.is_empty()
    }
}

/// A handler that does what the test says, and its runs.
fn handler() -> (App, Origin) {
    let (begins, runs) = mpsc::unbounded_channel();
    let handler = tower::service_fn(move |request: Request<Body>| {
        let begins = begins.clone();
        async move {
            let (say, said) = oneshot::channel();
            let request = request.into_parts().0;
            begins.send(Run { request, say }).map_err(|_| "over")?;
            match said.await {
                Ok(Said::Answer(response)) => Ok(response),
                Ok(Said::Panic) => panic!("the handler panics, as the test wants"),
                Ok(Said::Error) | Err(_) => Err("the service's own error"),
            }
        }
    });
    (BoxCloneService::new(handler), Origin { runs })
}

/// A handler with a cache before it.
struct Site {
    app: App,
    cache: Cache,
    clock: ManualClock,
    origin: Origin,
}

fn site(policy: Policy) -> Site {
    let (cache, clock) = testing::cache();
    let (handler, origin) = handler();
    Site {
        app: cached(&cache, policy, handler),
        cache,
        clock,
        origin,
    }
}

fn cached(cache: &Cache, policy: Policy, handler: App) -> App {
    let app = cache.layer(policy).layer(handler);
    BoxCloneService::new(app.map_response(|response| response.map(Body::new)))
}

impl Site {
    fn ask(&self) -> Asking {
        self.ask_with(&[])
    }

    fn ask_with(&self, fields: &[(&str, &str)]) -> Asking {
        ask(&self.app, support::request(Method::GET, "/x", fields))
    }

    fn ask_many(&self, n: usize) -> Vec<Asking> {
        (0..n).map(|_| self.ask()).collect()
    }

    /// A request that is answered from what is stored by now.
    async fn hit(&self) -> String {
        let response = self.ask().response().await;
        testing::assert_hit(&response);
        text(response).await
    }

    /// Nothing goes on any more, and every request that was answered was counted once.
    async fn is_over(&self, requests: u64) {
        settle().await;
        soon(self.cache.idle()).await;
        let stats = self.cache.stats();
        let unanswered = stats.abandoned + stats.faults.get(Fault::Handler);
        assert_eq!(
            (stats.flights, stats.requests() - unanswered),
            (0, requests),
            "{stats:?}"
        );
    }
}

/// A client's request on its way.
struct Asking(JoinHandle<Answer>);

fn ask(app: &App, request: Request<Body>) -> Asking {
    Asking(tokio::spawn(app.clone().oneshot(request)))
}

impl Asking {
    async fn response(self) -> Response<Body> {
        self.result().await.expect("an answer")
    }

    async fn result(self) -> Answer {
        soon(self.0).await.expect("no panic")
    }

    async fn panicked(self) -> bool {
        soon(self.0).await.is_err_and(|error| error.is_panic())
    }

    /// The client closes its connection.
    async fn goes_away(self) {
        self.0.abort();
        let _ = self.0.await;
    }

    fn is_answered(&self) -> bool {
        self.0.is_finished()
    }
}

async fn whole(response: Response<Body>) -> Result<Bytes, axum::Error> {
    soon(response.into_body().collect())
        .await
        .map(http_body_util::Collected::to_bytes)
}

async fn text(response: Response<Body>) -> String {
    let whole = whole(response).await.expect("a whole body");
    String::from_utf8(whole.to_vec()).unwrap()
}

/// The next piece of a body.
async fn piece(body: &mut Body) -> Bytes {
    let frame = soon(body.frame()).await.expect("more");
    frame.expect("no error").into_data().expect("data")
}

fn is_coalesced(response: &Response<Body>) -> bool {
    matches!(testing::outcome(response), Outcome::Coalesced { .. })
}

fn is_miss(response: &Response<Body>) -> bool {
    matches!(testing::outcome(response), Outcome::Miss { .. })
}

/// A body that a test feeds.
struct Fed {
    frames: mpsc::UnboundedReceiver<Result<Frame<Bytes>, &'static str>>,
    declared: Option<u64>,
}

struct Feeder(mpsc::UnboundedSender<Result<Frame<Bytes>, &'static str>>);

fn fed(declared: Option<u64>) -> (Feeder, Fed) {
    let (feeder, frames) = mpsc::unbounded_channel();
    (Feeder(feeder), Fed { frames, declared })
}

impl Feeder {
    fn send(&self, data: impl Into<Bytes>) {
        let _ = self.0.send(Ok(Frame::data(data.into())));
    }

    fn trailers(&self) {
        let _ = self.0.send(Ok(Frame::trailers([].into_iter().collect())));
    }

    fn breaks(self) {
        let _ = self.0.send(Err("the body breaks off"));
    }

    fn panics(self) {
        let _ = self.0.send(Err(PANICS));
    }

    fn end(self) {}

    /// Waits until the body is dropped.
    async fn dropped(self) {
        soon(self.0.closed()).await;
    }
}

/// What makes a body panic.
const PANICS: &str = "panic";

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let frame = self.frames.poll_recv(cx);
        assert!(
            !matches!(frame, Poll::Ready(Some(Err(PANICS)))),
            "the body panics, as the test wants"
        );
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.declared
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
