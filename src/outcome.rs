//! How a request was answered, and why: [`Outcome`] in the response's
//! extensions, and the `Cache-Status` field (RFC 9211) made from it.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::reasons::reasons;
use crate::stats::Reason;

/// How a request was answered. Every response that went through a
/// [`CacheLayer`](crate::CacheLayer) carries one in its extensions.
///
/// ```
/// use larder::Outcome;
/// # fn see<B>(response: http::Response<B>) {
/// if let Some(outcome) = response.extensions().get::<Outcome>() {
///     println!("answered from the cache: {}", outcome.is_hit());
/// }
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A stored response was fresh.
    #[non_exhaustive]
    Hit {
        /// The tier that held it.
        tier: Tier,
        /// How old it is.
        age: Duration,
        /// How much longer it is fresh.
        ttl: Duration,
    },
    /// A stored response was stale and served all the same.
    #[non_exhaustive]
    Stale {
        /// Why that was allowed.
        why: Staleness,
        /// Why it could not answer as it was: [`Cause::Expired`], or
        /// [`Cause::Request`] for one that was fresh.
        cause: Cause,
        /// How old it is.
        age: Duration,
        /// For how long it has been stale.
        over: Duration,
        /// What the handler answered, where it was asked and failed by status.
        status: Option<StatusCode>,
    },
    /// A stored response was no longer fresh, or not fresh enough for the request,
    /// and the handler confirmed it by 304 Not Modified (RFC 9111, 4.3).
    #[non_exhaustive]
    Revalidated {
        /// Why it could not answer as it was.
        cause: Cause,
        /// How old the handler's confirmation is.
        age: Duration,
        /// How much longer the response is fresh now.
        ttl: Duration,
        /// Whether it stays stored, and why not.
        stored: Result<(), Refusal>,
    },
    /// The handler answered.
    #[non_exhaustive]
    Miss {
        /// Why nothing stored could answer.
        cause: Cause,
        /// Whether the answer is stored once its body has ended cleanly, and why not.
        stored: Result<(), Refusal>,
        /// The handler's status; where it gave none, that of what answers for it.
        status: StatusCode,
    },
    /// Another request's handler answered, whose fill this one shared.
    #[non_exhaustive]
    Coalesced {
        /// Why nothing stored could answer.
        cause: Cause,
        /// How long it waited for something to send.
        waited: Duration,
        /// The handler's status.
        status: StatusCode,
    },
    /// The request did not take part in caching.
    #[non_exhaustive]
    Bypass {
        /// Why not.
        reason: Bypass,
        /// The handler's status.
        status: StatusCode,
    },
}

impl Outcome {
    /// As one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Hit { .. } => "hit",
            Self::Stale { .. } => "stale",
            Self::Revalidated { .. } => "revalidated",
            Self::Miss { .. } => "miss",
            Self::Coalesced { .. } => "coalesced",
            Self::Bypass { .. } => "bypass",
        }
    }

    /// Whether a stored response answered without a word from the handler.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        match self {
            Self::Hit { .. } => true,
            Self::Stale { why, .. } => *why != Staleness::IfError,
            _ => false,
        }
    }

    /// Whether the handler's answer is being stored, or keeps one stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(
            self,
            Self::Miss { stored: Ok(()), .. } | Self::Revalidated { stored: Ok(()), .. }
        )
    }
}

/// Where a stored response was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// In the process.
    Memory,
    /// In the shared store, Redis.
    Redis,
}

reasons! {
    /// Why a stale response was served.
    Staleness {
        /// It is being renewed meanwhile (RFC 5861, 3).
        WhileRevalidating => "stale-while-revalidate",
        /// The handler failed (RFC 5861, 4), or could not be reached (RFC 9111, 4.2.4).
        IfError => "stale-if-error",
        /// The handler failed so a moment ago, and is left alone for 30 s.
        LeftAlone => "left-alone",
        /// Its fill took longer than the policy's
        /// [`soft_timeout`](crate::Policy::soft_timeout), and goes on.
        Timeout => "soft-timeout",
        /// Too many requests share its fill, there are too many fills, or this one
        /// took too long.
        Crowded => "crowded",
        /// The request takes it so: `max-stale` (RFC 9111, 5.2.1.2).
        MaxStale => "max-stale",
    }
}

impl Staleness {
    /// Whether the request had waited for a handler before.
    pub(crate) fn has_waited(self) -> bool {
        matches!(self, Self::IfError | Self::Timeout | Self::Crowded)
    }
}

reasons! {
    /// Why nothing stored could answer a request.
    Cause {
        /// Nothing is stored for this key, and nothing was, as far as is known.
        New => "new",
        /// Another [release](crate::CacheBuilder::release) had stored something, whose
        /// entries this one does not read.
        Release => "release",
        /// Something was stored, or may have been, and nobody knows what became of it: Redis has
        /// evicted it, another hand has removed it, or this process has just begun.
        Unknown => "unknown",
        /// What was stored had to leave memory, as far as this process remembers.
        Evicted => "evicted",
        /// What was stored is no longer fresh.
        Expired => "expired",
        /// What was stored has been invalidated.
        Invalidated => "invalidated",
        /// Responses are stored, none for these values of what `Vary` names. One that was
        /// has another cause, where this process knows what became of it.
        Variant => "variant",
        /// What is stored is fresh, but the request asks for more: `no-cache`,
        /// `max-age` or `min-fresh` (RFC 9111, 5.2.1), or a check that a value does not pass.
        Request => "request",
        /// The request has `Authorization`, which what is stored does not admit (RFC 9111, 3.5).
        Authorization => "authorization",
        /// What was stored was damaged, or not for this request.
        Corrupt => "corrupt",
        /// What is stored is larger than the policy takes, or has a cookie where it takes none.
        Bounds => "bounds",
        /// What is stored could have answered, but its policy [observes](crate::Policy::observe).
        Observed => "observed",
        /// The store did not answer in time, or with an error.
        StoreError => "store-error",
    }
}

reasons! {
    /// What failed, as [`Stats::faults`](crate::Stats::faults) counts it.
    Fault {
        /// The handler, by an error of its service, where nothing stood in for it: that request has no answer.
        Handler => "handler",
        /// The handler took longer than [`Policy::hard_timeout`](crate::Policy::hard_timeout), and
        /// nothing stood in for it: 504.
        HandlerTimeout => "handler-timeout",
        /// The handler, by an error or by taking too long, where something stale or the fallback stood
        /// in for it, or nobody waited for it (a renewal). Of responses, not of typed values.
        HandlerHidden => "handler-hidden",
        /// A stored entry was damaged, forged or not for the request asked.
        Corrupt => "corrupt",
        /// An operation of the store took too long.
        StoreTimeout => "store-timeout",
        /// The store could not be reached, or was not asked for it has just failed.
        StoreUnavailable => "store-unavailable",
        /// The store answered with an error.
        StoreRefused => "store-refused",
        /// A clock had too many scopes or patterns and has forgotten the oldest: what is older is invalid.
        Forgotten => "forgotten",
    }
}

reasons! {
    /// What differed between the handler's answer and what was stored, as
    /// [`Policy::observe`](crate::Policy::observe) and
    /// [`Policy::verify`](crate::Policy::verify) count it.
    Mismatch {
        /// The status.
        Status => "status",
        /// A field; the event names it.
        Field => "field",
        /// The body; the event says from which byte on.
        Body => "body",
    }
}

reasons! {
    /// By what scope an entry was invalidated, as
    /// [`Stats::invalidated_by`](crate::Stats::invalidated_by) counts misses.
    InvalidatedBy {
        /// All entries.
        Everything => "everything",
        /// Those of an endpoint.
        Endpoint => "endpoint",
        /// Those of a tag, or of a group that the answer named (RFC 9875).
        Tag => "tag",
        /// Those of a URI: by a call, or an unsafe request to it.
        Uri => "uri",
        /// This one, by its key.
        Key => "key",
        /// Those whose key matches a pattern.
        Pattern => "pattern",
        /// Nobody knows any more.
        Forgotten => "forgotten",
    }
}

reasons! {
    /// Why an entry left memory, other than by an invalidation or a newer answer.
    Eviction {
        /// There was no room for it.
        Capacity => "capacity",
        /// It was of no use any more: beyond all its windows.
        Expired => "expired",
        /// There were too many variants of its resource, or they vary otherwise by now.
        Variants => "variants",
    }
}

reasons! {
    /// Why a request did not take part in caching.
    Bypass {
        /// The cache is switched off.
        Disabled => "disabled",
        /// No policy covers this path.
        NoPolicy => "no-policy",
        /// The policy stores nothing, it only invalidates.
        NotCached => "not-cached",
        /// A router has matched no route (fallback, `nest_service`), and the policy wants one.
        Unmatched => "unmatched",
        /// The method is neither GET nor HEAD, nor one of the policy's [`methods`](crate::Policy::methods).
        Method => "method",
        /// A GET with a body; or a request that asks by its content, where that is too
        /// long, of no type or several, in several lines of codings, or cannot be read.
        RequestBody => "request-body",
        /// A protocol upgrade, an event stream, gRPC, or a content that is `Incremental` (RFC 10036).
        Streaming => "streaming",
        /// A field asks the handler to treat the request as another method.
        MethodOverride => "method-override",
        /// `If-Match` or `If-Unmodified-Since`, which are the handler's alone to
        /// judge (RFC 9110, 13.1.1 and 13.1.4).
        Precondition => "precondition",
        /// Too many requests share its fill, there are too many fills, or this one took too long:
        /// the policy's fallback or the handler answered, and nothing was stored.
        Crowded => "crowded",
        /// `only-if-cached`, and nothing stored could answer: 504 (RFC 9111, 5.2.1.7).
        OnlyIfCached => "only-if-cached",
        /// The request forbids to store its answer (RFC 9111, 5.2.1.5); under
        /// [`Policy::http`](crate::Policy::http) alone.
        NoStore => "request-no-store",
        /// The host is in doubt: two `Host` fields, one that contradicts the
        /// target, or a target with user information (RFC 9112, 3.2).
        AmbiguousHost => "ambiguous-host",
        /// `Connection` lists a field that is not of the connection (RFC 9110,
        /// 7.6.1): who takes it off on the way answers another request.
        Connection => "connection",
        /// A credential whose meaning the policy does not tell.
        Credential => "credential",
        /// The cache asks for a tenant and this request has none.
        NoTenant => "no-tenant",
        /// The policy's scope has no value for this request.
        NoScope => "no-scope",
        /// The policy's key function gave none.
        NoKey => "no-key",
    }
}

reasons! {
    /// Why an answer was not stored. It was delivered all the same.
    Refusal {
        /// The status is not one that the policy stores.
        Status => "status",
        /// The handler's hint says so.
        Hint => "hint",
        /// It sets a cookie, and the policy does not [store it](crate::Policy::store_set_cookie).
        SetCookie => "set-cookie",
        /// `Vary: *`, or a `Vary` that cannot be read (RFC 9111, 4.1).
        VaryAny => "vary",
        /// It carries a field that is a credential, such as `X-Auth-Token`.
        Credential => "credential",
        /// `no-store` (RFC 9111, 5.2.2.5).
        NoStore => "no-store",
        /// `private` (RFC 9111, 5.2.2.7).
        Private => "private",
        /// `no-cache` (RFC 9111, 5.2.2.4), under a policy that does not validate
        /// each use.
        NoCache => "no-cache",
        /// A `Cache-Control`, targeted field or `Content-Length` that cannot be read.
        Malformed => "malformed",
        /// No use is left of it: it is not fresh, may not be served stale and cannot
        /// be validated.
        ZeroTtl => "zero-ttl",
        /// A Content-Security-Policy with a nonce, which must not be used twice.
        CspNonce => "csp-nonce",
        /// An event stream, gRPC, or marked `Incremental` (RFC 10036).
        Streaming => "streaming",
        /// A part of a representation, such as a 206.
        Partial => "partial",
        /// Larger than the policy's `max_body`.
        TooLarge => "too-large",
        /// There was no room for it among the bodies under way, which have half of the
        /// memory tier; or it was for memory alone, and there is none.
        NoRoom => "no-room",
        /// Trailers came behind its body (RFC 9110, 6.5).
        Trailers => "trailers",
        /// A tag's template names a parameter that the route lacks.
        Template => "template",
        /// More than 1,000 tags, or one in a [tag field](crate::Policy::tag_fields) that
        /// is longer than 1,024 bytes or no visible ASCII.
        Tags => "tags",
        /// `store_if` said no.
        StoreIf => "store-if",
        /// A layer of the same cache further in has decided.
        InnerLayer => "inner-layer",
        /// A 304 with another validator than the one it was asked about (RFC 9111, 4.3.4).
        Validator => "validator",
        /// The handler took longer than the policy's
        /// [`hard_timeout`](crate::Policy::hard_timeout): 504.
        Timeout => "hard-timeout",
        /// The policy's own fallback answers for a handler that failed.
        Fallback => "fallback",
        /// What is stored stays as it is: the policy only [observes](crate::Policy::observe).
        Observed => "observed",
        /// HEAD has no body to store.
        Head => "head",
        /// The request had `Authorization`, and the answer does not say that it
        /// may be shared (RFC 9111, 3.5); or it had another credential, and the
        /// answer states no life of its own.
        Authorization => "authorization",
        /// Its `Vary` names more than 16 fields.
        TooManyVariants => "too-many-variants",
    }
}
