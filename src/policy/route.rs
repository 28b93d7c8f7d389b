//! [`Policy`]: what a route asks for.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};

use super::failure::Failure;
use super::scope::{RequestHead, Scope};
use super::size::Size;
use super::watch::Watch;
use crate::entry::Coding;
use crate::invalidate::Selector;
use crate::key::Params;

pub(crate) type KeyFn = Arc<dyn Fn(&RequestHead<'_>) -> Option<String> + Send + Sync>;
pub(crate) type FallbackFn = Arc<dyn Fn(&Failure<'_>) -> Option<Response<Bytes>> + Send + Sync>;
pub(crate) type StoreIf = Arc<dyn Fn(StatusCode, &HeaderMap, &[u8]) -> bool + Send + Sync>;

/// What a route asks of the cache.
///
/// ```
/// use larder::{Policy, Scope, minutes, tag};
///
/// let characters = Policy::ttl(minutes(5))
///     .endpoint("character")
///     .tag("character:{id}")
///     .vary(["accept-language"])
///     .ignore_params(["utm_*"])
///     .invalidates(tag("character:{id}"));
/// let mine = Policy::ttl(minutes(1)).scope(Scope::bearer());
/// # let _ = (characters, mine);
/// ```
///
/// A policy is checked when a layer is made of it
/// ([`Cache::layer`](crate::Cache::layer)).
#[derive(Clone)]
#[must_use]
pub struct Policy {
    /// Set by [`Policy::http`]: the answers' own fields decide.
    pub(crate) http: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) revalidate: Option<Duration>,
    pub(crate) targets: Vec<String>,
    pub(crate) store_set_cookie: bool,
    pub(crate) etag: bool,
    pub(crate) jitter: f64,
    /// The bounds of a TTL that adapts.
    pub(crate) adaptive: Option<(Duration, Duration)>,
    pub(crate) early: bool,
    pub(crate) fallback: Option<FallbackFn>,
    pub(crate) coalesce: bool,
    pub(crate) finish: bool,
    pub(crate) wait: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Option<Duration>,
    pub(crate) settle: Option<Duration>,
    pub(crate) methods: Vec<Method>,
    pub(crate) precompress: Vec<Coding>,
    pub(crate) max_request_body: usize,
    pub(crate) endpoint: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) tag_fields: Vec<String>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) max_body: Option<usize>,
    pub(crate) version: String,
    pub(crate) vary: Vec<String>,
    pub(crate) params: Params,
    pub(crate) scope: Option<Scope>,
    pub(crate) ignore_credentials: bool,
    pub(crate) hide: Vec<String>,
    pub(crate) key: Option<KeyFn>,
    /// Where the key function was written: two functions are two keys.
    pub(crate) key_from: Option<&'static Location<'static>>,
    pub(crate) store_if: Option<StoreIf>,
    pub(crate) override_cache_control: bool,
    pub(crate) client_cache: Option<String>,
    pub(crate) invalidates: Vec<Selector>,
    pub(crate) unmatched: bool,
    pub(crate) memory_only: bool,
    pub(crate) watch: Watch,
}

impl Policy {
    /// Stores answers to GET and serves them for `ttl`, from a millisecond to 100
    /// years.
    ///
    /// A handler's `Cache-Control`, `Expires` or [targeted field](Self::targets)
    /// can shorten it, never lengthen it; its [`Hint`](crate::Hint) replaces it.
    /// A request's own `Cache-Control` is ignored.
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..Self::none()
        }
    }

    /// A shared cache as RFC 9111 has it, for gateways and outbound clients:
    /// the answers' own `Cache-Control`, `Expires` and validators decide, a
    /// request's directives are heeded, and stale answers are revalidated.
    ///
    /// Any final status with stated freshness is stored, but for 206, 304 and those
    /// that speak of one request (407, 408, 413, 416, 429, 511 and the like); 200 and the like
    /// (RFC 9110, 15.1) with a guess from `Last-Modified` too (RFC 9111, 4.2.2).
    /// Credentials do not bypass; an answer to a request with `Authorization` is
    /// shared only where its directives say so (RFC 9111, 3.5). `Set-Cookie` is not
    /// stored unless [`store_set_cookie`](Self::store_set_cookie) asks for it.
    /// Where the service fails, what is stale answers unless its directives forbid
    /// it (RFC 9111, 4.2.4). An axum router's fallback is cached too.
    ///
    /// ```
    /// use larder::{Cache, MIB, Policy};
    ///
    /// let cache = Cache::builder().memory(64 * MIB).build()?;
    /// let layer = cache.layer(Policy::http()); // around a proxy, a client or a router
    /// # let _ = layer;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    pub fn http() -> Self {
        Self {
            http: true,
            revalidate: Some(Duration::from_secs(86_400)),
            unmatched: true,
            etag: false,
            ..Self::none()
        }
    }

    /// Stores nothing. For routes that only invalidate.
    pub fn none() -> Self {
        Self {
            http: false,
            ttl: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            revalidate: None,
            targets: vec!["cdn-cache-control".to_owned()],
            store_set_cookie: false,
            etag: true,
            jitter: 0.0,
            adaptive: None,
            early: true,
            fallback: None,
            coalesce: true,
            finish: false,
            wait: Duration::from_secs(30),
            soft_timeout: None,
            hard_timeout: None,
            settle: None,
            methods: Vec::new(),
            precompress: Vec::new(),
            max_request_body: 64 << 10,
            endpoint: None,
            tags: Vec::new(),
            tag_fields: Vec::new(),
            statuses: vec![200],
            negative_ttl: None,
            max_body: None,
            version: String::new(),
            vary: Vec::new(),
            params: Params::All,
            scope: None,
            ignore_credentials: false,
            hide: Vec::new(),
            key: None,
            key_from: None,
            store_if: None,
            override_cache_control: false,
            client_cache: None,
            invalidates: Vec::new(),
            unmatched: false,
            memory_only: false,
            watch: Watch::default(),
        }
    }

    /// Names the family of resources, the middle part of the keys. Default:
    /// the static segments of the matched route, joined by `.`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Adds a tag to what is stored, a template over route parameters:
    /// `"character:{id}"`; `{{` is a literal brace. An answer on a route that
    /// lacks the parameter is not stored.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds the tags that answers name in these fields, such as `Cache-Tag` or
    /// `Surrogate-Key`: words of visible ASCII, up to 1,024 bytes each, told apart by
    /// commas and blanks. Clients do not get the fields. With one that cannot be read,
    /// or with more than 1,000 tags in all, an answer is not stored. Default: none.
    ///
    /// ```
    /// # use larder::{Policy, minutes};
    /// let policy = Policy::ttl(minutes(5)).tag_fields(["cache-tag"]);
    /// # let _ = policy;
    /// ```
    pub fn tag_fields<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.tag_fields = names.into_iter().map(Into::into).collect();
        self
    }

    /// Stores answers with these statuses and no others: 200 too must be one of them
    /// (`[200, 301]`). Default: 200 alone. 1xx, 206, 304, 407 and those of RFC 6585 (428,
    /// 429, 431, 511) cannot be stored. A 401 keeps its `WWW-Authenticate`; other fields that
    /// belong to one request go, `Retry-After` too. Under [`http`](Self::http) it changes nothing.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Stores 404 and 410 too, for `ttl`. Default: they are not stored. Under
    /// [`http`](Self::http) it changes nothing.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// The largest body that is stored, in bytes; a larger one passes through.
    /// Default: the cache's ([`CacheBuilder::max_body`](crate::CacheBuilder::max_body)), 1 MiB.
    pub fn max_body(mut self, bytes: impl Size) -> Self {
        self.max_body = Some(bytes.bytes());
        self
    }

    /// A version of what the handler makes: entries of another one are not
    /// found. Default: none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Makes these request fields part of the key, as they are written: `en, de` and `en,de`
    /// are two entries, where an answer's own `Vary: Accept-Language` counts what they mean. A credential may be one of
    /// them; its hash is used. Default: those that an answer's own `Vary` names
    /// (RFC 9111, 4.1), [`FORWARDED`](crate::FORWARDED) and
    /// [`FRAGMENTS`](crate::FRAGMENTS), which remain.
    pub fn vary<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.vary.extend(names.into_iter().map(Into::into));
        self
    }

    /// Only these query parameters are part of the key; the handler must not
    /// depend on others. A name may end with `*`. Replaces
    /// [`ignore_params`](Self::ignore_params).
    pub fn only_params<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.params = Params::Only(names.into_iter().map(Into::into).collect());
        self
    }

    /// These query parameters are not part of the key; the handler must not
    /// depend on them. A name may end with `*`. Replaces
    /// [`only_params`](Self::only_params).
    pub fn ignore_params<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.params = Params::Ignore(names.into_iter().map(Into::into).collect());
        self
    }

    /// Tells whose answer it is, so that requests with the scope's credential
    /// are cached, each for its own. Default: a request with a credential
    /// bypasses the cache.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Caches requests with credentials as if they had none: all fields that the
    /// cache knows as credentials are hidden from the handler when it fills, so
    /// that its answer cannot depend on them. Put authentication outside the
    /// cache. What a layer out there leaves in the request's extensions, such as
    /// a user, is *not* hidden: where the handler's answer depends on it, say so
    /// by [`scope`](Self::scope) instead. They are hidden from a layer further in
    /// too, whatever its own policy says.
    pub fn ignore_credentials(mut self) -> Self {
        self.ignore_credentials = true;
        self
    }

    /// Hides request fields from the handler when it fills, and keeps them out
    /// of the key. [`FORWARDED`](crate::FORWARDED) is a ready list. `X-Forwarded-For` and
    /// `X-Real-IP` are no part of a key anyway: hide them where the answer might show them.
    ///
    /// ```
    /// # use larder::{Policy, FORWARDED, minutes};
    /// let policy = Policy::ttl(minutes(5)).hide(FORWARDED.iter().copied());
    /// # let _ = policy;
    /// ```
    pub fn hide<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.hide.extend(names.into_iter().map(Into::into));
        self
    }

    /// Puts a text of your own into the key in place of path and query. Host,
    /// route, scope, tenant and keyed fields stay. `None`, or a panic, bypasses
    /// the cache. An invalidation of a URI reaches what was filled under its
    /// path; what else shares the key needs a tag. Where there is no route (`nest_service`, a
    /// fallback, a service without axum) nothing else tells two services apart whose policies
    /// one line of code has made, in a loop or a helper: name the service in the text.
    #[track_caller]
    pub fn key(
        mut self,
        key: impl Fn(&RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self.key_from = Some(Location::caller());
        self
    }

    /// Looks at the finished answer, status, fields and body, and stores it only on
    /// `true`; with the fields that it would have, where a 304 has confirmed it. A panic
    /// counts as `false`.
    pub fn store_if(
        mut self,
        check: impl Fn(StatusCode, &HeaderMap, &[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.store_if = Some(Arc::new(check));
        self
    }

    /// What a successful unsafe request on this route invalidates, besides its
    /// own URI. May be called several times. A namespace of typed values is known once
    /// it has been made, before the layer. What a selector names of it, a pattern or the namespace
    /// reaches whosever it is; a key reaches the value that is nobody's, and that of the tenant who asks.
    pub fn invalidates(mut self, selector: impl Into<Selector>) -> Self {
        self.invalidates.push(selector.into());
        self
    }

    /// Also caches what an axum router's fallback answers, or a service that is nested in
    /// it (`nest_service`): axum names no route there. What is to be [invalidated](Self::invalidates) is so
    /// in any case. Default: no, for
    /// the set of paths there is anybody's to choose; yes under
    /// [`http`](Self::http). In a table it counts for the default, and for rows that
    /// cover such a path.
    pub fn unmatched(mut self) -> Self {
        self.unmatched = true;
        self
    }

    /// Keeps answers in the process' memory alone. Default: in all tiers. In a
    /// cache that has a store and no memory nothing is stored: a warning says so when the
    /// layer is made, and `Cache-Status` with each answer (`no-room`).
    pub fn memory_only(mut self) -> Self {
        self.memory_only = true;
        self
    }
}

impl From<Duration> for Policy {
    fn from(ttl: Duration) -> Self {
        Self::ttl(ttl)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("http", &self.http)
            .field("ttl", &self.ttl)
            .field("endpoint", &self.endpoint)
            .field("tags", &self.tags)
            .field("scope", &self.scope)
            .field("invalidates", &self.invalidates)
            .finish_non_exhaustive()
    }
}
