//! Asks services in the process: the time of a request from its making to the
//! dropping of its response.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::Body as HttpBody;
use tokio::runtime::Runtime;
use tower::{Service, ServiceExt};

use crate::answer::{Calls, KEYS, request};
use crate::services::{self, Visit};
use crate::warm::warm;
use crate::{BoxError, Result};

type Batch = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A service that is warm. What is boxed is a whole batch of requests, so that
/// the service itself keeps its own type.
pub struct Case {
    pub name: &'static str,
    batch: Box<dyn Fn() -> Batch>,
    calls: Option<(Calls, u64)>,
}

impl Case {
    /// [`KEYS`] requests, one after the other.
    pub fn run(&self, runtime: &Runtime) -> Result<()> {
        let done = runtime.block_on((self.batch)());
        done.map_err(|error| format!("{}: {error}", self.name).into())
    }

    /// Fails if anything but hits was measured.
    pub fn only_hits(&self) -> Result<()> {
        match self.calls {
            Some((calls, before)) if calls.count() != before => {
                let times = calls.count() - before;
                Err(format!("{}: the handler was called {times} times", self.name).into())
            }
            _ => Ok(()),
        }
    }
}

/// All services, warm.
pub fn cases(runtime: &Runtime) -> Result<Vec<Case>> {
    let mut collect = Collect {
        runtime,
        cases: Vec::new(),
    };
    services::each(&mut collect)?;
    Ok(collect.cases)
}

struct Collect<'a> {
    runtime: &'a Runtime,
    cases: Vec<Case>,
}

impl Visit for Collect<'_> {
    fn visit<S, B>(&mut self, name: &'static str, service: S, calls: Option<Calls>) -> Result<()>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.runtime.block_on(warm(name, &service, calls))?;
        let batch = move || -> Batch {
            let service = service.clone();
            Box::pin(async move {
                for n in 0..KEYS {
                    let answer = service.clone().oneshot(request(n)).await;
                    black_box(answer.map_err(Into::into)?);
                }
                Ok(())
            })
        };
        self.cases.push(Case {
            name,
            batch: Box::new(batch),
            calls: calls.map(|calls| (calls, calls.count())),
        });
        Ok(())
    }
}

/// For so long a service is asked before it is measured: several batches of one that is
/// fast. After one alone, a part of what it reads is still where the service before it has
/// pushed it.
pub const WARM: Duration = Duration::from_millis(10);

/// Nanoseconds of a request, for each case one number for each round.
///
/// What is measured follows what is not: where the service before it has left the
/// processor's caches is not this one's doing.
pub fn measure(runtime: &Runtime, cases: &[Case], rounds: usize) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    for _ in 0..rounds {
        for (case, times) in cases.iter().zip(&mut times) {
            let warming = Instant::now();
            case.run(runtime)?;
            while warming.elapsed() < WARM {
                case.run(runtime)?;
            }
            let start = Instant::now();
            case.run(runtime)?;
            times.push(start.elapsed().as_secs_f64() * 1e9 / KEYS as f64);
        }
    }
    cases.iter().try_for_each(Case::only_hits)?;
    Ok(times)
}
