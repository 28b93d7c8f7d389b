//! Patterns of paths, as tables of routes have them.

/// Refuses what no path is like: another router's syntax would be taken for text.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    if !pattern.starts_with('/') {
        return Err("a pattern is a path: it begins with a slash".into());
    }
    for segment in pattern.split('/') {
        if let Some(name) = segment.strip_prefix(':') {
            return Err(format!("for a parameter write {{{name}}}, not {segment}"));
        }
    }
    let mut braces = 0_u32;
    for c in pattern.chars() {
        match c {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ if braces > 0 => {}
            '*' => return Err("for all that is below write {*rest}: `*` is text".into()),
            '?' => return Err("a pattern has no query: vary by it with only_params(..)".into()),
            '#' => return Err("a pattern has no fragment".into()),
            c if c.is_ascii_whitespace() || c.is_ascii_control() => {
                return Err(format!(
                    "no path has {c:?}: write it as %{:02X}",
                    u32::from(c)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether there may be a path that two patterns cover: no literal segment of one is
/// another literal of the other.
pub(super) fn may_meet(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(segment), _) | (_, Some(segment)) if segment.contains("{*") => return true,
            (Some(a), Some(b)) if a == b || a.contains('{') || b.contains('{') => {}
            _ => return false,
        }
    }
}

/// A pattern without the names of its parameters: `/users/{}`.
pub(super) fn shape(pattern: &str) -> String {
    let anonymous = |segment: &str| match segment.strip_prefix('{') {
        Some(rest) if rest.starts_with('*') => "{*}".to_owned(),
        Some(rest) if rest.ends_with('}') && !rest.starts_with('{') => "{}".to_owned(),
        _ => segment.to_owned(),
    };
    let segments: Vec<String> = pattern.split('/').map(anonymous).collect();
    segments.join("/")
}
