//! Memory pressure (FAULTS 24).

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use bytes::Bytes;
use http_body_util::BodyExt;
use larder::{Policy, minutes};
use tower::ServiceExt;

use super::*;
use crate::support::request;

/// In parts, of which the cache cannot know how many there are.
fn long_body() -> Body {
    const PARTS: usize = 1_024;
    let part = Bytes::from(vec![b'x'; 64 << 10]);
    let parts = (0..PARTS).map(move |_| Ok::<_, std::io::Error>(part.clone()));
    Body::from_stream(futures_util::stream::iter(parts))
}

#[tokio::test]
async fn a_body_of_64_mib_streams_through_and_is_not_kept() {
    let cache = Cache::builder().memory(8 * MIB).build().unwrap();
    let layer = cache.layer(Policy::ttl(minutes(5)));
    let handler = on_get(|| async { long_body() });
    let app = Router::new().route("/long", handler.layer(layer));
    for _ in 0..2 {
        let get = request(axum::http::Method::GET, "/long", &[]);
        let mut body = app.clone().oneshot(get).await.unwrap().into_body();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            read += frame.unwrap().into_data().unwrap().len() as u64;
            let stats = cache.stats();
            let held = stats.memory_bytes + stats.in_flight_bytes;
            assert!(held <= 8 * MIB, "{held} bytes after {read}");
        }
        assert_eq!(read, 64 * MIB);
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!((stats.memory_entries, stats.in_flight_bytes), (0, 0));
}
