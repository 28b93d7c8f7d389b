//! What a policy tells of its requests for the statistics. None of it changes an
//! answer.

use std::fmt;
use std::sync::Arc;

use super::compiled::Context;
use super::route::Policy;
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

    pub(super) fn check(&self, _context: &Context) -> Result<Self, ConfigError> {
        if !(0.0..=1e9).contains(&self.cost) {
            let why = format!("{} is not from 0 to a billion", self.cost);
            return Err(ConfigError::new("cost", why));
        }
        Ok(self.clone())
    }
}

impl Policy {
    /// What one run of the handler costs, in a unit of your own (such as dollars), from 0
    /// to a billion, in steps of a millionth: [`Totals`](crate::Totals) tell what was
    /// saved and spent. Default: 0.
    pub fn cost(mut self, cost: f64) -> Self {
        self.watch.cost = cost;
        self
    }

    /// What requests are counted under in the list of the most frequent
    /// ([`Analytics::top`](crate::Analytics::top)): each of them, hits too, under the text
    /// that `label` gives it. It stands as it is in Redis and on the dashboard: no
    /// personal data. Called for each request. Default: keys, of hits one in 64.
    pub fn label(
        mut self,
        label: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.watch.label = Some(Arc::new(label));
        self
    }

    /// Who asks, to count how many different users there are: only a hash is kept, and
    /// of that not more than an estimate needs (HyperLogLog). Called for each request.
    /// Default: users are not counted.
    pub fn count_users(
        mut self,
        user: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.watch.user = Some(Arc::new(user));
        self
    }
}
