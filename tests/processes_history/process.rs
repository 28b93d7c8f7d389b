//! A process of the system, as its parent sees it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::history::{History, Version, WITH_MEMORY};

pub const URL: &str = "LARDER_CHILD_URL";
pub const MEMORY: &str = "LARDER_CHILD_MEMORY";

/// A process that lives answers by then, also one that was stopped in between.
const LONGEST: Duration = Duration::from_secs(60);

/// What came of an operation.
pub struct Came(String);

impl Came {
    pub fn is_done(&self) -> bool {
        self.0 == "done"
    }

    pub fn version(&self) -> Option<Version> {
        let (began, made) = self.0.split_once(' ')?;
        Some(Version {
            began: began.parse().unwrap(),
            made: made == "true",
        })
    }
}

/// Who waits for an answer; nobody any more once the process has ended.
type Waiting = Mutex<Option<HashMap<u64, mpsc::Sender<Came>>>>;

struct Ends {
    stdin: Mutex<ChildStdin>,
    waiting: Waiting,
    last: AtomicU64,
}

pub struct Process {
    child: Mutex<Child>,
    ends: Arc<Ends>,
}

impl Process {
    pub fn start(url: &str, n: usize, history: &Arc<History>) -> Arc<Self> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let this = "no_process_reads_what_is_older_than_what_was_done_before";
        command.args(["--exact", this, "--nocapture"]);
        command.env(URL, url);
        if n < WITH_MEMORY {
            command.env(MEMORY, "1");
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ends = Arc::new(Ends {
            stdin: Mutex::new(child.stdin.take().unwrap()),
            waiting: Mutex::new(Some(HashMap::new())),
            last: AtomicU64::new(0),
        });
        let (stdout, hears) = (child.stdout.take().unwrap(), Arc::clone(&ends));
        let history = Arc::clone(history);
        std::thread::spawn(move || hears.hear(stdout, &history));
        let child = Mutex::new(child);
        Arc::new(Self { child, ends })
    }

    /// What came of it; none where the process has ended first.
    pub fn asks(&self, what: &str, key: usize, version: u64) -> Option<Came> {
        let n = self.ends.last.fetch_add(1, Ordering::Relaxed);
        let (sends, came) = mpsc::channel();
        self.ends.waiting().as_mut()?.insert(n, sends);
        self.ends.tell(&format!("{n} {what} {key} {version}"));
        match came.recv_timeout(LONGEST) {
            Err(RecvTimeoutError::Timeout) => panic!("no answer to {what} {key}"),
            came => came.ok(),
        }
    }

    pub fn stop(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let mut child = self.child.lock().unwrap();
        if child.try_wait().unwrap().is_none() {
            let pid = child.id().to_string();
            let status = Command::new("kill").args([signal, &pid]).status();
            assert!(status.unwrap().success());
        }
    }

    /// It ends in the middle of what it does.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ends {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, mpsc::Sender<Came>>>> {
        self.waiting.lock().unwrap()
    }

    /// One that has ended hears nothing.
    fn tell(&self, line: &str) {
        let _ = writeln!(self.stdin.lock().unwrap(), "{line}");
    }

    fn hear(&self, stdout: ChildStdout, history: &History) {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(n) = line.strip_prefix("? ") {
                self.tell(&format!("! {n} {}", history.event()));
            } else if let Some((n, came)) =
                line.strip_prefix("> ").and_then(|it| it.split_once(' '))
            {
                let sends = self.waiting().as_mut().unwrap().remove(&n.parse().unwrap());
                let _ = sends.unwrap().send(Came(came.to_owned()));
            }
        }
        *self.waiting() = None;
    }
}
