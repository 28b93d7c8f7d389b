//! A site: an origin that answers by a script, and a cache before it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use larder::testing::ManualClock;
use larder::{Cache, CacheBuilder, CacheService, Clock, MIB, Policy, ResponseBody};
use tokio::sync::oneshot;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::redis_server::Redis;
use crate::support::{PATIENT, Reply, SHORT, Tiers, request, tiers_with};

/// The origin could not be reached.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreachable;

/// One line of the origin's script.
pub enum Answer {
    Now(Response<Body>),
    Later(oneshot::Receiver<Response<Body>>),
    Unreachable,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Now(response)
    }
}

/// 200 with these fields.
pub fn ok(body: &'static str, fields: &[(&str, &str)]) -> Response<Body> {
    status(200, body, fields)
}

/// A fresh answer, and nothing else.
pub fn fresh(body: &'static str) -> Response<Body> {
    ok(body, &[("cache-control", "max-age=60")])
}

pub fn status(status: u16, body: &'static str, fields: &[(&str, &str)]) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// A request as the origin saw it.
#[derive(Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
struct Origin {
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    fn answer(
        &self,
        request: &Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Unreachable>> + Send + use<> {
        self.seen.lock().unwrap().push(Seen {
            method: request.method().clone(),
            headers: request.headers().clone(),
        });
        let answer = self.script.lock().unwrap().pop_front();
        let unexpected = format!(
            "{} {} is not in the script",
            request.method(),
            request.uri()
        );
        let answer = answer.expect(&unexpected);
        async move {
            match answer {
                Answer::Now(response) => Ok(response),
                Answer::Later(receiver) => Ok(receiver.await.unwrap()),
                Answer::Unreachable => Err(Unreachable),
            }
        }
    }
}

type Cached = BoxCloneSyncService<Request<Body>, Response<ResponseBody<Body>>, Unreachable>;

/// A cache on one tier, before an origin.
pub struct Site {
    pub name: &'static str,
    pub cache: Cache,
    pub clock: ManualClock,
    origin: Origin,
    app: Cached,
    _redis: Option<Redis>,
}

/// Runs a test on every tier, under `Policy::http()`.
pub async fn everywhere(test: impl AsyncFn(Site)) {
    everywhere_under(Policy::http, test).await;
}

/// Runs a test on every tier.
pub async fn everywhere_under(policy: impl Fn() -> Policy, test: impl AsyncFn(Site)) {
    for tiers in all(|builder| builder).await {
        test(Site::new(tiers, policy())).await;
    }
}

/// Runs a test on every tier, with more settings of the cache.
pub async fn everywhere_with(
    settings: impl Fn(CacheBuilder) -> CacheBuilder,
    test: impl AsyncFn(Site),
) {
    for tiers in all(settings).await {
        test(Site::new(tiers, Policy::http())).await;
    }
}

/// Memory, Redis, and memory before Redis.
async fn all(settings: impl Fn(CacheBuilder) -> CacheBuilder) -> Vec<Tiers> {
    let mut tiers = tiers_with(&settings).await;
    let (redis, clock) = (Redis::start(), ManualClock::new());
    let both = Cache::builder()
        .memory(16 * MIB)
        .redis(redis.url())
        .lease(SHORT)
        .operation_timeout(PATIENT);
    let both = both.clock(Arc::new(clock.clone()));
    tiers.push(Tiers {
        name: "both",
        cache: settings(both).build().unwrap(),
        clock,
        redis: Some(redis),
    });
    tiers
}

impl Site {
    fn new(tiers: Tiers, policy: Policy) -> Self {
        let origin = Origin::default();
        let asked = origin.clone();
        let service = service_fn(move |request: Request<Body>| asked.answer(&request));
        let app: CacheService<_> = tiers.cache.layer(policy).layer(service);
        Self {
            name: tiers.name,
            cache: tiers.cache,
            clock: tiers.clock,
            origin,
            app: BoxCloneSyncService::new(app),
            _redis: tiers.redis,
        }
    }

    /// Continues the origin's script.
    pub fn answers<A: Into<Answer>>(&self, answers: impl IntoIterator<Item = A>) {
        let answers = answers.into_iter().map(Into::into);
        self.origin.script.lock().unwrap().extend(answers);
    }

    /// Continues the origin's script with an answer that is to be given later.
    pub fn answers_later(&self) -> oneshot::Sender<Response<Body>> {
        let (sender, receiver) = oneshot::channel();
        self.answers([Answer::Later(receiver)]);
        sender
    }

    /// Drops the rest of the script.
    pub fn forget_script(&self) {
        self.origin.script.lock().unwrap().clear();
    }

    /// Drops what is stored.
    pub async fn forget(&self) {
        self.cache.invalidate(larder::everything()).await.unwrap();
    }

    /// What the origin was asked since it was last looked at.
    pub fn asked(&self) -> Vec<Seen> {
        std::mem::take(&mut self.origin.seen.lock().unwrap())
    }

    /// How many requests that is.
    pub fn count(&self) -> usize {
        self.origin.seen.lock().unwrap().len()
    }

    /// The only request since then.
    #[track_caller]
    pub fn asked_once(&self) -> Seen {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{}: {asked:?}", self.name);
        asked.remove(0)
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A date so many seconds from now.
    pub fn date(&self, seconds: i64) -> String {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let now = self.clock.wall();
        let date: SystemTime = if seconds < 0 { now - by } else { now + by };
        httpdate::fmt_http_date(date)
    }

    /// Sends a request, and reads the answer to its end. What it left to the
    /// background may still run.
    pub async fn begin(&self, request: Request<Body>) -> Result<Reply, Unreachable> {
        let response = self.app.clone().oneshot(request).await?;
        let outcome = larder::testing::outcome(&response);
        let (parts, body) = response.into_parts();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
            outcome,
        })
    }

    /// The same, and waits for what it left to the background.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Reply, Unreachable> {
        let reply = self.begin(request).await;
        self.cache.idle().await;
        reply
    }

    pub async fn send(&self, method: &str, uri: &str, fields: &[(&str, &str)]) -> Reply {
        let method = method.parse().unwrap();
        let reply = self.try_send(request(method, uri, fields)).await;
        reply.unwrap()
    }

    pub async fn get(&self, fields: &[(&str, &str)]) -> Reply {
        self.send("GET", "/x", fields).await
    }

    /// Stores an answer.
    pub async fn store(&self, answer: Response<Body>) {
        self.answers([answer]);
        assert!(!self.get(&[]).await.hit());
        self.asked();
    }

    /// Asserts that a plain GET is answered by what is stored, and how.
    #[track_caller]
    pub fn hits(&self, body: &str) -> impl Future<Output = Reply> {
        let at = std::panic::Location::caller();
        let body = body.to_owned();
        async move {
            let reply = self.get(&[]).await;
            assert!(reply.hit(), "{} {at}: {reply:?}", self.name);
            assert_eq!(reply.text(), body, "{} {at}", self.name);
            reply
        }
    }

    /// Asserts that a GET with these fields is answered by the origin.
    #[track_caller]
    pub fn misses(&self, fields: &[(&str, &str)]) -> impl Future<Output = Reply> {
        let at = std::panic::Location::caller();
        let request = request(Method::GET, "/x", fields);
        async move {
            self.answers([status(200, "from the origin", &[("x-new", "1")])]);
            let reply = self.try_send(request).await.unwrap();
            assert!(!reply.hit(), "{} {at}: {reply:?}", self.name);
            assert_eq!(reply.text(), "from the origin", "{} {at}", self.name);
            self.asked();
            reply
        }
    }
}

/// This cache's member of `Cache-Status`, by a parser that is not ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub hit: bool,
    pub fwd: Option<String>,
    pub fwd_status: Option<i64>,
    pub ttl: Option<i64>,
    pub stored: bool,
    pub detail: Option<String>,
}

/// The last member, which is the cache's next to the client (RFC 9211, 2).
pub fn member(reply: &Reply) -> Member {
    let lines = reply.headers.get_all("cache-status").iter();
    let text: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
    let list = sfv::Parser::new(&text.join(", ")).parse::<sfv::List>();
    let Some(sfv::ListEntry::Item(item)) = list.unwrap().pop() else {
        panic!("no item: {text:?}");
    };
    assert_eq!(item.bare_item.as_token().unwrap().as_str(), "larder");
    let mut member = Member::default();
    for (key, value) in &item.params {
        let token = || value.as_token().unwrap().as_str().to_owned();
        let number = || i64::from(value.as_integer().unwrap());
        match key.as_str() {
            "hit" => member.hit = value.as_boolean().unwrap(),
            "stored" => member.stored = value.as_boolean().unwrap(),
            "fwd" => member.fwd = Some(token()),
            "fwd-status" => member.fwd_status = Some(number()),
            "ttl" => member.ttl = Some(number()),
            "detail" => member.detail = Some(token()),
            other => panic!("unknown parameter {other}"),
        }
    }
    assert!(!(member.hit && member.fwd.is_some()), "{member:?}");
    member
}
