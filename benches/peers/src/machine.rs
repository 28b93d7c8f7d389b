//! What a table is worth depends on where and with what it was measured.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::Result;

/// Cores and their name.
pub fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field.trim() == "model name").then(|| value.trim())
    });
    format!("{cores} cores, {}", name.unwrap_or("of an unknown kind"))
}

/// The version of a package that this was built with.
pub fn version(package: &str) -> &'static str {
    const LOCK: &str = include_str!("../Cargo.lock");
    let line = format!("name = \"{package}\"");
    let after = LOCK.lines().skip_while(|of| *of != line).nth(1);
    let version = after.and_then(|line| line.strip_prefix("version = \""));
    version.map_or("?", |text| text.trim_end_matches('"'))
}

/// A thread, as `/proc` knows it.
#[derive(Debug, Clone)]
pub struct Thread(PathBuf);

impl Thread {
    /// The one that calls.
    pub fn current() -> Result<Self> {
        let own = std::fs::read_link("/proc/thread-self")?;
        Ok(Self(PathBuf::from("/proc").join(own).join("schedstat")))
    }

    /// How long it has run so far, whatever it waited for in between.
    pub fn ran(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(&self.0)?;
        let nanos = text.split_whitespace().next().ok_or("an empty schedstat")?;
        Ok(Duration::from_nanos(nanos.parse()?))
    }
}
