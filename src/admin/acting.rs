//! Routes that change something.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::asking::{Asked, Json};
use super::problem::Problem;
use super::shared::Shared;
use super::views::seconds;
use crate::audit::{self, audited_by};
use crate::invalidate::{Selector, endpoint, everything, key, namespace, tag, uri};
use crate::stats::Stats;

/// What is to be invalidated: exactly one of the first seven.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Invalidate {
    pattern: Option<String>,
    tag: Option<String>,
    endpoint: Option<String>,
    namespace: Option<String>,
    key: Option<String>,
    uri: Option<String>,
    everything: Option<bool>,
    tenant: Option<String>,
    soft: bool,
    dry_run: bool,
}

impl Invalidate {
    fn selector(&self) -> Result<Selector, Problem> {
        let of = |text: &Option<String>, make: fn(String) -> Selector| text.clone().map(make);
        let all = [
            of(&self.pattern, Selector::from),
            of(&self.tag, tag),
            of(&self.endpoint, endpoint),
            of(&self.namespace, namespace),
            of(&self.key, key),
            of(&self.uri, uri),
            self.everything.filter(|yes| *yes).map(|_| everything()),
        ];
        let mut named = all.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(mut selector), None) => {
                if self.soft {
                    selector = selector.soft();
                }
                if self.dry_run {
                    selector = selector.dry_run();
                }
                Ok(selector)
            }
            _ => Err(Problem::bad(
                "name exactly one of pattern, tag, endpoint, namespace, key, uri, everything",
            )),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Done {
    soft: bool,
    dry_run: bool,
    removed: u64,
    memory: u64,
    store: u64,
    confirmed: u64,
}

pub(super) async fn invalidate(
    State(shared): State<Shared>,
    Asked(asked): Asked<Invalidate>,
) -> Result<Json<Done>, Problem> {
    let (cache, selector) = (&shared.cache, asked.selector()?);
    let done = match &asked.tenant {
        Some(tenant) => audited_by("admin", cache.invalidate_for(tenant, selector)).await?,
        None => audited_by("admin", cache.invalidate(selector)).await?,
    };
    Ok(Json(Done {
        soft: asked.soft,
        dry_run: asked.dry_run,
        removed: done.removed(),
        memory: done.memory,
        store: done.store,
        confirmed: done.confirmed,
    }))
}

/// More targets belong into a program.
const MOST_TARGETS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Warm {
    targets: Vec<String>,
    host: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Warmed {
    total: usize,
    filled: usize,
    fresh: usize,
    shared: usize,
    failed: Vec<NotWarmed>,
    took: f64,
}

#[derive(Serialize)]
struct NotWarmed {
    /// Its place in the list, from 1.
    at: usize,
    why: String,
}

/// Answers when the run has ended. It goes on if nobody waits for that.
pub(super) async fn warm(
    State(shared): State<Shared>,
    Asked(asked): Asked<Warm>,
) -> Result<Json<Warmed>, Problem> {
    let Some(through) = &shared.warms else {
        let why = "nothing to warm through: the router was built without `warms`";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, why));
    };
    if asked.targets.len() > MOST_TARGETS {
        return Err(Problem::bad(format!("more than {MOST_TARGETS} targets")));
    }
    let mut settings = shared.cache.warm();
    if let Some(host) = &asked.host {
        settings = settings.host(host);
    }
    let warming = through(settings, asked.targets);
    let work = async move {
        let report = warming.report().await;
        let filled = report.filled as u64;
        audit::done("admin", "warm", &"targets", filled, Ok(()));
        report
    };
    let report = shared.cache.engine().tasks.outlasting(work).await;
    let report = report
        .map_err(|stopped| Problem::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string()))?;
    let failed = report.failed.into_iter();
    Ok(Json(Warmed {
        total: report.total,
        filled: report.filled,
        fresh: report.fresh,
        shared: report.shared,
        failed: failed
            .map(|failure| NotWarmed {
                at: failure.at,
                why: failure.why,
            })
            .collect(),
        took: seconds(report.took),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Answers with what is counted from now on.
pub(super) async fn reset(
    State(shared): State<Shared>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Json<Stats> {
    shared.cache.reset_stats();
    audit::done("admin", "reset-stats", &"this process", 0, Ok(()));
    Json(shared.cache.stats())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    enabled: bool,
    #[serde(default = "yes")]
    everywhere: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
pub(super) struct Switched {
    enabled: bool,
}

pub(super) async fn switch(
    State(shared): State<Shared>,
    Asked(asked): Asked<Switch>,
) -> Result<Json<Switched>, Problem> {
    let cache = &shared.cache;
    audited_by("admin", async {
        match asked.everywhere {
            true => cache.set_enabled_everywhere(asked.enabled).await,
            false => {
                cache.set_enabled(asked.enabled);
                Ok(())
            }
        }
    })
    .await?;
    let enabled = cache.is_enabled();
    Ok(Json(Switched { enabled }))
}
