//! What a route declares, in the name of who asks.

use super::Selector;
use super::selector::Kind;
use super::target::{Target, target_for, tenant_suffix};
use crate::error::InvalidateError;
use crate::policy::Context;

/// Checks a selector that a route declares. Typed values that it names by a key are nobody's, and
/// the tenant's own.
pub(crate) fn targets_declared(
    selector: &Selector,
    context: &Context,
    tenant: Option<&str>,
) -> Result<Vec<Target>, InvalidateError> {
    let (Some(asking), Some(_)) = (tenant, selector.namespace(context)) else {
        return Ok(vec![target_for(selector, context, tenant)?]);
    };
    let mut targets = vec![target_for(selector, context, None)?];
    if let Kind::Key(name) = &selector.kind {
        if names_a_tenant(name) {
            let why = format!("key {name:?} ends as a tenant's do"); // and may be another's
            return Err(InvalidateError::bad_selector(why));
        }
        let (kind, mode) = (
            Kind::Key(name.clone() + &tenant_suffix(asking)),
            selector.mode,
        );
        targets.push(target_for(&Selector { kind, mode }, context, None)?);
    }
    Ok(targets)
}

/// Whether a value's name ends as a tenant's do.
fn names_a_tenant(name: &str) -> bool {
    let end = name.rsplit_once('@').map(|(_, end)| end);
    end.is_some_and(|end| end.len() == 16 && end.bytes().all(|b| b.is_ascii_hexdigit()))
}
