//! A connection of its own for what replicas must confirm: a script, and `WAIT` behind it
//! in the same message. A connection that waits for replicas reads nothing meanwhile,
//! and what it waits for is what it has written itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, Value};
use tokio::time::Instant;

use super::connect::{Connection, Work};
use super::line::{Borrowed, Line, is_dead};
use super::link::{Failure, Link};
use crate::error::StoreError;

#[derive(Default)]
pub(super) struct Own {
    /// There were replicas when the clock was asked last.
    replicas: AtomicBool,
    connection: Mutex<Option<Arc<dyn Connection>>>,
    /// Held while it is made, so that one is.
    connecting: tokio::sync::Mutex<()>,
}

impl Own {
    pub(super) fn is_wanted(&self) -> bool {
        self.replicas.load(Ordering::Relaxed)
    }

    pub(super) fn want(&self, replicas: bool) {
        self.replicas.store(replicas, Ordering::Relaxed);
    }

    fn connection(&self) -> MutexGuard<'_, Option<Arc<dyn Connection>>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        *self.connection() = None;
    }

    fn give_up(&self, known: &Arc<dyn Connection>) {
        let mut current = self.connection();
        let same = |current: &Arc<dyn Connection>| Arc::ptr_eq(current, known);
        if current.as_ref().is_some_and(same) {
            *current = None;
        }
    }
}

impl Line {
    /// The connection, and whether it was made for this. One that must be made first is made
    /// in a task of its own: a caller whose time is up does not stop it. Nobody waits for
    /// another's for longer than that may take: his runtime may not be driven.
    async fn own(self: &Arc<Self>) -> RedisResult<(Arc<dyn Connection>, bool)> {
        if let Some(connection) = &*self.own.connection() {
            return Ok((Arc::clone(connection), false));
        }
        let line = Arc::clone(self);
        let made = tokio::spawn(async move {
            let _one = tokio::time::timeout(line.longest(), line.own.connecting.lock()).await;
            if let Some(connection) = &*line.own.connection() {
                return Ok((Arc::clone(connection), false));
            }
            let connecting = line.connect.connect_to(&line.clock);
            let connecting = tokio::time::timeout(line.longest(), connecting).await;
            let late = |_| Err((ErrorKind::Io, "no connection in time").into());
            let connection = connecting.unwrap_or_else(late)?;
            *line.own.connection() = Some(Arc::clone(&connection));
            Ok((connection, true))
        });
        let stopped = |_| Err((ErrorKind::Io, "connecting was stopped").into());
        made.await.unwrap_or_else(stopped)
    }

    /// Runs some commands there, once more on a fresh one where it has died since.
    async fn on_own(self: &Arc<Self>, all: &Pipeline, timeout: Duration) -> Result<Value, Failure> {
        let end = Instant::now() + timeout;
        loop {
            let own = tokio::time::timeout_at(end, self.own()).await;
            let own = own.map_err(|_| Failure::Timeout)?;
            let (connection, fresh) = own.map_err(Failure::Redis)?;
            let borrowed = Borrowed {
                connection: Arc::clone(&connection),
                number: 0,
                fresh,
            };
            let done = tokio::time::timeout_at(end, borrowed.run(Work::Reads(all))).await;
            let error = match done.map(|done| done.and_then(answers)) {
                Ok(Ok(answers)) => return Ok(answers),
                Ok(Err(error)) if !ends(&error) => return Err(Failure::Redis(error)),
                Ok(Err(error)) => Failure::Redis(error),
                Err(_) => Failure::Timeout, // it may hang: the next one does better
            };
            self.own.give_up(&connection);
            if fresh || matches!(error, Failure::Timeout) {
                return Err(error);
            }
        }
    }
}

impl Link {
    /// The connection for what replicas must confirm.
    pub(super) fn own(&self) -> &Own {
        &self.line().own
    }

    /// Runs some commands where the clock is, within `timeout`, on the connection for that.
    pub(super) async fn confirmed(
        &self,
        all: &Pipeline,
        timeout: Duration,
    ) -> Result<Value, StoreError> {
        let line = self.line();
        let admission = self.admit(self.current().shard(line.probe()))?;
        let end = line.on_own(all, timeout).await;
        self.settle(admission, end)
    }
}

/// One that is an error makes all of them one.
fn answers(all: Value) -> RedisResult<Value> {
    let Value::Array(answers) = all else {
        return Ok(all);
    };
    let error = answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    });
    error.map_or(Ok(Value::Array(answers)), Err)
}

/// A new connection may do better, or go to another server.
fn ends(error: &RedisError) -> bool {
    is_dead(error) || error.redirect_node().is_some()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, pending, ready};
    use tokio::runtime::Builder;

    use super::super::connect::{Connect, Node};
    use super::super::push::{Pushes, Topic};
    use super::*;

    /// The first who connects is never let in.
    struct Server(AtomicBool);

    struct Answers;

    impl Connect for Server {
        fn connect(&self) -> BoxFuture<'_, RedisResult<Arc<dyn Connection>>> {
            match self.0.swap(true, Ordering::Relaxed) {
                true => ready(Ok(Arc::new(Answers) as Arc<dyn Connection>)).boxed(),
                false => pending().boxed(),
            }
        }

        fn listen(&self, _: Topic) -> BoxFuture<'_, RedisResult<Pushes>> {
            pending().boxed()
        }
    }

    impl Connection for Answers {
        fn run<'a>(&self, _: Work<'a>) -> BoxFuture<'a, RedisResult<Value>> {
            ready(Ok(Value::Array(vec![Value::Okay]))).boxed()
        }

        fn primaries(&self) -> BoxFuture<'_, RedisResult<Vec<Node>>> {
            ready(Ok(vec![Node::Only])).boxed()
        }
    }

    #[test]
    fn one_who_connects_on_a_runtime_that_is_not_driven_keeps_nobody_waiting() {
        let connect = Box::new(Server(AtomicBool::new(false)));
        const TIMEOUT: Duration = Duration::from_secs(2);
        let link = Link::new(connect, TIMEOUT, "api:!{clock}".into());
        let runtime = || {
            let mut builder = Builder::new_current_thread();
            builder.enable_all().start_paused(true).build().unwrap()
        };
        let (stands, runs) = (runtime(), runtime());
        let all = redis::pipe();
        let confirmed = || link.confirmed(&all, TIMEOUT * 2);
        stands.block_on(async {
            assert!(confirmed().now_or_never().is_none());
            tokio::task::yield_now().await; // it connects
        });
        let answer = runs.block_on(confirmed());
        assert!(answer.is_ok(), "{answer:?}");
    }
}
