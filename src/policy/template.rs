//! Templates over route parameters: `character:{id}`.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// A text with parameters in braces; `{{` and `}}` are literal braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Param(String),
}

/// A template names a parameter that the route does not have, that cannot be told
/// because the path is not one of the route's, or whose value is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the route has no parameter {{{}}}", self.0)
    }
}

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut chars = source.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    text.push(c);
                }
                '{' => {
                    let name = parameter(&mut chars)
                        .ok_or_else(|| format!("{source:?} does not close its brace"))?;
                    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
                    if name.is_empty() || !name.chars().all(word) {
                        return Err(format!("{source:?} has a brace without a parameter's name"));
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Param(name));
                }
                '}' => return Err(format!("{source:?} closes a brace that is not open")),
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What it may come to, with the same `value` for each parameter.
    pub(crate) fn example(&self, value: &str) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Param(_) => value,
        });
        texts.collect()
    }

    pub(crate) fn begins_with_parameter(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Param(_)))
    }

    /// Fills in the parameters; each value goes through `escape` first.
    pub(crate) fn render(
        &self,
        params: &Params<'_>,
        escape: impl Fn(&str) -> String,
    ) -> Result<String, Missing> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Param(name) => match params.get(name) {
                    Some(value) => out.push_str(&escape(&value)),
                    None => return Err(Missing(name.clone())),
                },
            }
        }
        Ok(out)
    }

    /// The first parameter that the route's `pattern` lacks.
    pub(crate) fn missing_in(&self, pattern: &str) -> Option<Missing> {
        self.parts.iter().find_map(|part| match part {
            Part::Param(name) if !pattern_params(pattern).any(|p| p == name) => {
                Some(Missing(name.clone()))
            }
            _ => None,
        })
    }
}

/// Reads up to the closing brace, which must come.
fn parameter(chars: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut name = String::new();
    for c in chars {
        if c == '}' {
            return Some(name);
        }
        name.push(c);
    }
    None
}

/// The names of a route pattern's parameters.
fn pattern_params(pattern: &str) -> impl Iterator<Item = &str> {
    let names = pattern.split('/').filter_map(|segment| split(segment).1);
    names.map(|name| name.strip_prefix('*').unwrap_or(name))
}

/// A segment of a pattern: its text, `{{` and `}}` for braces, and the parameter behind
/// that, as in `{id}`, `c_{id}`, `{*rest}` (`*rest`).
fn split(segment: &str) -> (Cow<'_, str>, Option<&str>) {
    let mut at = 0;
    while let Some(brace) = segment[at..].find('{') {
        at += brace;
        if let Some(name) = segment[at + 1..].strip_suffix('}')
            && !name.starts_with('{')
        {
            return (unescaped(&segment[..at]), Some(name));
        }
        at += 1 + usize::from(segment[at + 1..].starts_with('{'));
    }
    (unescaped(segment), None)
}

fn unescaped(text: &str) -> Cow<'_, str> {
    match text.contains(['{', '}']) {
        true => text.replace("{{", "{").replace("}}", "}").into(),
        false => text.into(),
    }
}

/// A parameter's value, if the path as a whole is one of the pattern's.
fn value_of<'a>(name: &str, pattern: &str, path: &'a str) -> Option<&'a str> {
    let (mut rest, mut found) = (Some(path), None);
    for segment in pattern.split('/') {
        let (text, param) = split(segment);
        let wildcard = param.and_then(|param| param.strip_prefix('*'));
        let (part, after) = match rest?.split_once('/') {
            Some((part, after)) if wildcard.is_none() => (part, Some(after)),
            _ => (rest?, None),
        };
        let value = part.strip_prefix(&*text)?;
        if value.is_empty() == param.is_some() {
            return None; // no text of a parameter's, or more than the pattern's own
        }
        if wildcard.or(param) == Some(name) {
            found = Some(value);
        }
        rest = after;
    }
    found.filter(|_| rest.is_none())
}

/// A request's route parameters, read off its path by the matched pattern.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params<'a> {
    pattern: Option<&'a str>,
    /// The first that is one of the pattern's counts.
    paths: [&'a str; 2],
}

impl<'a> Params<'a> {
    /// `path` is the original request's, `own` the handler's where it is another: cut
    /// by a nested router, whose patterns stay whole, or rewritten by a layer.
    pub(crate) fn new(pattern: Option<&'a str>, path: &'a str, own: Option<&'a str>) -> Self {
        let own = own.unwrap_or(path);
        let paths = match path.ends_with(own) {
            true => [path, own],
            false => [own, path],
        };
        Self { pattern, paths }
    }

    /// The route, for who reads logs.
    pub(crate) fn route(&self) -> &'a str {
        self.pattern.unwrap_or("none")
    }

    /// The parameter's value, percent-decoded.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        percent_decode_str(raw).decode_utf8().ok()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        let (pattern, mut paths) = (self.pattern?, self.paths.into_iter());
        paths.find_map(|path| value_of(name, pattern, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, pattern: &str, path: &str) -> Result<String, Missing> {
        let params = Params::new(Some(pattern), path, None);
        Template::parse(template)
            .unwrap()
            .render(&params, str::to_owned)
    }

    #[test]
    fn parameters_come_from_the_path_decoded() {
        let path = "/users/a%20b/posts/7";
        let pattern = "/users/{user}/posts/{post}";
        assert_eq!(
            render("u:{user}:p:{post}", pattern, path).unwrap(),
            "u:a b:p:7"
        );
        assert_eq!(render("all", pattern, path).unwrap(), "all");
        assert_eq!(render("{{x}}", pattern, path).unwrap(), "{x}");
    }

    #[test]
    fn a_wildcard_takes_the_rest() {
        assert_eq!(
            render("{path}", "/files/{*path}", "/files/a/b").unwrap(),
            "a/b"
        );
    }

    #[test]
    fn a_parameter_that_is_not_there_is_an_error() {
        let missing = render("u:{user}", "/users/{id}", "/users/1").unwrap_err();
        assert_eq!(missing, Missing("user".into()));
        let template = Template::parse("u:{user}").unwrap();
        assert!(template.missing_in("/users/{id}").is_some());
        assert!(template.missing_in("/users/{user}").is_none());
        assert!(
            template
                .render(&Params::new(None, "/users/1", None), str::to_owned)
                .is_err()
        );
    }

    #[test]
    fn a_path_that_is_not_the_patterns_has_no_parameters() {
        for (pattern, path) in [
            ("/{lang}/c/{id}", "/c/7"),
            ("/users/{id}", "/api/users/7"),
            ("/users/{id}", "/users/7/posts"),
            ("/users/{id}", "/users/"),
            ("/users/{id}", "/users"),
            ("/x/{*rest}/users/{id}", "/x/users/7"),
            ("/{{a}}/{id}", "/a/7"),
            ("/{é/{id", "/{é/7"),
        ] {
            assert!(render("{id}", pattern, path).is_err(), "{pattern} {path}");
        }
        assert_eq!(render("{id}", "/{{*a}}/{id}", "/{*a}/7").unwrap(), "7");
        assert_eq!(render("{id}", "/c_{id}/{n}", "/c_7/8").unwrap(), "7");
        assert!(render("{id}", "/c_{id}", "/d_7").is_err());
    }

    #[test]
    fn a_value_that_is_no_text_is_missing() {
        assert!(render("{id}", "/u/{id}", "/u/%ff").is_err());
    }

    #[test]
    fn braces_must_match() {
        for bad in ["{", "}", "{}", "{a", "a}", "{a b}", "{{{"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
