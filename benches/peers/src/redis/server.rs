//! A Redis of our own on a free port of loopback, that keeps nothing.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use crate::Result;
use crate::http::pin;

/// Killed when it is dropped, so also when something panics.
pub(super) struct RedisServer {
    child: Child,
    port: u16,
    /// Kept open: Redis ends if it cannot write its log.
    log: BufReader<ChildStdout>,
}

impl RedisServer {
    /// `None` if Redis is not installed.
    pub(super) fn start() -> Result<Option<Self>> {
        // taken and given back: whoever takes it in between makes Redis fail, with a clear message
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // a process starts on the core of the thread that starts it
        let spawn = move || {
            pin(0);
            command.spawn()
        };
        let spawned = thread::spawn(spawn)
            .join()
            .map_err(|_| "starting redis-server panicked")?;
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("redis-server: {error}").into()),
        };
        let log = child.stdout.take().ok_or("redis-server has no output")?;
        let mut server = Self {
            child,
            port,
            log: BufReader::new(log),
        };
        server.wait()?;
        Ok(Some(server))
    }

    /// Reads its log until it says that it is ready.
    fn wait(&mut self) -> Result<()> {
        let mut last = String::new();
        loop {
            let mut line = String::new();
            if self.log.read_line(&mut line)? == 0 {
                return Err(format!("redis-server ended: {}", last.trim()).into());
            }
            if line.contains("Ready to accept connections") {
                return Ok(());
            }
            last = line;
        }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // by the handle, so by its pid; it is gone already if this fails
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
