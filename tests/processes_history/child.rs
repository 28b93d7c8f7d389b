//! One of the processes: it does what its parent tells it, line by line.
//!
//! | it reads | it answers |
//! |---|---|
//! | `<n> <what> <key> <version>` | `> <n> <what came of it>` |
//! | `! <n> <moment>` | nothing: it had asked `? <n>` when a load, or a handler, began |

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::routing::get as on_get;
use larder::values::Values;
use larder::{Cache, MIB, Outcome, Policy, Refusal, minutes, tag};
use tokio::sync::{mpsc, oneshot};

use crate::support::{PATIENT, SHORT, get};

/// What the parent is asked, until it answers.
#[derive(Default)]
struct Asked {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<u64>>>,
}

impl Asked {
    /// The moment at which something begins.
    async fn now(&self) -> u64 {
        let n = self.last.fetch_add(1, Ordering::Relaxed);
        let (tells, told) = oneshot::channel();
        self.waiting().insert(n, tells);
        println!("? {n}");
        told.await.unwrap()
    }

    fn answered(&self, n: u64, moment: u64) {
        let tells = self.waiting().remove(&n).unwrap();
        let _ = tells.send(moment); // who asked may have gone
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<u64>>> {
        self.waiting.lock().unwrap()
    }
}

#[derive(Clone)]
struct OneProcess {
    cache: Cache,
    /// When they began, and whether they were loaded.
    values: Values<(u64, bool)>,
    app: Router,
    asked: Arc<Asked>,
}

impl OneProcess {
    fn new(url: String, memory: bool) -> Self {
        let builder = Cache::builder().redis(url);
        let builder = builder.lease(SHORT * 3).operation_timeout(PATIENT);
        let builder = match memory {
            true => builder.memory(16 * MIB),
            false => builder,
        };
        let cache = builder.build().unwrap();
        let values = cache.values("version").ttl(minutes(5));
        let asked = Arc::<Asked>::default();
        let asks = Arc::clone(&asked);
        let handler = on_get(move || async move { format!("{} true", asks.now().await) });
        let layer = cache.layer(Policy::ttl(minutes(5)).tag("item:{id}").tag("all"));
        Self {
            values: values.tag("all").build().unwrap(),
            app: Router::new().route("/items/{id}", handler.layer(layer)),
            cache,
            asked,
        }
    }

    async fn does(&self, what: &str, key: &str, version: u64) -> String {
        let is_done = match what {
            "load" => return self.loads(key).await,
            "read" => match self.values.get(key).await {
                Some(found) => return said(*found),
                None => false,
            },
            "page" => {
                let reply = get(&self.app, &format!("/items/{key}")).await;
                return reply.text().to_owned();
            }
            "insert" => {
                let inserted = self.values.insert(key, (version, false)).await;
                matches!(inserted.outcome(), Outcome::Miss { stored: Ok(()), .. })
            }
            "remove" => self.values.remove(key).await.is_ok(),
            "item" => {
                let item = tag(format!("item:{key}"));
                self.cache.invalidate(item).await.is_ok()
            }
            _ => self.cache.invalidate(tag("all")).await.is_ok(),
        };
        (if is_done { "done" } else { "not" }).to_owned()
    }

    async fn loads(&self, key: &str) -> String {
        let asked = Arc::clone(&self.asked);
        let load = || async move { Ok::<_, Refusal>((asked.now().await, true)) };
        said(*self.values.get_or_try_insert_with(key, load).await.unwrap())
    }
}

fn said((began, made): (u64, bool)) -> String {
    format!("{began} {made}")
}

/// It ends with its parent.
#[tokio::main(worker_threads = 2)]
pub async fn run(url: String, memory: bool) {
    let process = OneProcess::new(url, memory);
    let (sends, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sends.send(line);
        }
    });
    println!(); // behind what the test harness says
    while let Some(line) = lines.recv().await {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        if words[0] == "!" {
            process.asked.answered(number(1), number(2));
            continue;
        }
        let (process, version) = (process.clone(), number(3));
        tokio::spawn(async move {
            let came = process.does(&words[1], &words[2], version).await;
            println!("> {} {came}", words[0]);
        });
    }
    std::process::exit(0);
}
