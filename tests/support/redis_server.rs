//! A Redis of a test's own: on a free port, ended with the test.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server.
pub struct Redis {
    child: Child,
    port: u16,
    args: Vec<String>,
    /// Where it would write: nobody else's files are there.
    scratch: PathBuf,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that keeps what it holds when it is killed.
    pub fn start_durable() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// With more arguments of `redis-server`.
    pub fn start_with(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        for _ in 0..10 {
            let port = free_port();
            let name = format!("larder-redis-{}-{port}", std::process::id());
            let scratch = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&scratch).unwrap();
            if let Some(child) = spawn(port, &args, &scratch) {
                return Self {
                    child,
                    port,
                    args,
                    scratch,
                };
            }
        }
        panic!("no redis-server could be started on ten free ports");
    }

    /// A sentinel with this configuration, which it will rewrite.
    pub fn start_sentinel(config: &str) -> Self {
        Self::start_with(&[config, "--sentinel"])
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command and reads its answer.
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).unwrap()
    }

    /// The same where the server may refuse it, or be busy with something else.
    pub fn try_command<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_connection()?;
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query(&mut connection)
    }

    /// All names, those that larder keeps for itself included, but for the shared
    /// clock's.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&["KEYS", "*"]);
        keys.retain(|key| !key.contains(":!{clock}"));
        keys.sort();
        keys
    }

    /// How many wait to be told of the end of a fill.
    pub fn waiters(&self) -> u64 {
        let (_, n): (String, u64) = self.command(&["PUBSUB", "NUMSUB", "api:!wake"]);
        n
    }

    /// The names of entries.
    pub fn entries(&self) -> Vec<String> {
        let keys = self.keys();
        keys.into_iter().filter(|key| !key.contains(":!")).collect()
    }

    /// How often each command was called.
    pub fn calls(&self, command: &str) -> u64 {
        let stats: String = self.command(&["INFO", "commandstats"]);
        let start = format!("cmdstat_{command}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&start));
        line.and_then(|rest| rest.split(',').next())
            .map_or(0, |n| n.parse().unwrap())
    }

    /// Hangs: connections stay open and nothing answers.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Dies.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Comes back on the same port: empty, unless it is durable.
    pub fn restart(&mut self) {
        let child = spawn(self.port, &self.args, &self.scratch);
        self.child = child.expect("the port is still free");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.resume_for_the_end();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

impl Redis {
    fn resume_for_the_end(&self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill")
            .args(["-CONT", &pid])
            .stderr(Stdio::null())
            .status();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts a server and waits until it says that it is ready; none if the port
/// was taken meanwhile.
#[allow(
    clippy::zombie_processes,
    reason = "it is waited for when the server is dropped"
)]
fn spawn(port: u16, args: &[String], scratch: &Path) -> Option<Child> {
    let binary = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&binary);
    // a configuration file comes first
    let (file, args) = match args.split_first() {
        Some((file, rest)) if !file.starts_with("--") => (Some(file), rest),
        _ => (None, args),
    };
    command.args(file);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    if file.is_none() {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    let mut child = command
        .args(["--dir", &scratch.to_string_lossy()])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{binary}: {error}; `tests/run.sh --install` installs it"));
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let ready = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("eady to accept") || line.contains("Sentinel ID is"));
    if !ready {
        let _ = child.wait();
        return None;
    }
    // goes on reading, so that the server never waits for somebody to
    std::thread::spawn(move || lines.for_each(drop));
    Some(child)
}
