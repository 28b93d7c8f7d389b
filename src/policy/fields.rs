//! The lists of field names that the safe defaults rest on, and a table that
//! classifies a request's fields in one pass.

use std::hash::{Hash, Hasher};

use http::HeaderName;
use http::header;

use crate::error::ConfigError;

/// Fields that say who asks. A request with one of them bypasses the cache
/// unless its policy says what it means.
pub const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-session-id",
    "x-session-token",
    "x-csrf-token",
    "x-xsrf-token",
    "dpop",
    "x-user",
    "x-user-id",
    "x-user-email",
    "remote-user",
    "x-remote-user",
    "x-auth-user",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-access-token",
    "x-authenticated-user",
    "x-webauth-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-client-cert",
    "x-ssl-client-cert",
    "ssl-client-cert",
    "client-cert",
    "x-jwt-assertion",
    "x-goog-iap-jwt-assertion",
    "x-goog-authenticated-user-email",
    "cf-access-jwt-assertion",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "x-amz-security-token",
    "x-ms-client-principal",
    "x-ms-token-aad-id-token",
    "x-authentik-username",
    "tailscale-user-login",
    "tailscale-user-name",
    "private-token",
    "x-token",
    "x-auth",
    "x-auth-key",
    "x-jwt",
    "x-goog-api-key",
    "x-vault-token",
    "x-gitlab-token",
    "x-shopify-access-token",
    "ocp-apim-subscription-key",
    "x-csrftoken",
    "x-consumer-id",
    "x-consumer-username",
    "x-credential-identifier",
    "x-userinfo",
    "x-apigateway-api-userinfo",
    "x-endpoint-api-userinfo",
    "x-pomerium-jwt-assertion",
    "x-vouch-user",
    "impersonate-user",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-ssl-client-dn",
    "x-ssl-client-s-dn",
];

/// Fields that a proxy sets and a client can forge, and that handlers put into
/// links and redirects. They are part of the key by default; hide them
/// ([`Policy::hide`](crate::Policy::hide)) where the handler does not need them.
pub const FORWARDED: &[&str] = &[
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "front-end-https",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-envoy-original-path",
    "x-rewrite-url",
    "x-url-scheme",
    "x-scheme",
    "x-http-host-override",
    "x-forwarded-protocol",
    "x-forwarded-pathbase",
    "x-forwarded-base",
    "x-original-path",
    "x-original-proto",
    "x-script-name",
    "x-real-host",
    "x-backend-host",
    "cloudfront-forwarded-proto",
];

/// Fields with which a client asks for a part of a page under the page's own
/// URL. They are part of the key by default.
pub const FRAGMENTS: &[&str] = &[
    "rsc",
    "next-router-state-tree",
    "next-router-prefetch",
    "next-router-segment-prefetch",
    "next-url",
    "hx-request",
    "hx-boosted",
    "hx-target",
    "hx-trigger",
    "hx-trigger-name",
    "hx-current-url",
    "hx-prompt",
    "hx-history-restore-request",
    "x-inertia",
    "x-inertia-version",
    "x-inertia-partial-data",
    "x-inertia-partial-component",
    "x-inertia-partial-except",
    "x-pjax",
    "x-pjax-container",
    "turbo-frame",
    "x-requested-with",
    "x-up-target",
    "x-up-version",
    "x-up-mode",
    "x-up-context",
    "x-up-fail-target",
    "x-up-fail-mode",
    "next-action",
    "x-nextjs-data",
    "x-middleware-prefetch",
    "x-livewire",
    "x-livewire-navigate",
    "x-inertia-reset",
    "x-inertia-error-bag",
    "datastar-request",
    "x-alpine-request",
    "x-alpine-target",
];

/// Fields that ask a handler to treat the request as another method.
pub(crate) const METHOD_OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Fields of an answer that belong to the one request it answered.
pub(crate) const PER_REQUEST: &[&str] = &[
    "x-request-id",
    "x-correlation-id",
    "x-trace-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "request-id",
    "traceparent",
    "tracestate",
    "traceresponse",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "server-timing",
    "x-runtime",
    "x-response-time",
    "ratelimit",
    "ratelimit-policy",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-after",
    "x-rate-limit-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-reset",
    "retry-after",
    "alt-svc",
    "clear-site-data",
    "www-authenticate",
    "authentication-info",
    "proxy-authenticate",
    "proxy-authentication-info",
    "set-cookie2",
];

/// Fields that belong to one connection (RFC 9110, 7.6.1), whether or not
/// `Connection` lists them.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || matches!(
            name.as_str(),
            "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authentication-info"
                | "proxy-authorization"
        )
}

/// Field names as a setting gives them.
pub(crate) fn parse_names<'a>(
    setting: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<HeaderName>, ConfigError> {
    names
        .into_iter()
        .map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| ConfigError::new(setting, format!("{name:?} is no field name")))
        })
        .collect()
}

/// What a request's field means under one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Says who asks, and the policy does not tell what that means.
    Credential,
    /// Part of the key.
    Keyed,
    /// Part of the key by its hash: a credential that the policy keys.
    KeyedSecret,
    /// Removed before the handler sees the request.
    Hidden,
    /// The policy's scope speaks for it.
    Scoped,
    /// Asks for another method.
    MethodOverride,
    /// Says which answers it takes, where the policy heeds that.
    Wish,
    /// `Authorization` under RFC 9111's own rule (3.5).
    Authorization,
    /// Makes the request conditional or partial.
    Condition,
    /// A condition for the handler alone (RFC 9110, 13.1.1 and 13.1.4).
    Precondition,
}

/// Field names and their classes. Most fields of a request have none, and a
/// filter says so at the cost of a bit's look.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    filter: [u64; ROWS],
    by_len: Vec<Vec<(HeaderName, Class)>>,
}

/// What admission reads whatever the policy says.
const ALWAYS_READ: [HeaderName; 5] = [
    header::HOST,
    header::CONNECTION,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::UPGRADE,
];

/// A name's place in the filter. That of a name which `http` knows is its number
/// there, others are told apart by length, first and last byte.
#[derive(Default)]
struct Place(usize);

/// Places of names that are known by their numbers.
const KNOWN: usize = 128;
/// Words of the filter: the known, then a word for each of so many lengths.
const ROWS: usize = KNOWN / 64 + 64;

impl Place {
    #[inline]
    fn of(name: &HeaderName) -> (usize, u64) {
        let mut place = Self::default();
        name.hash(&mut place);
        (place.0 / 64 % ROWS, 1 << (place.0 % 64))
    }
}

impl Hasher for Place {
    /// A name's bytes.
    #[inline]
    fn write(&mut self, name: &[u8]) {
        let (first, last) = (name.first().copied(), name.last().copied());
        let mixed = first.unwrap_or(0).wrapping_mul(5) ^ last.unwrap_or(0);
        self.0 = KNOWN + name.len() % 64 * 64 + usize::from(mixed % 64);
    }

    /// Which of the kinds of names, then which of the known.
    #[inline]
    fn write_isize(&mut self, number: isize) {
        self.0 = number.unsigned_abs() % KNOWN;
    }

    fn finish(&self) -> u64 {
        self.0 as u64
    }
}

impl Classes {
    /// With notice of those that every policy reads.
    pub(crate) fn new() -> Self {
        let mut classes = Self {
            filter: [0; ROWS],
            by_len: Vec::new(),
        };
        for name in ALWAYS_READ {
            classes.note(&name);
        }
        classes
    }

    /// Sets the class of `name`; the last word wins.
    pub(crate) fn set(&mut self, name: HeaderName, class: Class) {
        self.note(&name);
        let len = name.as_str().len();
        if self.by_len.len() <= len {
            self.by_len.resize(len + 1, Vec::new());
        }
        match self.by_len[len].iter_mut().find(|(n, _)| *n == name) {
            Some(known) => known.1 = class,
            None => self.by_len[len].push((name, class)),
        }
    }

    fn note(&mut self, name: &HeaderName) {
        let (row, bit) = Place::of(name);
        self.filter[row] |= bit;
    }

    /// Whether a field may mean something; `false` is certain.
    #[inline]
    pub(crate) fn notable(&self, name: &HeaderName) -> bool {
        let (row, bit) = Place::of(name);
        self.filter[row] & bit != 0
    }

    pub(crate) fn get(&self, name: &HeaderName) -> Option<Class> {
        let known = self.by_len.get(name.as_str().len())?;
        known.iter().find(|(n, _)| n == name).map(|(_, c)| *c)
    }

    /// All names of one class.
    /// The fields that are part of the key.
    pub(crate) fn keyed(&self) -> impl Iterator<Item = &HeaderName> {
        self.of(Class::Keyed).chain(self.of(Class::KeyedSecret))
    }

    pub(crate) fn of(&self, class: Class) -> impl Iterator<Item = &HeaderName> {
        self.by_len
            .iter()
            .flatten()
            .filter_map(move |(n, c)| (*c == class).then_some(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_a_field_name() {
        for list in [
            CREDENTIALS,
            FORWARDED,
            FRAGMENTS,
            METHOD_OVERRIDES,
            PER_REQUEST,
        ] {
            let parsed = parse_names("list", list.iter().copied()).unwrap();
            for (parsed, written) in parsed.iter().zip(list) {
                assert_eq!(parsed.as_str(), *written, "names are written in lower case");
            }
        }
    }

    #[test]
    fn the_last_class_of_a_name_wins() {
        let mut classes = Classes::new();
        classes.set(header::COOKIE, Class::Credential);
        classes.set(header::COOKIE, Class::Hidden);
        assert_eq!(classes.get(&header::COOKIE), Some(Class::Hidden));
        assert_eq!(classes.get(&header::ACCEPT_LANGUAGE), None);
        assert!(classes.notable(&header::COOKIE) && classes.notable(&header::HOST));
        assert_eq!(classes.of(Class::Credential).count(), 0);
    }

    #[test]
    fn the_filter_knows_what_was_set_and_little_else() {
        let mut classes = Classes::new();
        let custom = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
        classes.set(custom("x-api-key"), Class::Credential);
        assert!(classes.notable(&custom("X-Api-Key")) && classes.notable(&header::ACCEPT));
        for other in [header::ACCEPT_LANGUAGE, header::USER_AGENT, header::COOKIE] {
            assert!(!classes.notable(&other), "{other}");
        }
        for other in ["sec-fetch-mode", "x-api-kez", "x"] {
            assert!(!classes.notable(&custom(other)), "{other}");
        }
    }
}
