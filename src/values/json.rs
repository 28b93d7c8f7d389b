//! Keys made of data: canonical JSON (RFC 8785), and its hash.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::key::{Content, ValueKey};
use super::parts::KeyError;
use crate::key::hex;

/// Beyond it two integers may have one form (RFC 8785, 3.2.2.3).
const MOST_EXACT: u64 = (1 << 53) - 1;

/// A key made of data: the SHA-256 of its canonical JSON (RFC 8785), so that the
/// order of members does not count.
///
/// ```
/// use larder::values::JsonKey;
/// use serde_json::json;
///
/// let prompt = json!({"model": "m1", "temperature": 0.2, "text": "hello", "trace": 17});
/// let key = JsonKey::of(&prompt)
///     .only(["model", "temperature", "text"])
///     .quantize("temperature", 0.5)
///     .version("narrative@1.0.0")
///     .build()?;
/// assert_eq!(key.as_str().len(), 64);
/// # Ok::<(), larder::values::KeyError>(())
/// ```
///
/// A field is named by its name, or by a JSON pointer such as `/chart/sun` (RFC 6901), which begins
/// with a slash.
/// Integers beyond 2^53 are refused, for two of them may have one form: give them
/// as texts.
#[derive(Debug, Clone)]
#[must_use]
pub struct JsonKey {
    value: Value,
    only: Option<Vec<String>>,
    steps: Vec<(String, f64)>,
    /// What else the value depends on, by name.
    more: Vec<(String, String)>,
    bad: Option<KeyError>,
}

impl JsonKey {
    /// A key made of `data`.
    pub fn of(data: &(impl Serialize + ?Sized)) -> Self {
        let (value, bad) = match serde_json::to_value(data) {
            Ok(value) => (value, None),
            Err(error) => (Value::Null, Some(KeyError::new("data", error.to_string()))),
        };
        Self {
            value,
            only: None,
            steps: Vec::new(),
            more: Vec::new(),
            bad,
        }
    }

    /// Keeps these fields, and no other. One that is absent stays so; data that is no object and has
    /// none of them is refused.
    pub fn only<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(|name| pointer(name.as_ref()));
        self.only.get_or_insert_default().extend(names);
        self
    }

    /// Rounds a number down to a multiple of `step`, so that those in between have one
    /// key: with 0.5, 32.4 is 32.0 and 32.6 is 32.5. Of an array or an object all
    /// numbers within are rounded; a field that is absent stays so.
    pub fn quantize(mut self, field: &str, step: f64) -> Self {
        self.steps.push((field.to_owned(), step));
        self
    }

    /// The version of what makes the value.
    pub fn version(self, version: impl Into<String>) -> Self {
        self.with("version", version.into())
    }

    /// What else the value depends on, by its SHA-256, such as a prompt's text.
    pub fn fingerprint(self, name: &str, of: impl AsRef<[u8]>) -> Self {
        let digest = hexed(&Sha256::digest(of.as_ref()));
        self.with(name, digest)
    }

    fn with(mut self, name: &str, text: String) -> Self {
        self.more.push((name.to_owned(), text));
        self
    }

    /// The hash, for several keys to share one value by ([`ValueKey::content`]).
    ///
    /// # Errors
    ///
    /// If the data, a field or a number cannot be part of a key; the error names it.
    pub fn content(&self) -> Result<Content, KeyError> {
        if let Some(bad) = &self.bad {
            return Err(bad.clone());
        }
        let value = self.projected()?;
        exact(&value, &mut String::new())?;
        let form = serde_json_canonicalizer::to_vec(&value);
        let form = form.map_err(|error| KeyError::new("data", error.to_string()))?;
        let mut hash = Sha256::new();
        hash.update(&form);
        for (name, text) in &self.more {
            // the form holds no bare newline: it ends there
            for part in [name, text] {
                hash.update(b"\n");
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Ok(Content(hash.finalize().into()))
    }

    /// The data with its numbers rounded, and what matters of it.
    fn projected(&self) -> Result<Value, KeyError> {
        let mut value = self.value.clone();
        for (field, step) in &self.steps {
            if !(step.is_finite() && *step > 0.0) {
                let why = format!("cannot be rounded to a step of {step}");
                return Err(KeyError::new(field, why));
            }
            if let Some(value) = value.pointer_mut(&pointer(field))
                && !round(value, *step)
            {
                let why = "is no number, nor holds numbers alone";
                return Err(KeyError::new(field, why.to_owned()));
            }
        }
        let Some(only) = &self.only else {
            return Ok(value);
        };
        let kept = only.iter().filter_map(|name| {
            let field = value.pointer(name)?;
            Some((name.clone(), field.clone()))
        });
        let kept: Map<String, Value> = kept.collect();
        if kept.is_empty() && !(value.is_object() || value.is_null()) {
            // else all such data would have one key
            return Err(KeyError::new(
                "data",
                "is no object, and has none of the fields named".to_owned(),
            ));
        }
        Ok(Value::Object(kept))
    }

    /// The hash as 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// As [`content`](Self::content).
    pub fn hash(&self) -> Result<String, KeyError> {
        Ok(self.content()?.to_hex())
    }

    /// The key: the hash.
    ///
    /// # Errors
    ///
    /// As [`content`](Self::content).
    pub fn build(&self) -> Result<ValueKey<'static>, KeyError> {
        Ok(ValueKey::new(self.hash()?))
    }
}

/// Rounds a number down to a multiple of `step`. What is a multiple but for the
/// error of a floating-point division stays what it is.
///
/// ```
/// use larder::values::quantize;
///
/// assert_eq!((quantize(32.4, 0.5), quantize(32.6, 0.5)), (32.0, 32.5));
/// assert_eq!((quantize(32.4, 1.0), quantize(32.6, 1.0)), (32.0, 32.0));
/// assert_eq!(quantize(0.3, 0.1), quantize(0.3000001, 0.1));
/// ```
#[must_use]
pub fn quantize(value: f64, step: f64) -> f64 {
    let steps = value / step;
    let near = steps.round();
    let whole = match (steps - near).abs() <= near.abs().max(1.0) * 1e-12 {
        true => near,
        false => steps.floor(),
    };
    whole * step
}

/// Rounds all numbers within. `false` if there is something else, or no number.
fn round(value: &mut Value, step: f64) -> bool {
    match value {
        Value::Number(number) => {
            let Some(rounded) = number.as_f64().map(|n| quantize(n, step)) else {
                return false;
            };
            let rounded = serde_json::Number::from_f64(rounded);
            rounded.is_some_and(|rounded| {
                *number = rounded;
                true
            })
        }
        Value::Array(values) => values.iter_mut().all(|value| round(value, step)),
        Value::Object(values) => values.values_mut().all(|value| round(value, step)),
        _ => false,
    }
}

/// Refuses integers that a double cannot tell from their neighbours.
fn exact(value: &Value, path: &mut String) -> Result<(), KeyError> {
    let len = path.len();
    let mut inner = |step: &str, value: &Value| {
        path.push('/');
        path.push_str(step);
        exact(value, path)?;
        path.truncate(len);
        Ok(())
    };
    match value {
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.try_for_each(|(at, value)| inner(&at.to_string(), value))
        }
        Value::Object(values) => values
            .iter()
            .try_for_each(|(name, value)| inner(name, value)),
        Value::Number(number) => {
            let large = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
            match large.is_some_and(|n| n > MOST_EXACT) {
                true => Err(KeyError::new(
                    path.clone(),
                    format!("{number} is beyond 2^53: give it as a text"),
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn pointer(field: &str) -> String {
    match field.starts_with('/') {
        true => field.to_owned(),
        false => format!("/{}", field.replace('~', "~0").replace('/', "~1")),
    }
}

fn hexed(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    hex(&mut text, bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn hash(value: &Value) -> String {
        JsonKey::of(value).hash().unwrap()
    }

    #[test]
    fn order_does_not_count_and_the_form_is_the_standards() {
        let one = json!({"b": [1, 2.0, "é"], "a": {"y": null, "x": true}});
        let other: Value =
            serde_json::from_str(r#"{ "a":{"x":true,"y":null},"b":[1.0,2,"\u00e9"]}"#).unwrap();
        assert_eq!(hash(&one), hash(&other));
        let form = r#"{"a":{"x":true,"y":null},"b":[1,2,"é"]}"#;
        assert_eq!(hash(&one), hexed(&Sha256::digest(form)));
        assert_ne!(hash(&one), hash(&json!({"b": [2, 1, "é"], "a": {}})));
    }

    #[test]
    fn numbers_are_rounded_down_to_a_step() {
        let key = |share: f64, step| {
            let data = json!({"shares": {"sun": share, "moon": [share, 1]}, "name": "a"});
            JsonKey::of(&data).quantize("shares", step).hash().unwrap()
        };
        assert_ne!(key(32.4, 0.5), key(32.6, 0.5));
        assert_eq!(key(32.4, 0.5), key(32.1, 0.5));
        assert_eq!(key(32.4, 1.0), key(32.6, 1.0));
        assert_eq!(quantize(-0.2, 0.5), -0.5);
        let bad = JsonKey::of(&json!({"a": "x"})).quantize("a", 0.5);
        assert_eq!(bad.hash().unwrap_err().part(), "a");
        for step in [0.0, -1.0, f64::NAN] {
            let bad = JsonKey::of(&json!({"a": 1})).quantize("a", step);
            assert_eq!(bad.hash().unwrap_err().part(), "a");
        }
    }

    #[test]
    fn only_what_matters_counts() {
        let key = |trace: u32| {
            let data =
                json!({"prompt": "p", "context": {"scenes": 3, "at": trace}, "trace": trace});
            let key = JsonKey::of(&data).only(["prompt", "/context/scenes"]);
            key.hash().unwrap()
        };
        assert_eq!(key(1), key(2));
        let plain = JsonKey::of(&json!({"a": 1}));
        let versions = [
            plain.clone(),
            plain.clone().version("1"),
            plain.clone().version("2"),
            plain.clone().fingerprint("prompt", "1"),
            plain.clone().fingerprint("prompt", "2"),
            plain.version("1").fingerprint("prompt", "1"),
        ];
        let hashes: Vec<String> = versions.iter().map(|key| key.hash().unwrap()).collect();
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[at + 1..].contains(hash));
        }
    }

    #[test]
    fn a_name_with_a_slash_is_a_name() {
        let key = |data: &Value, names: &[&str]| JsonKey::of(data).only(names).hash().unwrap();
        let (slow, fast) = (
            json!({"m": 1, "km/h": 30.2}),
            json!({"m": 1, "km/h": 300.0}),
        );
        assert_ne!(key(&slow, &["m", "km/h"]), key(&fast, &["m", "km/h"]));
        let rounded = JsonKey::of(&slow).quantize("km/h", 1.0).hash().unwrap();
        assert_eq!(rounded, hash(&json!({"m": 1, "km/h": 30})));
        let (flat, nested) = (
            json!({"a/b": 1, "a": {"b": 2}}),
            json!({"a/b": 1, "a": {"b": 3}}),
        );
        assert_eq!(key(&flat, &["a/b"]), key(&nested, &["a/b"]));
        assert_ne!(key(&flat, &["/a/b"]), key(&nested, &["/a/b"]));
    }

    #[test]
    fn fields_of_what_has_none_are_refused() {
        for data in [json!(["p", "m"]), json!("p"), json!(7)] {
            let error = JsonKey::of(&data).only(["prompt"]).hash().unwrap_err();
            assert_eq!(error.part(), "data", "{data}");
        }
        let element = |data: &Value| JsonKey::of(data).only(["/0"]).hash().unwrap();
        assert_ne!(element(&json!(["p", "m"])), element(&json!(["q", "m"])));
    }

    #[test]
    fn integers_that_have_no_form_of_their_own_are_refused() {
        let data = json!({"ids": [1, 9_007_199_254_740_993_u64]});
        let error = JsonKey::of(&data).hash().unwrap_err();
        assert_eq!(error.part(), "/ids/1");
        assert!(
            JsonKey::of(&json!([-9_007_199_254_740_991_i64]))
                .hash()
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn a_rounded_number_is_a_multiple_not_above_it(value in -1e6_f64..1e6, step in 0.01_f64..10.0) {
            let rounded = quantize(value, step);
            prop_assert!(rounded <= value + step * 1e-9 && value - rounded < step * (1.0 + 1e-9));
            prop_assert_eq!(quantize(rounded, step), rounded);
        }
    }
}
