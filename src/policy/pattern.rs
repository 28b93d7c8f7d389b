//! Patterns of paths, as tables of routes have them.

use percent_encoding::percent_decode_str;

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

/// Whether all paths of one pattern are another's too, as far as examples tell: no literal
/// of a pattern is like theirs.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let mut one = matchit::Router::new();
    let inner = shape(inner).replace("{}", "\0");
    let examples = ["\0", "\0/\0"].map(|rest| inner.replace("{*}", rest));
    one.insert(outer, ()).is_ok() && examples.iter().all(|path| one.at(path).is_ok())
}

/// Whether a handler may read a path as another one than it is written: encoded, or with
/// segments that mean nothing.
pub(super) fn may_differ(path: &str) -> bool {
    let (mut differs, mut last) = (false, 0);
    for byte in path.bytes() {
        differs |= byte == b'%' || (last == b'/' && (byte == b'/' || byte == b'.'));
        last = byte;
    }
    differs
}

/// What it may read then: the path decoded, and without empty segments and dots as well.
pub(super) fn as_read(path: &str) -> [String; 2] {
    let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut plain = format!("/{}", kept.join("/"));
    if decoded.ends_with('/') && !kept.is_empty() {
        plain.push('/');
    }
    [decoded, plain]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_two_ways() {
        for (path, decoded, plain) in [
            ("/a", "/a", "/a"),
            ("/u/%6de", "/u/me", "/u/me"),
            ("//a/./b/", "//a/./b/", "/a/b/"),
            ("/a/..%2fb", "/a/../b", "/b"),
            ("/../a", "/../a", "/a"),
            ("/%2e/", "/./", "/"),
            ("*", "*", "/*"),
            ("", "", "/"),
        ] {
            assert_eq!(as_read(path), [decoded, plain], "{path}");
            assert!(may_differ(path) || path == decoded, "{path}");
        }
        assert!(may_differ("/a//b") && may_differ("/a/.b") && !may_differ("/a.b/c"));
    }

    #[test]
    fn a_pattern_lies_within_another_one() {
        assert!(covers("/u/{id}", "/u/me") && covers("/{*all}", "/u/{id}"));
        assert!(covers("/f/{*rest}", "/f/private/{*x}"));
        assert!(!covers("/u/{id}", "/{*all}") && !covers("/u/me", "/u/{id}"));
        assert!(!covers("/x/{c}", "/{a}/b") && !covers("/{a}", "/{*all}"));
    }
}
