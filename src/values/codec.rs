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
