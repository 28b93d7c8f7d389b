//! The settings of a policy for the statistics, and for watching what the cache would do.

use std::sync::Arc;

use super::route::Policy;
use super::scope::RequestHead;

impl Policy {
    /// What one run of the handler costs, in a unit of your own (such as dollars), from 0
    /// to a billion, in steps of a millionth: [`Totals`](crate::Totals) tell what was
    /// saved and spent. Of routes of one endpoint (`/users`, `/users/{id}`) the dearest counts
    /// for all: give one of another cost its own [`endpoint`](Self::endpoint). Default: 0.
    pub fn cost(mut self, cost: f64) -> Self {
        self.watch.cost = cost;
        self
    }

    /// What requests are counted under in the list of the most frequent
    /// ([`Analytics::top`](crate::Analytics::top)): each of them, hits too, under the text
    /// that `label` gives it, of at most 256 bytes. It stands as it is in Redis and on the dashboard: no
    /// personal data. Called for each request; in a layer inside another one of the cache, for those that the
    /// outer one does not answer by itself: give it to that one. Default: keys, of hits one in 64.
    pub fn label(
        mut self,
        label: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.watch.label = Some(Arc::new(label));
        self
    }

    /// Who asks, to count how many different users there are: only a hash is kept, and
    /// of that not more than an estimate needs (HyperLogLog). Called as [`label`](Self::label)
    /// is. Default: users are not counted.
    pub fn count_users(
        mut self,
        user: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.watch.user = Some(Arc::new(user));
        self
    }

    /// The least hit rate that is well, from 0 to 1, of this endpoint alone:
    /// [`CacheBuilder::least_hit_rate`](crate::CacheBuilder::least_hit_rate) is that of all
    /// together, and what it says of the warning holds here. Of routes of one endpoint the
    /// highest counts. Default: 0, no warning.
    pub fn least_hit_rate(mut self, rate: f64) -> Self {
        self.watch.least_hit_rate = rate;
        self
    }

    /// Serves nothing from the cache: the safe way to find out what it would do. The
    /// handler answers every request, and answers are stored as ever; where one was
    /// stored that would have answered, the request is a miss by
    /// [`Cause::Observed`](crate::Cause::Observed). Once the policy serves, it fills anew. What the policy hides from the handler
    /// ([`ignore_credentials`](Policy::ignore_credentials), [`hide`](Policy::hide), a scope's
    /// other cookies) it does not see here either, so that answers are what would be served.
    ///
    /// The share `rate` of these, from 0 to 1, is compared with the handler's answer. A
    /// mismatch is counted in [`Stats::mismatches`](crate::Stats::mismatches), and told by
    /// an event of the target `larder::verify` that names the fields, or the byte of the
    /// body, that differ. The hit rate that the policy would have is
    /// [`Stats::would_be_hit_rate`](crate::Stats::would_be_hit_rate); the warning of a low one
    /// goes by that.
    pub fn observe(mut self, rate: f64) -> Self {
        self.watch.observe = Some(rate);
        self
    }

    /// Runs the handler behind the back of the share `rate` of the hits (0 to 1; not of HEAD), in
    /// memory and in the store, to compare its answer with what was served: a mismatch is
    /// counted and told as [`observe`](Self::observe) does. What is stored stays. Where a layer
    /// further out of the cache answers by itself, that one's policy verifies. Default: 0.
    pub fn verify(mut self, rate: f64) -> Self {
        self.watch.verify = rate;
        self
    }
}
