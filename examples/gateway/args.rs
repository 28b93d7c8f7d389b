//! The command line.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use larder::config::Config;

use super::proxy::Origin;

pub const USAGE: &str = "\
A caching reverse proxy on larder.

usage: gateway --origin URL [OPTION VALUE | OPTION=VALUE]..

  --origin URL         where requests go: http://HOST[:PORT]
  --listen ADDR        where clients connect, port 0 for a free one; it is
                       printed (default: 127.0.0.1:8080)
  --memory SIZE        keep answers in the process, such as 256MiB (default:
                       64MiB where neither --redis nor a file sets a tier)
  --redis URL          keep answers in Redis, see larder's README for URLs
  --policy FILE        larder's configuration as TOML, or as JSON if it ends
                       in .json; its [routes] say what is cached, and its
                       `default` covers every other path (default: what the
                       origin's own fields allow, RFC 9111)
  --store-set-cookie   also store answers that set a cookie, where they are
                       explicitly fresh; without --policy
  --timeout SECONDS    how long the origin may be silent before its answer
                       begins (default: 30)
  --help               this text

HTTP/1.1 and HTTP/2 without TLS on one port. RUST_LOG=larder=debug tells more.
";

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    Run(Args),
    Help,
}

#[derive(Debug)]
pub struct Args {
    pub listen: SocketAddr,
    pub origin: Origin,
    /// In bytes.
    pub memory: Option<u64>,
    pub redis: Option<String>,
    pub policy: Option<PathBuf>,
    pub store_set_cookie: bool,
    pub timeout: Duration,
}

/// A mistake on the command line; the text names the option.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Reads the arguments behind the program's name.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Command, UsageError> {
    let mut given = Given::default();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match (option, &value) {
            ("--help" | "-h", None) => return Ok(Command::Help),
            ("--store-set-cookie", None) => given.store_set_cookie = true,
            ("--help" | "-h" | "--store-set-cookie", Some(_)) => {
                return Err(UsageError(format!("{option} takes no value")));
            }
            _ => {
                let slot = given
                    .slot(option)
                    .ok_or_else(|| UsageError(format!("unknown argument {option:?}")))?;
                let missing = || UsageError(format!("{option} needs a value"));
                let value = value.or_else(|| words.next()).ok_or_else(missing)?;
                if slot.replace(value).is_some() {
                    return Err(UsageError(format!("{option} is given twice")));
                }
            }
        }
    }
    given.checked().map(Command::Run)
}

/// The values as they were written.
#[derive(Default)]
struct Given {
    listen: Option<String>,
    origin: Option<String>,
    memory: Option<String>,
    redis: Option<String>,
    policy: Option<String>,
    timeout: Option<String>,
    store_set_cookie: bool,
}

impl Given {
    fn slot(&mut self, option: &str) -> Option<&mut Option<String>> {
        Some(match option {
            "--listen" => &mut self.listen,
            "--origin" => &mut self.origin,
            "--memory" => &mut self.memory,
            "--redis" => &mut self.redis,
            "--policy" => &mut self.policy,
            "--timeout" => &mut self.timeout,
            _ => return None,
        })
    }

    fn checked(self) -> Result<Args, UsageError> {
        let origin = self
            .origin
            .ok_or_else(|| UsageError("--origin is missing".into()))?;
        if self.store_set_cookie && self.policy.is_some() {
            let why = "--store-set-cookie belongs to the policy without a file, not to --policy";
            return Err(UsageError(why.into()));
        }
        Ok(Args {
            listen: read("--listen", self.listen.as_deref(), address)?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            origin: read("--origin", Some(origin.as_str()), Origin::from_str)?
                .ok_or_else(|| UsageError("--origin is missing".into()))?,
            memory: read("--memory", self.memory.as_deref(), size)?,
            redis: self.redis,
            policy: self.policy.map(PathBuf::from),
            store_set_cookie: self.store_set_cookie,
            timeout: read("--timeout", self.timeout.as_deref(), seconds)?
                .unwrap_or(Duration::from_secs(30)),
        })
    }
}

fn read<T>(
    option: &str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, UsageError> {
    let named = |why| UsageError(format!("{option}: {why}"));
    value.map(|text| parse(text).map_err(named)).transpose()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("{text:?} is no address such as 127.0.0.1:8080: {error}"))?;
    found
        .next()
        .ok_or_else(|| format!("{text:?} has no address"))
}

/// A size as larder's configuration has it.
fn size(text: &str) -> Result<u64, String> {
    let data = serde_json::json!({ "memory": text });
    let config: Config = serde_json::from_value(data).map_err(|error| error.to_string())?;
    config.memory.ok_or_else(|| format!("{text:?} is no size"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is no number of seconds above 0"))
}
