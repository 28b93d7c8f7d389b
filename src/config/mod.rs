//! Settings from a file and from the environment (feature `config`).
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: larder::config::Config = toml::from_str(
//!     r#"
//!     memory = "256MiB"
//!
//!     [routes]
//!     default = "1m"
//!     except = ["/healthz", "/metrics"]
//!
//!     [routes.paths]
//!     "/platform/status" = "1m"
//!     "/system/status" = 5
//!     "/characters/{id}" = { ttl = "5m", endpoint = "character", tags = ["character:{id}"] }
//!     "#,
//! )?;
//! let config = config.with_env()?; // REDIS_URL, CACHE_TTL_CHARACTER and the like come after the file
//! let cache = config.builder()?.build()?;
//! if let Some(routes) = config.routes() {
//!     let layer = cache.try_routes(routes)?;
//!     # let _ = layer;
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```

mod env;
mod named;
mod settings;
mod table;
mod units;
mod url;

pub use settings::Config;
