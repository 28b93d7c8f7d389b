//! Warming by requests through a service.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderMap, Request, Response, Uri};
use tower::ServiceExt;
use tower_service::Service;

use super::list::{Item, WarmList};
use super::mark::{Told, Warms};
use super::run::{Warming, too_long};
use super::settings::Warmup;
use crate::cache::Engine;
use crate::clock::millis;
use crate::nested;
use crate::stats::Ticket;

impl Warmup {
    /// As [`requests`](Self::requests), for a service that takes requests with other
    /// bodies than axum's: `body` makes an empty one.
    ///
    /// ```
    /// # async fn run<S, E: std::fmt::Display + Send>(cache: larder::Cache, client: S)
    /// # where S: tower::Service<http::Request<String>, Response = http::Response<String>, Error = E> + Clone + Send + Sync + 'static, S::Future: Send {
    /// let run = cache.warm().requests_with(client, String::new, ["http://127.0.0.1:8188/samplers"]);
    /// println!("{}", run.report().await);
    /// # }
    /// ```
    pub fn requests_with<S, ReqBody, ResBody, T>(
        self,
        service: S,
        body: impl Fn() -> ReqBody + Send + Sync + 'static,
        targets: impl Into<WarmList<T>>,
    ) -> Warming
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Display + Send,
        ReqBody: Send + 'static,
        ResBody: Send,
        T: ToString,
    {
        let (headers, enough) = (self.headers.clone(), millis(self.enough));
        let (engine, longest) = (Arc::clone(&self.engine), self.timeout);
        let list = WarmList {
            items: targets.into().items.into_iter().map(read).collect(),
        };
        self.begin(list, move |uri, turns| {
            let warms = Warms::new(turns, enough);
            let request = request(uri, body(), &headers, &engine, &warms);
            let service = service.clone();
            async move {
                match request {
                    Ok(request) => ask(service, request, &warms, longest).await,
                    Err(why) => Told::failed(why),
                }
            }
        })
    }
}

/// A target as a URI that a client could ask for.
fn read<T: ToString>(item: Item<T>) -> Item<Uri> {
    let parse = |target: T| {
        let uri: Uri = match target.to_string().parse() {
            Ok(uri) => uri,
            Err(error) => return Err(format!("no URI: {error}")),
        };
        match uri.scheme().is_some() || uri.path().starts_with('/') && uri.authority().is_none() {
            true => Ok(uri),
            false => Err("neither a path that begins with / nor an absolute URI".to_owned()),
        }
    };
    Item {
        at: item.at,
        name: item.name,
        what: item.what.and_then(parse),
    }
}

fn request<B>(
    uri: Uri,
    body: B,
    headers: &HeaderMap,
    engine: &Engine,
    warms: &Warms,
) -> Result<Request<B>, &'static str> {
    if uri.authority().is_none() && !headers.contains_key(HOST) {
        return Err("no host: clients send one, and it is part of the key");
    }
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.clone();
    nested::enclose(&mut request, engine, &Ticket::void()); // so that this cache's layers look for the mark
    nested::behind(request.extensions_mut(), engine);
    request.extensions_mut().insert(warms.clone());
    Ok(request)
}

/// Sends a request and hears what its layer tells. The time counts from the
/// request's turn.
async fn ask<S, R, B>(service: S, request: Request<R>, warms: &Warms, longest: Duration) -> Told
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Error: Display,
{
    match warms.within(longest, service.oneshot(request)).await {
        Some(Ok(response)) => told(&response),
        Some(Err(error)) => Told::failed(error),
        None => too_long(longest),
    }
}

fn told<B>(response: &Response<B>) -> Told {
    match response.extensions().get::<Told>() {
        Some(told) => told.clone(),
        None => Told::failed(format!(
            "no layer of this cache answered, status {}",
            response.status().as_u16()
        )),
    }
}
