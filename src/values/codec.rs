//! How values are written.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// How the values of a namespace are written for the shared store. Bring your own
/// for what serde does not know.
pub trait Codec<T>: Send + Sync + 'static {
    /// The name of the format. It is part of what a value is found by: under
    /// another name nothing written before is read.
    fn name(&self) -> &'static str;

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// If it cannot be written: then it is not stored, and served all the same.
    fn encode(&self, value: &T) -> Result<Vec<u8>, BoxError>;

    /// Reads a value from bytes that anybody may have written.
    ///
    /// # Errors
    ///
    /// If it cannot be read: then it is removed, and counts as a miss.
    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError>;
}

/// JSON by `serde_json`: the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn encode(&self, value: &T) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// A compact binary form by `postcard`, for types whose every field is told by the type:
/// not for `serde_json::Value` and the like. A change of the type is not noticed: give
/// the namespace another [`version`](super::ValuesBuilder::version) with it.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Postcard;

#[cfg(feature = "postcard")]
impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    fn name(&self) -> &'static str {
        "postcard"
    }

    fn encode(&self, value: &T) -> Result<Vec<u8>, BoxError> {
        Ok(postcard::to_allocvec(value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError> {
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            _ => Err("bytes are left over".into()),
        }
    }
}
