//! How a request was answered, and why: [`Outcome`] in the response's
//! extensions, and the `Cache-Status` field (RFC 9211) made from it.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

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
    /// The handler answered.
    #[non_exhaustive]
    Miss {
        /// Why nothing stored could answer.
        cause: Cause,
        /// Whether the answer is stored once its body has ended cleanly, and
        /// why not.
        stored: Result<(), Refusal>,
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
    /// Whether a stored response answered.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self, Self::Hit { .. })
    }

    /// Whether the handler's answer is being stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Miss { stored: Ok(()), .. })
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

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The reason as one word, as `Cache-Status` and events show it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why nothing stored could answer a request.
    Cause {
        /// Nothing is stored for this key.
        New => "new",
        /// What was stored is no longer fresh.
        Expired => "expired",
        /// What was stored has been invalidated.
        Invalidated => "invalidated",
        /// Responses are stored, none for these values of the fields that
        /// `Vary` names.
        Variant => "variant",
        /// What was stored was damaged, or not for this request.
        Corrupt => "corrupt",
        /// The store did not answer in time, or with an error.
        StoreError => "store-error",
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
        /// A router's fallback answers, and the policy does not ask for it.
        Unmatched => "unmatched",
        /// The method is neither GET nor HEAD.
        Method => "method",
        /// A GET with a body.
        RequestBody => "request-body",
        /// A protocol upgrade, an event stream or gRPC.
        Streaming => "streaming",
        /// A field asks the handler to treat the request as another method.
        MethodOverride => "method-override",
        /// The host is missing twice over: two `Host` fields, or one that
        /// contradicts the target.
        AmbiguousHost => "ambiguous-host",
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
        /// It sets a cookie.
        SetCookie => "set-cookie",
        /// `Vary: *`, or a `Vary` that cannot be read.
        VaryAny => "vary",
        /// It carries a field that is a credential, such as `X-Auth-Token`.
        Credential => "credential",
        /// `Cache-Control: no-store`.
        NoStore => "no-store",
        /// `Cache-Control: private`.
        Private => "private",
        /// `Cache-Control: no-cache`.
        NoCache => "no-cache",
        /// A `Cache-Control` that cannot be read.
        Malformed => "malformed",
        /// Its lifetime is zero.
        ZeroTtl => "zero-ttl",
        /// A Content-Security-Policy with a nonce, which must not be used twice.
        CspNonce => "csp-nonce",
        /// An event stream, gRPC, or marked `Incremental` (RFC 10036).
        Streaming => "streaming",
        /// A part of a representation.
        Partial => "partial",
        /// Larger than the policy's `max_body`.
        TooLarge => "too-large",
        /// A tag's template names a parameter that the route lacks.
        Template => "template",
        /// `store_if` said no.
        StoreIf => "store-if",
        /// A layer of the same cache further in has decided.
        InnerLayer => "inner-layer",
        /// HEAD has no body to store.
        Head => "head",
        /// It varies on more than the cache allows.
        TooManyVariants => "too-many-variants",
    }
}
