//! Who did what to the cache: an event of the target `larder::audit` for every
//! invalidation and every administrative action, with who, what and how many.
//!
//! | field | what |
//! |---|---|
//! | `who` | `call`, `route` for what a policy declares, `admin` for the admin router, or the name given to [`audited_by`] |
//! | `action` | `invalidate`, `soft-invalidate`, `erase`, `reset-stats`, `switch-on`, `switch-off`, `switch-on-everywhere`, `switch-off-everywhere`, `warm` |
//! | `what` | an endpoint, a key, a pattern; of a tag or a URI its hash alone |
//! | `entries` | how many were reached |
//! | `result` | `ok`, or why it is not done |

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::generation::Force;
use crate::invalidate::{Find, Target, What};

tokio::task_local! {
    static WHO: Arc<str>;
}

/// Does some work in somebody's name: what it does to a cache is told with that in the
/// events of `larder::audit`. The name is logged as it is.
///
/// ```
/// # async fn handler(cache: larder::Cache) {
/// let work = cache.invalidate("api:characters:*");
/// let done = larder::audited_by("editor 7", work).await;
/// # let _ = done;
/// # }
/// ```
pub async fn audited_by<F: Future>(who: impl Into<Arc<str>>, work: F) -> F::Output {
    WHO.scope(who.into(), work).await
}

/// In whose name this task works.
pub(crate) fn who() -> Arc<str> {
    WHO.try_with(Arc::clone).unwrap_or_else(|_| "call".into())
}

/// Something was done, or not.
pub(crate) fn done(
    who: &str,
    action: &'static str,
    what: &dyn fmt::Display,
    entries: u64,
    result: Result<(), &dyn fmt::Display>,
) {
    match result {
        Ok(()) => {
            tracing::info!(target: "larder::audit", who, action, %what, entries, result = "ok");
        }
        Err(why) => {
            tracing::warn!(target: "larder::audit", who, action, %what, entries, result = %why);
        }
    }
}

impl Target {
    pub(crate) fn action(&self) -> &'static str {
        match self.force {
            Force::Hard => "invalidate",
            Force::Soft => "soft-invalidate",
            Force::Erase => "erase",
        }
    }
}

/// Without what may name a person.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Scope { ids, how } => match how {
                Find::Key(key) => write!(f, "key {key}"),
                Find::Patterns(patterns) => {
                    let texts: Vec<&str> = patterns.iter().map(|it| it.as_str()).collect();
                    write!(f, "endpoint {}", texts.join(" "))
                }
                Find::Group | Find::Uri => {
                    let hashes: Vec<String> = ids.iter().map(|id| id.to_hex()).collect();
                    write!(f, "group {}", hashes.join(" "))
                }
            },
            What::Pattern(pattern) => write!(f, "pattern {}", pattern.as_str()),
            What::Everything(_) => f.write_str("everything"),
        }
    }
}
