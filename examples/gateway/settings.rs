//! From the command line to a cache and its layer.

use std::error::Error;
use std::fs;
use std::path::Path;

use larder::config::Config;
use larder::{Cache, CacheLayer, ConfigError, MIB, Policy};
use serde_json::{Value, json};

use super::args::Args;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where nothing says where answers are kept.
const MEMORY: u64 = 64 * MIB;

/// The cache, and the layer that goes around the proxy. An option comes before
/// what the file says.
pub fn cache(args: &Args) -> Result<(Cache, CacheLayer)> {
    let mut config = match &args.policy {
        Some(file) => read(file)?,
        None => Config::default(),
    };
    config.memory = args.memory.or(config.memory);
    config.redis = args.redis.clone().or(config.redis);
    if config.memory.is_none() && config.redis.is_none() {
        config.memory = Some(MEMORY);
    }
    let named = |error| named(args, &error);
    let cache = config.builder().and_then(|builder| builder.build());
    let cache = cache.map_err(named)?;
    let layer = match config.routes() {
        Some(routes) => cache.try_routes(routes),
        None => cache.try_layer(policy(args.store_set_cookie)),
    };
    Ok((cache, layer.map_err(named)?))
}

/// What is cached where no file says so: what RFC 9111 lets a shared cache keep.
fn policy(store_set_cookie: bool) -> Policy {
    let policy = Policy::http();
    match store_set_cookie {
        true => policy.store_set_cookie(),
        false => policy,
    }
}

/// Names the option, or the file, that a setting came from.
fn named(args: &Args, error: &ConfigError) -> String {
    match (error.setting(), &args.policy) {
        ("memory", _) if args.memory.is_some() => format!("--{error}"),
        ("redis", _) if args.redis.is_some() => format!("--{error}"),
        (_, Some(file)) => format!("--policy {}: {error}", file.display()),
        _ => error.to_string(),
    }
}

fn read(file: &Path) -> Result<Config> {
    let named = |why: String| format!("--policy {}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let json = file
        .extension()
        .is_some_and(|extension| extension == "json");
    let mut data = match json {
        true => serde_json::from_str(&text).map_err(|error| named(error.to_string()))?,
        // twice, for a table's own errors tell the line
        false => toml::from_str::<Config>(&text)
            .and_then(|_| toml::from_str(&text))
            .map_err(|error| named(format!("\n{error}")))?,
    };
    let _ = default_everywhere(&mut data);
    serde_json::from_value(data).map_err(|error| named(error.to_string()).into())
}

/// No router has matched a request that comes through a gateway, so the table's
/// `default` would cover none: it becomes the row of every path without one.
fn default_everywhere(data: &mut Value) -> Option<()> {
    let routes = data.get_mut("routes")?.as_object_mut()?;
    let default = routes.remove("default")?;
    let paths = routes.entry("paths").or_insert_with(|| json!({}));
    let paths = paths.as_object_mut()?;
    for every in ["/", "/{*path}"] {
        paths.entry(every).or_insert_with(|| default.clone());
    }
    Some(())
}
