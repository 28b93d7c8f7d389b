//! JSON in one form, so that requests that mean the same have one key.
//!
//! Blanks go and members are sorted by name. Numbers and texts stay as they are
//! written, for a handler may read them as it likes; an object that names a
//! member twice has no form, nor has what is no JSON (RFC 8259).

/// Deeper texts have no form.
const DEEPEST: usize = 64;

/// The text in its one form.
pub(crate) fn canonical(text: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader { text, at: 0 };
    let mut out = Vec::with_capacity(text.len());
    reader.value(&mut out, 0)?;
    reader.blanks();
    (reader.at == text.len()).then_some(out)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| b" \t\r\n".contains(&b)) {
            self.at += 1;
        }
    }

    /// Skips blanks and takes `byte`, if it is there.
    fn takes(&mut self, byte: u8) -> bool {
        self.blanks();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => {
                out.extend_from_slice(self.string()?);
                Some(())
            }
            _ => {
                out.extend_from_slice(self.scalar()?);
                Some(())
            }
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        let mut members: Vec<(&[u8], Vec<u8>)> = Vec::new();
        if !self.takes(b'}') {
            loop {
                self.blanks();
                let name = self.string()?;
                let mut value = Vec::new();
                self.takes(b':').then_some(())?;
                self.value(&mut value, depth + 1)?;
                members.push((name, value));
                if self.takes(b'}') {
                    break;
                }
                self.takes(b',').then_some(())?;
            }
        }
        // an escaped name may be another one's twin: then the order is in doubt
        let escaped = |name: &[u8]| name.contains(&b'\\');
        if members.len() > 1 && members.iter().any(|(name, _)| escaped(name)) {
            return None;
        }
        members.sort_by_key(|(name, _)| *name);
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        out.push(b'{');
        for (at, (name, value)) in members.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
        }
        out.push(b'}');
        Some(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        out.push(b'[');
        if !self.takes(b']') {
            loop {
                self.value(out, depth + 1)?;
                if self.takes(b']') {
                    break;
                }
                self.takes(b',').then_some(())?;
                out.push(b',');
            }
        }
        out.push(b']');
        Some(())
    }

    /// A text with its quotes, as it is written.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let string = self.text.get(start..self.at)?;
        std::str::from_utf8(string).is_ok().then_some(string)
    }

    /// An escape; half a surrogate pair is in doubt, so pairs are too.
    fn escape(&mut self) -> Option<()> {
        let escape = self.text.get(self.at + 1..)?;
        self.at += match escape.first()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = escape.get(1..5)?;
                let surrogate = matches!(
                    digits,
                    [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                );
                let hex = digits.iter().all(u8::is_ascii_hexdigit);
                (hex && !surrogate).then_some(6)?
            }
            _ => return None,
        };
        Some(())
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<&'a [u8]> {
        let rest = self.text.get(self.at..)?;
        let ends = |b: &u8| b" \t\r\n,]}:[{\"".contains(b);
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let scalar = &rest[..len];
        self.at += len;
        let known = matches!(scalar, b"true" | b"false" | b"null") || is_number(scalar);
        known.then_some(scalar)
    }
}

/// A number (RFC 8259, 6).
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, part) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let unsigned = |text: &[u8]| match text {
        [b'+' | b'-', rest @ ..] => digits(rest),
        text => digits(text),
    };
    digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && part.is_none_or(digits)
        && exponent.is_none_or(unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn form(text: &str) -> Option<String> {
        canonical(text.as_bytes()).map(|form| String::from_utf8(form).unwrap())
    }

    #[test]
    fn blanks_go_and_members_are_sorted() {
        let one = form(r#" { "b" : [ 1 , { "y" : null, "x": "a b" } ] , "a": true } "#);
        assert_eq!(
            one.as_deref(),
            Some(r#"{"a":true,"b":[1,{"x":"a b","y":null}]}"#)
        );
        assert_eq!(form("[]").as_deref(), Some("[]"));
        assert_eq!(form(" {} ").as_deref(), Some("{}"));
    }

    #[test]
    fn what_a_handler_may_tell_apart_stays_apart() {
        assert_ne!(form("1"), form("1.0"));
        assert_ne!(form(r#""a""#), form(r#""\u0061""#));
        assert_ne!(form("[1,2]"), form("[2,1]"));
    }

    #[test]
    fn what_is_in_doubt_has_no_form() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "nul",
            "'a'",
            "\"a",
            "{a:1}",
            "1 2",
            "\"\u{1}\"",
            "{\"a\" 1}",
            "[1 2]",
        ] {
            assert_eq!(form(text), None, "{text}");
        }
        let deep = "[".repeat(DEEPEST + 2) + &"]".repeat(DEEPEST + 2);
        assert_eq!(form(&deep), None);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[a-z \"\\\\é]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("[a-z]{0,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_form_means_the_same_however_it_was_written(value in json()) {
            let plain = canonical(value.to_string().as_bytes()).unwrap();
            let pretty = canonical(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(&plain, &pretty);
            let back: serde_json::Value = serde_json::from_slice(&plain).unwrap();
            prop_assert_eq!(back, value);
            prop_assert_eq!(canonical(&plain), Some(plain));
        }

        #[test]
        fn no_bytes_panic_and_only_json_has_a_form(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(form) = canonical(&text) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&form).is_ok());
            }
        }
    }
}
