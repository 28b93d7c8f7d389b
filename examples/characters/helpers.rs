//! The helpers that the application had before larder, each one call of it now. They
//! tell how many entries went.

use larder::{Cache, InvalidateError, Selector, endpoint, tag};

type Done = Result<u64, InvalidateError>;

/// A character's value, and every response about it: both bear its tag.
pub async fn invalidate_character_cache(cache: &Cache, id: i64) -> Done {
    removed(cache, tag(format!("character:{id}"))).await
}

/// All of them: their values are found by pattern, their responses by endpoint.
pub async fn invalidate_all_characters(cache: &Cache) -> Done {
    let values = removed(cache, "character:*").await?;
    Ok(values + invalidate_api_cache(cache, "character").await?)
}

pub async fn invalidate_content_cache(cache: &Cache, id: i64) -> Done {
    removed(cache, tag(format!("content:{id}"))).await
}

pub async fn invalidate_api_cache(cache: &Cache, name: &str) -> Done {
    removed(cache, endpoint(name)).await
}

pub async fn invalidate_cache_by_pattern(cache: &Cache, pattern: &str) -> Done {
    removed(cache, pattern).await
}

async fn removed(cache: &Cache, what: impl Into<Selector>) -> Done {
    Ok(cache.invalidate(what).await?.removed())
}
