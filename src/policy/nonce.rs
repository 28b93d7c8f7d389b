//! Content-Security-Policy nonces: an answer that carries one is for one
//! request only.

use http::HeaderMap;

/// Whether a Content-Security-Policy, reporting or enforced, names a nonce.
pub(crate) fn has_nonce(headers: &HeaderMap) -> bool {
    [
        http::header::CONTENT_SECURITY_POLICY,
        http::header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    ]
    .iter()
    .flat_map(|name| headers.get_all(name))
    .any(|value| {
        let value = value.as_bytes();
        value
            .windows(7)
            .any(|window| window.eq_ignore_ascii_case(b"'nonce-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_nonce_is_seen_in_both_fields_and_any_case() {
        for name in [
            "content-security-policy",
            "content-security-policy-report-only",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                name,
                HeaderValue::from_static("script-src 'Nonce-abc' 'self'"),
            );
            assert!(has_nonce(&headers), "{name}");
        }
    }

    #[test]
    fn a_policy_without_one_is_not_taken_for_one() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "content-security-policy",
            HeaderValue::from_static("default-src 'self' nonce.example"),
        );
        assert!(!has_nonce(&headers));
    }
}
