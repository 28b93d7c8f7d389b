//! A model checker over the flights: clients that lead, follow and go away, in
//! thousands of random interleavings of their steps (shuttle's scheduler stands
//! in for threads, tokio and its tasks). A schedule that fails is printed and can
//! be replayed.
//!
//! 1. Every client ends: a lost wake-up or a deadlock is one that does not.
//! 2. One handler runs at a time, as long as its answers may be shared.
//! 3. No flight is left behind when all have gone.
//! 4. What a client reads is a beginning of the truth, and all of it if it ends as
//!    if it were whole.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use super::model_sync::TASKS;
use super::{
    Entered, Flights, Follower, Following, Handoff, Landed, Landing, Leads, Led, Opened, drive,
};
use crate::body::ResponseBody;
use crate::clock::SystemClock;
use crate::entry::{Complete, Entry, Fields, Held, Recording};
use crate::generation::{Generation, Stamp};
use crate::handler::begin;
use crate::key::{Canonical, Key};
use crate::outcome::Refusal;
use crate::policy::freshness::{Lifetime, Rules};

const TRUTH: [&str; 3] = ["one ", "and ", "all"];
const LENGTH: u64 = 11;

/// How the handlers of a site answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    Whole,
    /// Without a declared length, so that nobody streams.
    Waits,
    /// The body fails, or ends before its length.
    Breaks,
    Short,
    Error,
    Private,
    /// Invalidated while it was made.
    Outdated,
}

struct Site {
    flights: Arc<Flights>,
    stored: AtomicBool,
    running: Arc<AtomicUsize>,
    answers: Answers,
    finishes: bool,
}

/// A handler run, until its answer has ended.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0, "two run at a time");
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Told {
    next: usize,
    answers: Answers,
    running: Option<Running>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        if thread_rng().gen_bool(0.3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.next += 1;
        let early = self.next == TRUTH.len();
        match (TRUTH.get(self.next - 1), self.answers) {
            (Some(_), Answers::Breaks) if early => {
                self.running = None;
                Poll::Ready(Some(Err("broken")))
            }
            (Some(part), answers) if !(early && answers == Answers::Short) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
            }
            _ => {
                self.running = None;
                Poll::Ready(None)
            }
        }
    }
}

fn place() -> Canonical {
    [1][..].into()
}

fn entry() -> Entry {
    Entry {
        canonical: place(),
        key: Key::new("api:x:1"),
        scopes: [].into(),
        status: StatusCode::OK,
        fields: Fields::empty(),
        body: Bytes::new(),
        created: 0,
        lifetime: Lifetime::fresh(1_000),
        rules: Rules::default(),
        took: 0,
        stamp: Stamp::default(),
    }
}

impl Site {
    /// As `Serve::share`.
    async fn client(self: Arc<Self>) {
        for _ in 0..3 {
            if self.stored.load(Ordering::SeqCst) {
                return;
            }
            let leads = Leads::Yes {
                finishes: self.finishes,
            };
            let times = (Generation::default(), 0);
            match self.flights.enter(&place(), times, leads, |_| true) {
                Entered::Lead(led, landing) => return self.lead(led, landing).await,
                Entered::Follow(follower) => {
                    if self.follow(follower).await {
                        return;
                    }
                }
                Entered::Alone(_) => return,
            }
        }
    }

    async fn lead(self: Arc<Self>, led: Led, landing: Landing) {
        let handoff = Handoff::new();
        let (giving, boarded) = (Arc::clone(&handoff), Arc::clone(led.flight()));
        let site = Arc::clone(&self);
        led.flight().board(Box::pin(async move {
            let mut running = Some(Running::new(&site.running));
            yields(thread_rng().gen_range(0..3)).await;
            let mut later = None;
            let answer = match site.answers {
                Answers::Error => {
                    running = None;
                    drop(landing);
                    Err("error")
                }
                Answers::Private => {
                    running = None;
                    landing.alone(None);
                    Ok(Response::new(ResponseBody::inner(site.told(None))))
                }
                _ => {
                    let (response, drive) = site.record(landing, running.take());
                    Ok(begin(response, Some(drive), |drive| later = Some(drive)).await)
                }
            };
            drop(running);
            giving.give(&boarded, answer);
            if let Some(drive) = later {
                drive.await;
            }
        }));
        let answer = led.lead(|| handoff.take()).await;
        drop(led);
        if let Ok(response) = answer {
            let short = self.answers == Answers::Short; // as its handler told it
            read(response.into_body(), short).await;
        }
    }

    fn told(&self, running: Option<Running>) -> Told {
        Told {
            next: 0,
            answers: self.answers,
            running,
        }
    }

    fn record(
        self: &Arc<Self>,
        landing: Landing,
        running: Option<Running>,
    ) -> (Response<ResponseBody<Told>>, super::Drive) {
        let declared = (self.answers != Answers::Waits).then_some(LENGTH);
        let opened = Opened {
            entry: entry(),
            headers: HeaderMap::new(),
            vary: [].into(),
            age: 0,
            streams: declared.is_some(),
            came: 0,
        };
        let site = Arc::clone(self);
        let finish = move |whole: Result<Complete, Refusal>, landing: Option<Landing>| {
            let Ok(whole) = whole else {
                return Landed::Alone;
            };
            assert_eq!(whole.into_bytes(), TRUTH.concat());
            if site.answers == Answers::Outdated {
                return Landed::Outdated;
            }
            site.stored.store(true, Ordering::SeqCst);
            drop(landing);
            Landed::Stored(Arc::new(Held::new(entry(), 0, 0, 0, Arc::default())))
        };
        let recording = Recording::new(100, declared, crate::entry::Budget::new(1 << 20));
        let told = self.told(running);
        let (finish, clock) = (Box::new(finish), Arc::new(SystemClock::new()));
        let (leading, drive) = drive(landing, opened, recording, finish, told, clock);
        (Response::new(Box::new(leading).into()), drive)
    }

    /// Whether that was an answer.
    async fn follow(&self, follower: Follower) -> bool {
        let whole = thread_rng().gen_bool(0.3);
        let (opened, landed) = follower.known(|_| whole).await;
        match (opened, landed) {
            (_, Some(Landed::Stored(_) | Landed::Alone)) => true,
            (_, Some(_)) | (None, None) => false,
            (Some(_), None) => {
                let body =
                    ResponseBody::<http_body_util::Empty<Bytes>>::from(Following::new(follower));
                read(body, false).await;
                true
            }
        }
    }
}

/// Reads a body to its end.
async fn read<B>(mut body: ResponseBody<B>, short: bool)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<crate::error::BoxError>,
{
    let mut got = String::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().expect("data");
                got.push_str(std::str::from_utf8(&data).expect("text"));
                assert!(TRUTH.concat().starts_with(&got), "no beginning: {got}");
            }
            Some(Err(_)) => return,
            None => break,
        }
    }
    assert!(
        short || got.is_empty() || got == TRUTH.concat(),
        "a part as the whole: {got}"
    );
}

async fn yields(n: usize) {
    for _ in 0..n {
        shuttle::future::yield_now().await;
    }
}

/// Clients on threads of their own, some of whom go away at some time.
fn site(answers: Answers, finishes: bool) {
    TASKS.set(0);
    let site = Arc::new(Site {
        flights: Arc::new(Flights::new(10, 10)),
        stored: AtomicBool::new(false),
        running: Arc::default(),
        answers,
        finishes,
    });
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let site = Arc::clone(&site);
            shuttle::thread::spawn(move || {
                let goes = thread_rng().gen_bool(0.5);
                let turns = thread_rng().gen_range(0..8);
                let client = Arc::clone(&site).client();
                shuttle::future::block_on(async move {
                    match goes {
                        true => match select(pin!(client), pin!(yields(turns))).await {
                            Either::Left(_) | Either::Right(_) => {}
                        },
                        false => client.await,
                    }
                });
            })
        })
        .collect();
    for client in clients {
        client.join().expect("it ends");
    }
    while TASKS.get() > 0 {
        shuttle::thread::yield_now(); // a fill in a task comes to its end by itself
    }
    assert_eq!(site.flights.len(), 0, "a flight is left behind");
    assert_eq!(site.running.load(Ordering::SeqCst), 0);
}

fn check(answers: Answers) {
    for finishes in [false, true] {
        run(RandomScheduler::new(ROUNDS), answers, finishes);
        run(PctScheduler::new(4, ROUNDS), answers, finishes);
    }
}

fn run(scheduler: impl Scheduler + 'static, answers: Answers, finishes: bool) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    Runner::new(scheduler, config).run(move || site(answers, finishes));
}

const ROUNDS: usize = 2_000;

#[test]
fn whole_answers() {
    check(Answers::Whole);
}

#[test]
fn answers_that_declare_no_length() {
    check(Answers::Waits);
}

#[test]
fn bodies_that_break() {
    check(Answers::Breaks);
}

#[test]
fn bodies_that_are_short() {
    check(Answers::Short);
}

#[test]
fn errors() {
    check(Answers::Error);
}

#[test]
fn answers_of_one() {
    check(Answers::Private);
}

#[test]
fn answers_that_are_invalidated() {
    check(Answers::Outdated);
}
