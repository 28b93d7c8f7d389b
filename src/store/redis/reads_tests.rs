//! Reads that go together, over a connection that answers with the key.

use std::sync::mpsc;
use std::thread;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, pending, ready};
use redis::{Arg, RedisResult};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::error::StoreErrorKind;
use crate::store::redis::connect::{Connect, Connection};
use crate::store::redis::push::{Pushes, Topic};

const TIMEOUT: Duration = Duration::from_millis(250);

/// How many commands each message had, and how it behaves.
struct Fake {
    messages: Mutex<Vec<usize>>,
    any_keys: bool,
    hangs: bool,
}

#[derive(Clone)]
struct Server(Arc<Fake>);

impl Connect for Server {
    fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        ready(Ok(connection)).boxed()
    }

    fn listen(&self, _: Topic) -> BoxFuture<'_, RedisResult<Pushes>> {
        pending().boxed()
    }

    fn any_keys(&self) -> bool {
        self.0.any_keys
    }
}

impl Connection for Server {
    fn run<'a>(&self, work: Work<'a>) -> BoxFuture<'a, RedisResult<Value>> {
        let (len, answer) = match work {
            Work::One(_, cmd) => (cmd.args_iter().count() - 1, answer(cmd)),
            Work::Reads(all) => (
                all.len(),
                Value::Array(all.cmd_iter().map(answer).collect()),
            ),
        };
        self.0.messages.lock().unwrap().push(len);
        match self.0.hangs {
            true => pending().boxed(),
            false => ready(Ok(answer)).boxed(),
        }
    }

    fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
        ready(Ok(vec![Node::Only])).boxed()
    }
}

/// The names of the keys, or an error if one of them may not be read.
fn answer(cmd: &Cmd) -> Value {
    let name = |arg: Arg<&[u8]>| match arg {
        Arg::Simple(name) => name.to_vec(),
        _ => panic!("{cmd:?}"),
    };
    let mut names = cmd.args_iter().map(name);
    let command = names.next();
    let names: Vec<Vec<u8>> = names.collect();
    if names.iter().any(|name| name.starts_with(b"bad")) {
        return redis::parse_redis_value(b"-NOPERM no permissions\r\n").unwrap();
    }
    let mut names = names.into_iter().map(Value::BulkString);
    match command.as_deref() {
        Some(b"MGET") => Value::Array(names.collect()),
        _ => names.next().expect("GET has a key"),
    }
}

fn server(any_keys: bool, hangs: bool) -> (Arc<Link>, Arc<Fake>) {
    let fake = Arc::new(Fake {
        messages: Mutex::default(),
        any_keys,
        hangs,
    });
    let connect = Box::new(Server(Arc::clone(&fake)));
    let link = Link::new(connect, TIMEOUT, "api:!{clock}".into());
    (Arc::new(link), fake)
}

fn messages(fake: &Fake) -> Vec<usize> {
    fake.messages.lock().unwrap().clone()
}

/// So many reads that more go together.
fn busy(link: &Arc<Link>) -> [UnderWay<'_>; FEW] {
    [(); FEW].map(|()| link.reads.begin())
}

async fn read(link: &Arc<Link>, name: &str) -> Result<Value, StoreError> {
    link.read(&Key::new(name), TIMEOUT).await
}

async fn read_many(link: &Arc<Link>, names: &[String]) -> Vec<Result<Value, StoreError>> {
    join_all(names.iter().map(|name| read(link, name))).await
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key:{n}")).collect()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn reads_that_are_asked_together_are_one_command_and_each_has_its_answer() {
    let (link, fake) = server(true, false);
    let _busy = busy(&link);
    let names = names(10);
    let answers = read_many(&link, &names).await;
    for (name, answer) in names.iter().zip(answers) {
        assert_eq!(answer.unwrap(), Value::BulkString(name.clone().into()));
    }
    assert_eq!(messages(&fake), [10]);
    read(&link, "later").await.unwrap();
    assert_eq!(messages(&fake), [10, 1]);
}

#[tokio::test]
async fn a_read_while_few_are_under_way_waits_for_no_task() {
    let (link, fake) = server(true, false);
    read(&link, "first").await.unwrap(); // connects
    let answer = read(&link, "alone").now_or_never();
    assert_eq!(answer.unwrap().unwrap(), Value::BulkString("alone".into()));
    assert_eq!(messages(&fake), [1, 1]);
    let busy = busy(&link);
    assert!(read(&link, "joins").now_or_never().is_none());
    drop(busy);
    assert!(
        read(&link, "alone").now_or_never().is_some(),
        "none is left"
    );
}

#[tokio::test]
async fn a_command_has_a_most() {
    let (link, fake) = server(true, false);
    let _busy = busy(&link);
    let answers = read_many(&link, &names(2 * MOST + 3)).await;
    assert!(answers.iter().all(Result::is_ok));
    let mut messages = messages(&fake);
    messages.sort_unstable();
    assert_eq!(messages, [3, MOST, MOST]);
}

#[tokio::test]
async fn where_keys_lie_apart_each_read_goes_by_itself() {
    let (link, fake) = server(false, false);
    let answers = read_many(&link, &names(3)).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(messages(&fake), [1, 1, 1]);
}

#[tokio::test]
async fn one_that_may_not_be_read_is_not_the_others() {
    let (link, fake) = server(true, false);
    let _busy = busy(&link);
    let names = ["key:1", "bad", "key:2"].map(str::to_owned);
    let answers = read_many(&link, &names).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert_eq!(messages(&fake), [3, 3], "together, then one by one");
}

#[tokio::test(start_paused = true)]
async fn a_command_without_an_answer_is_one_failure_and_each_goes_alone_afterwards() {
    let (link, fake) = server(true, true);
    let _busy = busy(&link);
    for answer in read_many(&link, &names(5)).await {
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Timeout);
    }
    for answer in read_many(&link, &names(4)).await {
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Timeout);
    }
    let left_alone = read(&link, "later").await.unwrap_err();
    assert_eq!(left_alone.kind(), StoreErrorKind::Unavailable);
    assert_eq!(messages(&fake), [5, 1, 1, 1, 1]);
}

#[test]
fn what_is_large_or_was_late_goes_in_smaller_commands() {
    let reads = Reads::default();
    let after = |reads: &Reads, count, each, slow| {
        reads.heard(count, count * each, slow);
        reads.most.load(Ordering::Relaxed)
    };
    assert_eq!(after(&reads, 16, 1_000, false), 16);
    assert_eq!(after(&reads, 16, LONG / 8, false), 8);
    assert_eq!(after(&reads, 8, 1_000, true), 4);
    assert_eq!(after(&reads, 1, LONG * 9, true), 1);
    assert_eq!(after(&reads, 1, LONG * 9, false), 1);
    for most in 2..=16 {
        assert_eq!(after(&reads, most - 1, 1_000, false), most);
    }
    assert_eq!(after(&reads, 0, 0, true), 1);
}

#[tokio::test]
async fn a_reader_who_leaves_is_not_asked_for() {
    let (link, fake) = server(true, false);
    let _busy = busy(&link);
    let gone = Key::new("gone");
    let mut leaves = Box::pin(link.read(&gone, TIMEOUT));
    assert!(leaves.as_mut().now_or_never().is_none());
    drop(leaves);
    read(&link, "stays").await.unwrap();
    assert_eq!(messages(&fake), [1]);
}

#[test]
fn nobody_waits_for_the_task_of_another_runtime() {
    let (link, fake) = server(true, false);
    let _busy = busy(&link);
    let (stalls, runs) = (runtime(), runtime());
    let key = Key::new("stalled");
    let mut stalled = Box::pin(link.read(&key, TIMEOUT));
    // its task is there, but the runtime stands still
    assert!(stalls.block_on(async { stalled.as_mut().now_or_never().is_none() }));
    let meanwhile = async { tokio::time::timeout(TIMEOUT * 20, read(&link, "runs")).await };
    runs.block_on(meanwhile).unwrap().unwrap();
    assert_eq!(messages(&fake), [1]);

    // and one that ends sends away who waits for it, and nobody else
    drop(stalls);
    let ended = runs.block_on(stalled).unwrap_err();
    assert_eq!(ended.kind(), StoreErrorKind::Unavailable);
    let answers = runs.block_on(read_many(&link, &names(2)));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(messages(&fake), [1, 2], "and reads go together again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_stuck_holds_nobody_beyond_the_timeout() {
    let (link, _) = server(true, false);
    let _busy = busy(&link);
    // as if another thread of this runtime were to run the task, and is blocked
    link.reads.forming().runtime = Some(Handle::current().id());
    let ended = tokio::time::timeout(TIMEOUT * 40, read(&link, "stuck")).await;
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Timeout);
}

/// What becomes of a read on a runtime that has ended. It is asked in a thread of its own:
/// one that holds itself up would never end.
fn read_late(link: &Arc<Link>) -> Result<Value, StoreError> {
    let ended = runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let (tell, told) = mpsc::channel();
    let reads = Arc::clone(link);
    thread::spawn(move || {
        let _on = handle.enter();
        tell.send(read(&reads, "late").now_or_never()).unwrap();
    });
    let answer = told.recv_timeout(TIMEOUT * 40).expect("the read ends");
    answer.expect("at once")
}

#[test]
fn a_read_on_a_runtime_that_has_ended_ends_too() {
    let (link, fake) = server(true, false);
    let busy = busy(&link);
    let error = read_late(&link).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let answers = runtime().block_on(read_many(&link, &names(2)));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(messages(&fake), [2], "and reads go together again");

    drop(busy);
    let (hangs, _) = server(true, true);
    let paused = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let first = paused.unwrap().block_on(read(&hangs, "first")); // connects
    assert_eq!(first.unwrap_err().kind(), StoreErrorKind::Timeout);
    let error = read_late(&hangs).unwrap_err(); // a timer of that runtime panics
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}
