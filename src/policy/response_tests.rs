//! The judge never grows laxer by a stricter answer.

use std::time::SystemTime;

use super::*;
use crate::policy::template::Params;
use crate::policy::{Context, Policy};
use proptest::prelude::*;

fn compiled(policy: &Policy) -> Compiled {
    let context = Context {
        prefix: "api".into(),
        release: String::new(),
        max_body: 1 << 20,
        credentials: Vec::new(),
        namespaces: crate::invalidate::Namespaces::default(),
        tenants: false,
    };
    Compiled::new(policy, &context).unwrap()
}

fn judged(policy: &Compiled, fields: &[(&'static str, String)]) -> Option<Terms> {
    judged_by(policy, fields, Hint::new()).ok()
}

fn judged_by(
    policy: &Compiled,
    fields: &[(&'static str, String)],
    hint: Hint,
) -> Result<Terms, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let answer = Answer {
        status: StatusCode::OK,
        headers: &headers,
        at_least: 0,
        request: &HeaderMap::new(),
        authorized: false,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800),
        chance: 0.0,
        took: Duration::ZERO,
        adapted: None,
        params: Params::new(None, "/", None),
        named: Ok(&[]),
    };
    judge(policy, &answer, hint)
}

#[test]
fn what_has_an_empty_tag_is_not_stored() {
    let policy = compiled(&Policy::ttl(Duration::from_secs(60)));
    let hinted = |tag: &str| judged_by(&policy, &[], Hint::new().tag("a").tag(tag));
    assert!(hinted("b").is_ok());
    assert!(matches!(hinted(""), Err(Refusal::Tags)));
}

fn directive() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("public".to_owned()),
        Just("immutable".to_owned()),
        Just("must-understand".to_owned()),
        Just("no-cache=\"x\"".to_owned()),
        Just("private=\"x\"".to_owned()),
        Just("ext=\"a, no-store\"".to_owned()),
        (0_u32..100).prop_map(|n| format!("max-age={n}")),
        (0_u32..100).prop_map(|n| format!("s-maxage={n}")),
        (0_u32..100).prop_map(|n| format!("stale-while-revalidate={n}")),
        (0_u32..100).prop_map(|n| format!("stale-if-error={n}")),
        "[a-z0-9=\", -]{0,12}",
    ]
}

fn stricter() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("no-store"),
        Just("private"),
        Just("no-cache"),
        Just("must-revalidate"),
        Just("proxy-revalidate"),
        Just("max-age=0"),
    ]
}

proptest! {
    #[test]
    fn one_more_strict_directive_never_makes_an_answer_more_cacheable(
        control in proptest::collection::vec(directive(), 0..5),
        age in 0_u32..50,
        tagged in any::<bool>(),
        more in stricter(),
    ) {
        let mut fields = vec![("age", age.to_string())];
        fields.extend(control.into_iter().map(|line| ("cache-control", line)));
        if tagged {
            fields.push(("etag", "\"a\"".to_owned()));
            fields.push(("last-modified", "Fri, 13 Nov 2026 12:00:00 GMT".to_owned()));
        }
        let mut strict = fields.clone();
        strict.push(("cache-control", more.to_owned()));
        for policy in [Policy::http(), Policy::ttl(Duration::from_secs(60))] {
            let policy = compiled(&policy);
            let (lax, strict) = (judged(&policy, &fields), judged(&policy, &strict));
            let Some(strict) = strict else { continue };
            let lax = lax.unwrap();
            prop_assert!(strict.lifetime.fresh <= lax.lifetime.fresh);
            prop_assert!(strict.lifetime.stale <= lax.lifetime.stale);
            prop_assert!(strict.lifetime.error <= lax.lifetime.error);
        }
    }
}
