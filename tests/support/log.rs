//! What is logged in this process, by all its tests: what `tracing` knows of who listens
//! they share.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

static ALL: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
    lines.with_env_filter("larder=info").with_ansi(false).init();
    log
});

/// Writes down what is logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of the whole process, from now on.
    pub fn everybodys() -> Self {
        ALL.clone()
    }

    pub fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }

    /// Those that have all of it.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        let text = format!("{self:?}");
        let lines = text
            .lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)));
        lines.map(str::to_owned).collect()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0.lock().unwrap()))
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
