//! The lists of field names that the safe defaults rest on.

use http::HeaderName;
use http::header::{self, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::error::ConfigError;

/// Fields that make a request conditional or partial.
pub(crate) const CONDITIONS: [HeaderName; 4] = [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE];

/// Fields that say who asks. A request with one of them bypasses the cache
/// unless its policy says what it means. So does one with a field that is named like
/// them: `*-authorization`, `*-api-key`, `*-access-token`, `*-session-token` or
/// `*-auth-token`.
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
    "x-authorization",
    "x-serverless-authorization",
    "x-forwarded-authorization",
    "x-original-authorization",
    "auth-token",
    "access-token",
    "session-id",
    "x-session",
    "x-username",
    "x-user-name",
    "x-id-token",
    "job-token",
    "x-subject-token",
    "x-plex-token",
    "x-redmine-api-key",
    "x-parse-session-token",
    "x-hasura-admin-secret",
    "x-hasura-user-id",
    "remote-email",
    "remote-groups",
    "remote-name",
    "cf-access-authenticated-user-email",
    "x-ms-client-principal-name",
    "x-ms-client-principal-id",
    "x-authenticated-userid",
    "x-authentik-email",
    "x-authentik-groups",
    "x-authentik-uid",
    "signature",
];

/// Whether a field is named like a credential, whatever its application.
pub(crate) fn is_credential_like(name: &str) -> bool {
    const ENDS: [&str; 5] = [
        "-authorization",
        "-api-key",
        "-access-token",
        "-session-token",
        "-auth-token",
    ];
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether it may be, by its last bytes alone: few names have to be looked at closer.
#[inline]
pub(crate) fn may_be_credential_like(name: &[u8]) -> bool {
    matches!(name.last_chunk(), Some(b"tion" | b"-key" | b"oken"))
}

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
}
