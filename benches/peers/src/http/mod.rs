//! Asks services over HTTP/1.1 on loopback: the servers on one core, the
//! client on another, requests in a second.

mod client;
mod server;

use std::thread;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::Body as HttpBody;
use tower::Service;

use crate::answer::Calls;
use crate::services::{self, Visit};
use crate::{BoxError, Effort, Result, runtime};
use client::Client;
use server::Server;

/// Connections of the client to each server, one request at a time on each.
pub const CONNECTIONS: usize = 32;

/// Of a service: its name, and requests in a second for each round.
pub type Rates = Vec<(&'static str, Vec<f64>)>;

/// What was measured of the servers.
pub struct Measured {
    pub rates: Rates,
    /// Microseconds that a server's core works for a request.
    pub work: Rates,
}

/// Serves and asks every service, round by round.
pub fn measure(effort: Effort) -> Result<Measured> {
    let mut start = Start(Vec::new());
    services::each(&mut start)?;
    let servers = start.0;
    // a thread of its own, so that nothing but the client stays on its core
    let asking = thread::spawn(move || {
        pin(1);
        let measured = runtime()?.block_on(ask(&servers, effort))?;
        servers.iter().try_for_each(Server::only_hits)?;
        Ok(measured)
    });
    asking.join().map_err(|_| "the HTTP client panicked")?
}

async fn ask(servers: &[Server], effort: Effort) -> Result<Measured> {
    let mut clients = Vec::new();
    for server in servers {
        clients.push(Client::connect(server.address).await?);
    }
    let none = || servers.iter().map(|server| (server.name, Vec::new()));
    let (mut rates, mut work): (Rates, Rates) = (none().collect(), none().collect());
    for round in 0..effort.slices {
        eprintln!("  HTTP, round {} of {}", round + 1, effort.slices);
        for (n, (client, server)) in clients.iter_mut().zip(servers).enumerate() {
            let before = server.thread.ran()?;
            let asked = client.ask_for(effort.slice).await;
            let (answers, took) = asked.map_err(|e| format!("{} over HTTP: {e}", server.name))?;
            let worked = server.thread.ran()?.saturating_sub(before);
            rates[n].1.push(answers as f64 / took.as_secs_f64());
            work[n].1.push(worked.as_secs_f64() * 1e6 / answers as f64);
        }
    }
    Ok(Measured { rates, work })
}

/// Starts a server for each service.
struct Start(Vec<Server>);

impl Visit for Start {
    fn visit<S, B>(&mut self, name: &'static str, service: S, calls: Option<Calls>) -> Result<()>
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.0.push(Server::start(name, service, calls)?);
        Ok(())
    }
}

/// Keeps this thread, and what it starts, on a core; if the system or the
/// machine does not have it so, the scheduler decides.
pub(crate) fn pin(core: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let (true, Some(core)) = (cores.len() > 1, cores.get(core)) {
        core_affinity::set_for_current(*core);
    }
}
