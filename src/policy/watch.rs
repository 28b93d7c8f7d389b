//! What a policy tells of its requests for the statistics. None of it changes an
//! answer.

use std::fmt;
use std::sync::Arc;

use super::scope::RequestHead;
use crate::error::ConfigError;

pub(crate) type NameFn = Arc<dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync>;

/// What is told.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    /// What one fill costs.
    pub(crate) cost: f64,
    /// What a request's key is called.
    pub(crate) label: Option<NameFn>,
    /// Who asks.
    pub(crate) user: Option<NameFn>,
    /// Whoever hits less is warned of.
    pub(crate) least_hit_rate: f64,
    /// Nothing is served; so many answers are compared.
    pub(crate) observe: Option<f64>,
    /// So many hits are verified.
    pub(crate) verify: f64,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Whether each request is looked at.
    #[inline]
    pub(crate) fn names(&self) -> bool {
        self.label.is_some() || self.user.is_some()
    }

    pub(super) fn check(&self) -> Result<Self, ConfigError> {
        if !(0.0..=1e9).contains(&self.cost) {
            let why = format!("{} is not from 0 to a billion", self.cost);
            return Err(ConfigError::new("cost", why));
        }
        for (setting, rate) in [
            ("observe", self.observe),
            ("verify", Some(self.verify)),
            ("least_hit_rate", Some(self.least_hit_rate)),
        ] {
            if let Some(rate) = rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
                return Err(ConfigError::new(
                    setting,
                    format!("{rate} is not from 0 to 1"),
                ));
            }
        }
        Ok(self.clone())
    }
}
