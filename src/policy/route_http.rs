//! What a [`Policy`] says of HTTP: staleness, validation, targeted fields,
//! methods, codings, and how a fill is shared.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};

use super::failure::Failure;
use super::route::Policy;
use super::size::Size;
#[cfg(feature = "precompress")]
use crate::entry::Coding;

impl Policy {
    /// Serves an answer for so long after its TTL while one request behind the
    /// scenes renews it (RFC 5861, 3); a HEAD renews nothing. A renewal that nobody else reads is given up when
    /// nothing has come of its body for five minutes, or for [`wait`](Self::wait) where
    /// that is longer. At most 100 years. Default: what the answer's own
    /// `stale-while-revalidate` says. `must-revalidate`, `proxy-revalidate`, `s-maxage`
    /// and `no-cache` forbid it (RFC 9111, 4.2.4); an answer that states a life of zero
    /// has its own window alone.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = Some(window);
        self
    }

    /// Serves an answer for so long after its TTL where the handler fails: an
    /// error of the service, or status 500, 502, 503 or 504 (RFC 5861, 4). Each
    /// request asks the handler first, but for the 30 s after a failure. At most 100
    /// years. Default: what the answer's own `stale-if-error` says. What forbids
    /// [`stale_while_revalidate`](Self::stale_while_revalidate) forbids this too, and
    /// with a life of zero it is the same.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// Keeps a successful answer that has an `ETag` or a `Last-Modified` for so long after
    /// its TTL, to ask the handler whether it still holds: a 304 renews it (RFC
    /// 9111, 4.3). Default: a day under [`http`](Self::http), else not at all.
    pub fn revalidate(mut self, keep: Duration) -> Self {
        self.revalidate = Some(keep);
        self
    }

    /// The targeted fields (RFC 9213) that speak to this cache, the first one
    /// that is there and can be read first. One takes the place of
    /// `Cache-Control` and `Expires`. Under a policy with a TTL, one that cannot be
    /// read, or whose age cannot, keeps its answer from being stored. Default:
    /// `CDN-Cache-Control`.
    pub fn targets<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.targets = names.into_iter().map(Into::into).collect();
        self
    }

    /// Under [`http`](Self::http), stores and replays `Set-Cookie` too, as RFC
    /// 9111 (7.3) allows: everybody gets the same cookie. An error of the layer
    /// under another policy. Default: no.
    pub fn store_set_cookie(mut self) -> Self {
        self.store_set_cookie = true;
        self
    }

    /// Whether a stored answer whose handler sent no `ETag` gets one, made of
    /// its body, so that clients are told by 304 that they have it (RFC 9110,
    /// 8.8.3). Only a 200 gets one, and not where the handler is asked to validate
    /// a `Last-Modified` of its own. A layer further out that codes bodies does not
    /// change it: a request that accepts a coding gets no part of what has such a tag, but
    /// the whole (8.8.3.3). Default: yes, but not under [`http`](Self::http).
    pub fn etag(mut self, on: bool) -> Self {
        self.etag = on;
        self
    }

    /// Keeps variants of text-like bodies of at least 1 KiB in these codings beside
    /// them in memory, made once in the background, and sends them to the clients
    /// that accept them (RFC 9110, 12.5.3): a hit never compresses. Each has an
    /// `ETag` of its own (8.8.3.3), and all answers `Vary: Accept-Encoding`. Of two
    /// that a client likes as well, the one listed first is sent. `no-transform` is
    /// honoured (RFC 9111, 5.2.2.6). A request under this policy whose
    /// `If-Match` names a variant's tag names the plain one too (RFC 9110, 13.1.1).
    /// With other codings than before, what is stored is filled anew. Default: none.
    ///
    /// ```
    /// # use larder::{Coding, Policy, minutes};
    /// let policy = Policy::ttl(minutes(5)).precompress([Coding::Brotli, Coding::Gzip]);
    /// # let _ = policy;
    /// ```
    #[cfg(feature = "precompress")]
    pub fn precompress(mut self, codings: impl IntoIterator<Item = Coding>) -> Self {
        self.precompress = codings.into_iter().collect();
        self
    }

    /// Shortens each TTL by a random share of up to `share` of it (0.1 is a tenth),
    /// so that what was filled together does not end together. Default: 0. Not
    /// under [`http`](Self::http), whose answers state their own end.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Lets the TTL adapt between these bounds: shorter where refreshed answers turn out
    /// to have changed, longer where they have not and the hit rate leaves something to
    /// gain. The [`ttl`](Self::ttl), which lies between them, is what it begins with, in
    /// each process. What a handler or an answer says of its own life still counts.
    /// Default: it does not adapt; what it would be is in
    /// [`Cache::ttl_proposals`](crate::Cache::ttl_proposals) all the same.
    ///
    /// ```
    /// # use larder::{Policy, hours, minutes, seconds};
    /// let policy = Policy::ttl(minutes(5)).adaptive(seconds(30)..=hours(1));
    /// # let _ = policy;
    /// ```
    pub fn adaptive(mut self, bounds: RangeInclusive<Duration>) -> Self {
        self.adaptive = Some(bounds.into_inner());
        self
    }

    /// Whether a fresh entry is renewed before it ends, behind the back of a request
    /// that it answers: the likelier, the less is left of it and the longer the
    /// handler took (XFetch with beta 1; Vattani, Chierichetti and Lowenstein, Optimal
    /// Probabilistic Cache Stampede Prevention, VLDB 2015). Default: yes. An entry
    /// that was stored without stays without.
    pub fn early(mut self, on: bool) -> Self {
        self.early = on;
        self
    }

    /// Answers where the handler has failed, or a request has waited too long, and
    /// nothing stale may be served ([`FailureKind`](crate::FailureKind)). The response is never stored. `None`, or a panic, leaves the handler's failure
    /// as it is.
    ///
    /// ```
    /// # use larder::{Policy, minutes};
    /// let policy = Policy::ttl(minutes(5)).fallback(|_failure| {
    ///     Some(http::Response::new("[]".into()))
    /// });
    /// # let _ = policy;
    /// ```
    pub fn fallback(
        mut self,
        answer: impl Fn(&Failure<'_>) -> Option<Response<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(Arc::new(answer));
        self
    }

    /// Whether requests for a key that is being filled share that fill. Default:
    /// yes: one of them runs the handler, the others get its answer as it comes
    /// where its length is declared and there is room for all of it in flight, else
    /// when it is complete. What may not be
    /// stored is not shared: those who wait run the handler themselves, and so does
    /// every request for that key for two minutes, or until an answer may be stored.
    pub fn coalesce(mut self, on: bool) -> Self {
        self.coalesce = on;
        self
    }

    /// Lets the handler run to its end, and keeps its answer, though its client has
    /// gone away and nobody else waits. Default: it is cancelled then, as it is where a
    /// bound is reached ([`Bypass::Crowded`](crate::Bypass::Crowded)).
    pub fn finish(mut self) -> Self {
        self.finish = true;
        self
    }

    /// How long a request waits for another's fill; then it is served stale where
    /// [`stale_if_error`](Self::stale_if_error) allows it, else by the
    /// [`fallback`](Self::fallback), else it runs the handler for itself, and that
    /// answer is not stored ([`Bypass::Crowded`](crate::Bypass::Crowded)). A fill that
    /// others are sent as it comes is not shared with those who come when nothing has
    /// come of it for longer than this: one of them begins another. Default: 30 s.
    pub fn wait(mut self, longest: Duration) -> Self {
        self.wait = longest;
        self
    }

    /// How long a request waits for its fill where something stale may stand in
    /// ([`stale_if_error`](Self::stale_if_error)): then it is served that, and the
    /// fill goes on, to be stored. Where nothing stale may stand in, and from
    /// [`wait`](Self::wait) on, it changes nothing. At least a millisecond. Default:
    /// none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{Policy, minutes, hours};
    /// let policy = Policy::ttl(minutes(5))
    ///     .stale_if_error(hours(6))
    ///     .soft_timeout(Duration::from_millis(300));
    /// # let _ = policy;
    /// ```
    pub fn soft_timeout(mut self, longest: Duration) -> Self {
        self.soft_timeout = Some(longest);
        self
    }

    /// How long the handler may take until its answer begins. Then its run is
    /// dropped, nothing is stored, and all who wait for it get what is stale where
    /// [`stale_if_error`](Self::stale_if_error) allows it, else the
    /// [`fallback`](Self::fallback), else 504. A body that has begun is never cut
    /// off. At least a millisecond; it needs a tokio runtime. Default: none, for it
    /// fails requests.
    pub fn hard_timeout(mut self, longest: Duration) -> Self {
        self.hard_timeout = Some(longest);
        self
    }

    /// What is filled within this time after an invalidation that it belongs to
    /// lives for this time at most: a database's read replica may still have
    /// answered with the old row. Counted from when this process learnt of the
    /// invalidation. At least a millisecond. Default: none.
    pub fn settle(mut self, longest: Duration) -> Self {
        self.settle = Some(longest);
        self
    }

    /// Also caches answers to these methods, which ask by their content: `QUERY`
    /// (RFC 10008), and `POST` on a route that only answers questions. The content
    /// and its type are part of the key; JSON counts in one form, whatever its
    /// blanks and the order of its members. An answer to a `POST` is then stored
    /// under this policy's terms, and the request invalidates nothing. Other methods
    /// are an error of the layer. Default: none.
    ///
    /// The request's body must be axum's, `Full<Bytes>` or `String`, and have one
    /// `Content-Type` and at most one `Content-Encoding`; with another one the request
    /// bypasses the cache, and so does a POST that is conditional (RFC 9110, 13.1). Its
    /// content must come within
    /// [`operation_timeout`](crate::CacheBuilder::operation_timeout): what has come by
    /// then and the rest goes on to the handler as it comes.
    ///
    /// ```
    /// # use larder::{Policy, minutes};
    /// use http::Method;
    ///
    /// let query = Method::from_bytes(b"QUERY")?;
    /// let searches = Policy::ttl(minutes(5)).methods([query, Method::POST]);
    /// # let _ = searches;
    /// # Ok::<(), http::method::InvalidMethod>(())
    /// ```
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// The largest content of a request that asks by it
    /// ([`methods`](Self::methods)), in bytes, that is read into the key; with a
    /// larger one the request bypasses the cache. Default: 64 KiB.
    pub fn max_request_body(mut self, bytes: impl Size) -> Self {
        self.max_request_body = bytes.bytes();
        self
    }

    /// Ignores the handler's `Cache-Control`, `Expires` and targeted fields. They
    /// still reach the client. Under [`http`](Self::http) a guess from `Last-Modified` is left then.
    pub fn override_cache_control(mut self) -> Self {
        self.override_cache_control = true;
        self
    }

    /// The `Cache-Control` that clients get with a stored answer whose handler
    /// sets none, such as `"public, max-age=60"`. They count the answer's `Age` in (RFC
    /// 9111, 4.2): a hit that is older than its `max-age` is stale to them as it comes,
    /// and they ask again, to be told by 304. What is no list of directives, or has an age that is no
    /// number of seconds, is refused when the layer is made. Default: nothing is added.
    pub fn client_cache(mut self, value: impl Into<String>) -> Self {
        self.client_cache = Some(value.into());
        self
    }
}
