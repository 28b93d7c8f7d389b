//! The least that a cache does for a hit: it looks up the target in a table, compares it,
//! and says `Age` and `Cache-Status`. No policy, no look at the request's fields, no
//! statistics, nothing expires or invalidates; filled from the start. What larder takes
//! beyond it is what it decides.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{AGE, CACHE_STATUS, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::Bytes;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use tower::{Layer, Service};

use crate::Result;
use crate::answer::{JSON, JSON_TYPE, KEYS, uri};

/// An answer: what it is to, and what no other one says.
struct Stored {
    target: Box<str>,
    tag: HeaderValue,
    body: Bytes,
}

struct Table {
    hasher: ahash::RandomState,
    stored: Cache<u64, Arc<Stored>, UnitWeighter>,
    /// What all answers say; the values of the last three come with each.
    fields: HeaderMap,
}

/// A layer that never calls what is inside, and the service that it makes.
#[derive(Clone)]
pub struct Least(Arc<Table>);

impl Least {
    pub fn new() -> Result<Self> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(JSON_TYPE));
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("1024"));
        for name in [AGE, CACHE_STATUS, ETAG] {
            fields.insert(name, HeaderValue::from_static(""));
        }
        let table = Table {
            hasher: ahash::RandomState::new(),
            stored: Cache::new(10 * KEYS),
            fields,
        };
        for n in 0..KEYS {
            let mut block = Bytes::from([format!("\"{n:032}\"").as_bytes(), JSON].concat());
            let stored = Stored {
                target: uri(n).into(),
                tag: HeaderValue::from_maybe_shared(block.split_to(34))?,
                body: block,
            };
            let place = table.place(&stored.target);
            table.stored.insert(place, Arc::new(stored));
        }
        Ok(Self(Arc::new(table)))
    }
}

impl Table {
    fn place(&self, target: &str) -> u64 {
        self.hasher.hash_one(target)
    }

    fn answer(&self, target: &str) -> Option<Response<Body>> {
        let stored = self.stored.get(&self.place(target))?;
        if *stored.target != *target {
            return None;
        }
        let mut fields = self.fields.clone();
        let said = [
            HeaderValue::from_static("5"),
            HeaderValue::from_static("least; hit; ttl=595"),
            stored.tag.clone(),
        ];
        let places = fields.values_mut().skip(2);
        places.zip(said).for_each(|(place, said)| *place = said);
        let mut response = Response::new(Body::from(stored.body.clone()));
        *response.headers_mut() = fields;
        Some(response)
    }
}

impl<S> Layer<S> for Least {
    type Service = Self;

    fn layer(&self, _: S) -> Self {
        self.clone()
    }
}

impl Service<Request<Body>> for Least {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let target = request.uri().path_and_query();
        let answer = target.and_then(|target| self.0.answer(target.as_str()));
        // what is empty no run takes for a hit
        ready(Ok(answer.unwrap_or_else(|| Response::new(Body::empty()))))
    }
}
