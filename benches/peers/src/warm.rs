//! Fills a cache, and makes sure that it answers.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use crate::answer::{Calls, JSON, JSON_TYPE, KEYS, request};
use crate::{BoxError, Result};

/// Peers that store in the background need a few.
const PASSES: usize = 100;

/// Asks for every URL until a whole pass did not reach the handler.
pub async fn warm<S, B>(name: &str, service: &S, calls: Option<Calls>) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let count = || calls.map_or(0, Calls::count);
    for _ in 0..PASSES {
        let before = count();
        for n in 0..KEYS {
            let asked = ask(service, n).await;
            asked.map_err(|error| format!("{name}, request {n}: {error}"))?;
        }
        if count() == before {
            return Ok(());
        }
        tokio::task::yield_now().await; // lets what stores in the background store
    }
    Err(format!("{name}: {PASSES} passes did not fill the cache").into())
}

async fn ask<S, B>(service: &S, n: usize) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let response = service
        .clone()
        .oneshot(request(n))
        .await
        .map_err(Into::into)?;
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(format!("answered {}", parts.status).into());
    }
    let kind = parts
        .headers
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes());
    if kind != Some(JSON_TYPE.as_bytes()) {
        return Err("answered with another content type".into());
    }
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    if body != JSON {
        return Err("answered with another body".into());
    }
    Ok(())
}
