//! Typed values on the same engine as responses: tiers, one load for all who
//! ask, leases, staleness, tags, invalidation.
//!
//! ```
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use larder::{Cache, MIB, minutes, tag};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Character {
//!     name: String,
//! }
//!
//! let cache = Cache::builder().memory(64 * MIB).build()?;
//! let characters = cache
//!     .values::<Character>("character")
//!     .ttl(minutes(5))
//!     .tags_of(|key, _| vec![format!("character:{key}")])
//!     .build()?;
//! let ada = characters
//!     .get_or_try_insert_with("char_123", || async {
//!         Ok::<_, std::io::Error>(Character { name: "Ada".into() }) // from the database
//!     })
//!     .await?;
//! assert_eq!(ada.name, "Ada");
//! // removes the value, and the responses that bear the tag
//! cache.invalidate(tag("character:char_123")).await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
//! ```
//!
//! A value lies in Redis under `<namespace>:<key>`, as a frame like that of a
//! response. The process' memory holds the value itself, so that a hit decodes
//! nothing. What holds for responses holds here: what was invalidated is not
//! served again, one load runs for all who ask, in all processes, and trouble
//! of the cache is never an error of the caller, whose loader then runs.

mod ahead;
mod ask;
mod builder;
mod cached;
mod codec;
mod count;
mod handle;
mod json;
mod key;
mod load;
mod made;
mod parts;
mod space;

pub use builder::{Tiers, ValuesBuilder};
pub use cached::CachedValue;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, Json};
pub use handle::Values;
pub use json::{JsonKey, quantize};
pub use key::{Content, ValueKey};
pub use parts::{KeyError, KeyParts};
pub use space::Sharing;
