//! Route tables: the policies of a whole router in one place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::compiled::Compiled;
use super::context::Context;
use super::pattern::{as_read, check_pattern, covers, may_differ, may_meet, shape};
use super::route::Policy;
use crate::error::ConfigError;
use crate::outcome::Bypass;

/// A table of routes and their policies, for one layer around many routes.
///
/// Inside an axum router (`Router::layer`) a row is found by the matched route, but where an exclusion
/// that is more specific covers the path; a route that has none has that of a wildcard (`/api/{*rest}`) or
/// an exclusion that covers its path. Around a whole router, and without axum, the path alone decides. The table's patterns have axum's syntax:
/// `/characters/{id}`, `/files/{*path}`; what cannot be one (`/a/:id`, `/a/*`, a query) is an error. What no row covers gets the default where
/// a route was matched; else it bypasses. Where a router has matched no route, in its fallback or in a service that is
/// nested (`nest_service`), a row or the default counts with [`unmatched`](Policy::unmatched) alone.
///
/// Patterns are whole paths, as the client asks for them: in a router that is nested at `/api`, rows and
/// exclusions begin with `/api` too. A request that an axum handler passes on as it came carries the route
/// by which *it* was matched: around an outbound client, take `MatchedPath` and
/// `OriginalUri` out of its extensions, or make a new request.
///
/// ```
/// use larder::{Cache, MIB, Policy, Routes, minutes, seconds};
///
/// let cache = Cache::builder().memory(16 * MIB).build()?;
/// let layer = cache.routes(
///     Routes::new()
///         .route("/characters", Policy::ttl(minutes(5)))
///         .route("/characters/{id}", Policy::ttl(minutes(5)).tag("character:{id}"))
///         .route("/system/status", Policy::ttl(seconds(5)))
///         .default_policy(Policy::ttl(seconds(60)))
///         .except(["/healthz", "/metrics"]),
/// );
/// # let _ = layer;
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Routes {
    pub(crate) rows: Vec<(String, Policy)>,
    pub(crate) default: Option<Policy>,
    pub(crate) except: Vec<String>,
}

impl Routes {
    /// A table without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row. Two rows of one pattern are an error.
    pub fn route(mut self, pattern: impl Into<String>, policy: impl Into<Policy>) -> Self {
        self.rows.push((pattern.into(), policy.into()));
        self
    }

    /// The policy of what arrives at a router and no row covers.
    pub fn default_policy(mut self, policy: impl Into<Policy>) -> Self {
        self.default = Some(policy.into());
        self
    }

    /// Patterns that neither the default nor a row that is less specific covers. More specific rows
    /// still do. One for some of the row's paths (or the default's) also covers a path that its handler may read so,
    /// percent-decoded and without empty and dot segments: `/u/%6de` where `/u/me` is excluded.
    pub fn except<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.except.extend(patterns.into_iter().map(Into::into));
        self
    }
}

/// A checked table.
pub(crate) struct Table {
    rows: Vec<Row>,
    by_shape: HashMap<String, usize>,
    by_path: matchit::Router<usize>,
    /// Those that may cover other routes than one of their own pattern: exclusions, and
    /// rows that end in a wildcard. A row with parameters alone names one route: its
    /// policy is not that of a more specific one, such as `/users/me`.
    covering: matchit::Router<usize>,
    default: Option<Arc<Compiled>>,
    has_exclusions: bool,
}

struct Row {
    pattern: String,
    /// None where the default does not cover the pattern.
    policy: Option<Arc<Compiled>>,
    /// An exclusion may lie within it.
    has_exclusion: bool,
    /// Those that are for some of its paths, and not for all.
    exclusions: Vec<usize>,
    /// A router has been asked for it, and has named no route: a fallback, or a service
    /// that is nested. For explanations.
    unmatched: AtomicBool,
}

/// The policy of a request and the pattern that its parameters are read by.
#[derive(Clone, Copy)]
pub(crate) struct Found<'t, 'p> {
    pub(crate) policy: &'t Arc<Compiled>,
    pub(crate) pattern: Option<&'p str>,
}

impl Table {
    pub(crate) fn new(routes: &Routes, context: &Context) -> Result<Self, ConfigError> {
        if routes.rows.is_empty() && routes.default.is_none() {
            return Err(ConfigError::new(
                "routes",
                "a table without rows or default",
            ));
        }
        let mut table = Self {
            rows: Vec::new(),
            by_shape: HashMap::new(),
            by_path: matchit::Router::new(),
            covering: matchit::Router::new(),
            default: None,
            has_exclusions: !routes.except.is_empty(),
        };
        for (pattern, policy) in &routes.rows {
            let place = format!("route {pattern:?}");
            check_pattern(pattern).map_err(|why| ConfigError::new(&place, why))?;
            let row =
                compile_row(pattern, policy, context).map_err(|error| error.inside(&place))?;
            table.push(pattern, Some(Arc::new(row)), &place)?;
        }
        for pattern in &routes.except {
            let place = format!("except {pattern:?}");
            check_pattern(pattern).map_err(|why| ConfigError::new(&place, why))?;
            table.push(pattern, None, &place)?;
            let own = table.rows.len() - 1;
            for row in table.rows.iter_mut().filter(|row| row.policy.is_some()) {
                let meets = may_meet(&row.pattern, pattern);
                row.has_exclusion |= meets;
                if meets && !covers(pattern, &row.pattern) {
                    row.exclusions.push(own);
                }
            }
        }
        if let Some(policy) = &routes.default {
            let policy = Compiled::new(policy, context).map_err(|e| e.inside("default"))?;
            table.default = Some(Arc::new(policy));
        }
        Ok(table)
    }

    fn push(
        &mut self,
        pattern: &str,
        policy: Option<Arc<Compiled>>,
        place: &str,
    ) -> Result<(), ConfigError> {
        let at = self.rows.len();
        let covers = policy.is_none() || shape(pattern).ends_with("/{*}");
        let mut inserted = self.by_path.insert(pattern, at);
        if covers {
            inserted = inserted.and_then(|()| self.covering.insert(pattern, at));
        }
        inserted.map_err(|error| ConfigError::new(place, error.to_string()))?;
        self.by_shape.insert(shape(pattern), at);
        self.by_shape.insert(pattern.to_owned(), at);
        self.rows.push(Row {
            pattern: pattern.to_owned(),
            policy,
            has_exclusion: false,
            exclusions: Vec::new(),
            unmatched: AtomicBool::new(false),
        });
        Ok(())
    }

    /// The policy of a request: of the row of its matched route, else of the row
    /// that covers its path, else, where a router has been asked, the default.
    pub(crate) fn find<'t: 'p, 'p>(
        &'t self,
        place: Place<'p>,
        path: &str,
    ) -> Result<Found<'t, 'p>, Bypass> {
        let at = self.place_of(place, path);
        let found = self.declared_at(at, place).ok_or(Bypass::NoPolicy)?;
        if self.has_exclusions_at(at) && may_differ(path) && self.excludes_as_read(at, path) {
            return Err(Bypass::NoPolicy);
        }
        if place == Place::Fallback && !found.policy.unmatched {
            return Err(match at {
                Some(_) => Bypass::Unmatched,
                None => Bypass::NoPolicy,
            });
        }
        Ok(found)
    }

    /// The same, wherever a router has matched no route too.
    pub(crate) fn declared<'t: 'p, 'p>(
        &'t self,
        place: Place<'p>,
        path: &str,
    ) -> Option<Found<'t, 'p>> {
        self.declared_at(self.place_of(place, path), place)
    }

    #[inline]
    fn declared_at<'t: 'p, 'p>(
        &'t self,
        at: Option<usize>,
        place: Place<'p>,
    ) -> Option<Found<'t, 'p>> {
        let (policy, pattern) = match (at.map(|at| &self.rows[at]), place) {
            (Some(row), _) => (row.policy.as_ref(), Some(row.pattern.as_str())),
            (None, Place::Outside) => (None, None),
            (None, Place::Fallback) => (self.default.as_ref(), None),
            (None, Place::Matched(pattern)) => (self.default.as_ref(), Some(pattern)),
        };
        let policy = policy?;
        Some(Found { policy, pattern })
    }

    /// The row, or the exclusion, that covers a request by what it was matched by.
    #[inline]
    fn place_of(&self, place: Place<'_>, path: &str) -> Option<usize> {
        let at = |rows: &matchit::Router<usize>| rows.at(path).ok().map(|found| *found.value);
        match place {
            Place::Matched(pattern) => {
                let own = self.row_of(pattern).map(|own| self.narrowed(own, path));
                own.or_else(|| at(&self.covering))
            }
            Place::Fallback | Place::Outside => at(&self.by_path),
        }
    }

    /// Whether an exclusion covers a path as its handler may read it (`/u/%6de` is
    /// `/u/me`): one for some of the paths of the row that covers it as it is written.
    #[cold]
    pub(crate) fn is_excluded_as_read(&self, place: Place<'_>, path: &str) -> bool {
        let at = self.place_of(place, path);
        self.has_exclusions_at(at) && may_differ(path) && self.excludes_as_read(at, path)
    }

    /// Whether an exclusion is for some of the paths of a row, or of the default.
    #[inline]
    fn has_exclusions_at(&self, at: Option<usize>) -> bool {
        at.map_or(self.has_exclusions, |at| {
            !self.rows[at].exclusions.is_empty()
        })
    }

    #[cold]
    fn excludes_as_read(&self, own: Option<usize>, path: &str) -> bool {
        let own = own.map(|at| &self.rows[at]);
        let excludes = |path: String| {
            let Ok(found) = self.by_path.at(&path) else {
                return false;
            };
            let at = *found.value;
            self.rows[at].policy.is_none() && own.is_none_or(|row| row.exclusions.contains(&at))
        };
        as_read(path).into_iter().any(excludes)
    }

    /// A matched route's row, or the exclusion within it that the path is for.
    #[inline]
    fn narrowed(&self, own: usize, path: &str) -> usize {
        match self.rows[own].has_exclusion {
            true => self.excluded(path).unwrap_or(own),
            false => own,
        }
    }

    #[cold]
    fn excluded(&self, path: &str) -> Option<usize> {
        let at = *self.by_path.at(path).ok()?.value;
        self.rows[at].policy.is_none().then_some(at)
    }

    /// The row, or the exclusion, that covers a path by its pattern.
    fn row_at(&self, path: &str) -> Option<&Row> {
        let at = self.by_path.at(path).ok()?;
        Some(&self.rows[*at.value])
    }

    /// Takes note that a router has named no route for a path.
    #[cold]
    pub(crate) fn was_unmatched(&self, path: &str) {
        if let Some(row) = self.row_at(path) {
            row.unmatched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether that is known of what covers a path.
    pub(crate) fn is_unmatched(&self, path: &str) -> bool {
        let row = self.row_at(path);
        row.is_some_and(|row| row.unmatched.load(Ordering::Relaxed))
    }

    /// Why nothing covers a path, as far as its patterns tell.
    pub(crate) fn tell_why_not(&self, path: &str) -> String {
        match self.row_at(path) {
            Some(row) if row.policy.is_none() => {
                format!("the table's exclusion {} covers {path}", row.pattern)
            }
            Some(_) if self.is_excluded_as_read(Place::Outside, path) => {
                format!("one of the table's exclusions covers {path} as its handler may read it")
            }
            Some(row) => format!("the table's row {} is for another route", row.pattern),
            None => {
                let default = match self.default {
                    Some(_) => "; its default covers a route once that was asked",
                    None => "",
                };
                format!("no row of the table covers {path} (patterns are whole paths){default}")
            }
        }
    }

    fn row_of(&self, pattern: &str) -> Option<usize> {
        let exact = self.by_shape.get(pattern).copied();
        exact.or_else(|| self.by_shape.get(&shape(pattern)).copied())
    }
}

/// Where a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "axum"),
    allow(dead_code, reason = "only axum's router matches")
)]
pub(crate) enum Place<'a> {
    /// An axum router has matched this route.
    Matched(&'a str),
    /// An axum router has been asked and answers with a fallback.
    Fallback,
    /// No router has been asked.
    Outside,
}

fn compile_row(pattern: &str, policy: &Policy, context: &Context) -> Result<Compiled, ConfigError> {
    let policy = Compiled::new(policy, context)?;
    for template in &policy.tags {
        if let Some(missing) = template.missing_in(pattern) {
            return Err(ConfigError::new("tag", missing.to_string()));
        }
    }
    for template in &policy.invalidates {
        if let Some(missing) = template.missing_in(pattern) {
            return Err(ConfigError::new("invalidates", missing.to_string()));
        }
    }
    Ok(policy)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
