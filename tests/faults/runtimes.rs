//! Runtimes that end, or are not driven, while others go on with the same cache.

use axum::Router;
use axum::http::Method;
use axum::routing::put;
use futures_util::FutureExt;
use larder::tag;
use tokio::runtime::{Builder, Runtime};

use crate::proxy::Way;
use crate::support::processes::Site;
use crate::support::{eventually, request, send};
use crate::{bare, behind_proxy, comes_back, served};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Invalidates while Redis is silent, on a runtime that ends before it has answered.
fn an_invalidation_of_a_runtime_that_ends(by_route: bool) {
    let (_redis, proxy) = behind_proxy();
    let site = Site::new();
    let process = bare(&site, proxy.url());
    let writing = site.clone();
    let write = put(move || async move { writing.write() });
    let layer = process.cache.invalidates(tag("item:{id}"));
    let write = Router::new().route("/items/{id}", write.layer(layer));
    let (one, two) = (runtime(), runtime());
    one.block_on(async {
        comes_back(&process).await;
        proxy.stall(Way::ToServer, 0);
        if by_route {
            let put = request(Method::PUT, "/items/1", &[]);
            assert_eq!(send(&write, put).await.status, 200);
        } else {
            site.write();
            let call = process.cache.invalidate(tag("item:1")).now_or_never();
            assert!(call.is_none(), "it waits");
        }
    });
    drop(one);
    proxy.cut();
    proxy.flow();
    two.block_on(async {
        assert_ne!(process.cache.health().await.untold, 0);
        served(&process, &site).await;
        eventually("it is told", || async {
            served(&process, &site).await;
            process.cache.health().await.untold == 0
        })
        .await;
        served(&process, &site).await;
    });
}

#[test]
fn a_routes_invalidation_is_kept_where_its_runtime_ends() {
    an_invalidation_of_a_runtime_that_ends(true);
}

#[test]
fn a_call_that_is_dropped_with_its_runtime_is_kept() {
    an_invalidation_of_a_runtime_that_ends(false);
}
