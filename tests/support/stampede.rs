//! A crowd of requests for one cold key, over several processes that share a
//! Redis. The processes are this binary again, with the environment saying so.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use larder::{Cache, MIB, Policy, minutes};
use tower::{Layer, ServiceExt, service_fn};

/// Says to a process where Redis is, and that it is one of several.
const REDIS: &str = "LARDER_STAMPEDE_REDIS";
/// How long the handler takes.
pub const HANDLER: Duration = Duration::from_millis(200);

/// What one process has seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub runs: usize,
    pub answers: usize,
    pub slowest: Duration,
}

/// Whether this process is one of the crowd: then it does its part.
pub fn is_one() -> bool {
    let Ok(url) = std::env::var(REDIS) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(part(&url));
    true
}

/// Reads lines `<path> <requests>`, and answers each with what it has seen.
#[allow(clippy::disallowed_methods, reason = "it measures time")]
async fn part(url: &str) {
    let cache = Cache::builder()
        .memory(16 * MIB)
        .redis(url)
        .build()
        .unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let handler = service_fn(move |_: Request<Body>| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            println!("runs");
            tokio::time::sleep(HANDLER).await;
            Ok::<_, Infallible>(Response::new(Body::from("made")))
        }
    });
    let service = cache
        .layer(Policy::ttl(minutes(5)).endpoint("crowd"))
        .layer(handler);
    // the connection is there, as in a process that has served before
    let _ = service.clone().oneshot(request("/warm-up")).await;
    cache.idle().await;
    println!("ready");
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin());
    loop {
        let mut line = String::new();
        if tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line)
            .await
            .unwrap_or(0)
            == 0
        {
            return;
        }
        let (path, requests) = line.trim().split_once(' ').unwrap();
        let before = runs.load(Ordering::SeqCst);
        let asks = (0..requests.parse().unwrap()).map(|_: usize| {
            let service = service.clone();
            let request = request(path);
            tokio::spawn(async move {
                let start = Instant::now();
                let response = service.oneshot(request).await.unwrap();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, "made");
                start.elapsed()
            })
        });
        let asks: Vec<_> = asks.collect();
        let (mut answers, mut slowest) = (0, Duration::ZERO);
        for ask in asks {
            slowest = slowest.max(ask.await.unwrap());
            answers += 1;
        }
        let runs = runs.load(Ordering::SeqCst) - before;
        println!("seen {runs} {answers} {}", slowest.as_micros());
    }
}

fn request(path: &str) -> Request<Body> {
    let request = Request::builder().uri(path).header("host", "a.example");
    request.body(Body::empty()).unwrap()
}

/// Processes that share a Redis; ended with this.
pub struct Crowd(Vec<One>);

struct One {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Crowd {
    /// Starts `count` processes of this binary with `args`, each of which calls
    /// [`is_one`] first.
    pub fn start(url: &str, count: usize, args: &[&str]) -> Self {
        let start = |_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(args).env(REDIS, url);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            One { child, lines }
        };
        let mut all: Vec<One> = (0..count).map(start).collect();
        for one in &mut all {
            one.wait_for("ready");
        }
        Self(all)
    }

    /// Lets all ask at once, so many requests in all.
    pub fn ask(&mut self, path: &str, requests: usize) {
        let each = requests / self.0.len();
        for one in &mut self.0 {
            let stdin = one.child.stdin.as_mut().unwrap();
            writeln!(stdin, "{path} {each}").unwrap();
        }
    }

    /// What all have seen.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.0.iter_mut().map(One::seen).collect()
    }

    /// Ends the process whose handler runs, as soon as one does, and forgets it.
    pub fn kill_the_leader(&mut self) {
        let leaders: Vec<_> = self
            .0
            .drain(..)
            .map(|mut one| {
                std::thread::spawn(move || {
                    let leads = one.next_is_a_run();
                    (one, leads)
                })
            })
            .collect();
        // the others' next line comes only after the leader's end: end it first
        self.0 = end_the_first(leaders);
    }
}

type Watched = std::thread::JoinHandle<(One, bool)>;

fn end_the_first(mut watched: Vec<Watched>) -> Vec<One> {
    let mut left = Vec::new();
    let at = loop {
        if let Some(at) = watched.iter().position(Watched::is_finished) {
            break at;
        }
        std::thread::yield_now();
    };
    let (mut leader, leads) = watched.remove(at).join().unwrap();
    assert!(leads, "the first line is a run of the handler");
    leader.child.kill().unwrap();
    leader.child.wait().unwrap();
    for one in watched {
        left.push(one.join().unwrap().0);
    }
    left
}

impl One {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn wait_for(&mut self, text: &str) {
        loop {
            let line = self.line();
            if line == text {
                return;
            }
        }
    }

    /// Reads one line ahead; what has been seen is kept.
    fn next_is_a_run(&mut self) -> bool {
        let buffered = self.lines.fill_buf().unwrap();
        buffered.starts_with(b"runs")
    }

    fn seen(&mut self) -> Seen {
        loop {
            let line = self.line();
            if let Some(seen) = line.strip_prefix("seen ") {
                let mut numbers = seen.split(' ').map(|n| n.parse::<usize>().unwrap());
                let mut next = || numbers.next().unwrap();
                return Seen {
                    runs: next(),
                    answers: next(),
                    slowest: Duration::from_micros(next() as u64),
                };
            }
            assert!(line == "runs", "{line:?}");
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
