//! The admin router: a JSON API over a cache and a live page, for the path of your
//! choice (feature `admin`).
//!
//! ```
//! use axum::Router;
//! use larder::{Cache, MIB, admin};
//!
//! let cache = Cache::builder().memory(64 * MIB).build()?;
//! let token = "from your secrets, at least 16 bytes"; // std::env::var("CACHE_ADMIN_TOKEN")?
//! let app: Router = Router::new().nest("/admin/cache", admin::router(&cache).token(token).build()?);
//! # let _ = app;
//! # Ok::<(), larder::ConfigError>(())
//! ```
//!
//! | route | rights | what it does |
//! |---|---|---|
//! | `GET /`, `/dashboard`, `/assets/..` | none | the page, which holds no data and asks for a token |
//! | `GET /health` | read | status `ok` or `degraded`, Redis and its round trip, breaker, instances; 200 while the process serves |
//! | `GET /stats` | read | counters and latencies: of all, and of each endpoint |
//! | `GET /analytics` | read | the last minute, hour, day and month of all instances, what is asked for most, users, costs |
//! | `GET /advisor` | read | what could be better, and what to do |
//! | `GET /servers` | read | what the Redis servers say of themselves |
//! | `GET /entries?pattern=&cursor=&tier=` | read | a page of a listing: of Redis (`tier=redis`; 400 without one), of this process' memory (`tier=memory`), by default of Redis where there is one |
//! | `GET /entry?key=` | read | one entry; 404 where nothing is stored |
//! | `POST /explain` | read | `{"url": "http://host/path", "headers"?: {..}}`: what would become of it, step by step |
//! | `POST /check` | read | the same question: whether it is cached, its key and TTL; nothing is filled or counted |
//! | `GET /events` | read | server-sent events: all that the page shows, once a second; a stream ends after 10 s, and with [`Cache::shutdown`](crate::Cache::shutdown), so that none holds up a server's graceful end |
//! | `POST /invalidate` | full | `{"pattern" \| "tag" \| "endpoint" \| "namespace" \| "key" \| "uri": "..", "tenant"?}` or `{"everything": true}`; `"soft": true` makes stale, `"dry_run": true` counts alone |
//! | `POST /warm` | full | `{"targets": ["/path", ..], "host"?: ".."}` through [`AdminRouter::warms`]; answers at the end |
//! | `POST /stats/reset` | full | `{}`: counters of this process begin anew |
//! | `POST /enabled` | full | `{"enabled": bool, "everywhere"?: bool}`, by default in all processes |
//!
//! Without a token every route but the page answers 403, unless [`AdminRouter::open`]
//! says otherwise. A token comes as `Authorization: Bearer ..`; cookies are not looked
//! at. A POST is `application/json` and of the same origin.
//! Errors are `{"error": ".."}`. Nothing here is to be stored by anyone
//! (`Cache-Control: no-store`), and nothing shows bodies, fields, URLs or tags of
//! requests: keys and tags are hashes.

mod access;
mod acting;
mod asking;
mod figures;
mod live;
mod page;
mod problem;
mod reading;
mod router;
mod shared;
mod views;

pub use router::{AdminRouter, router};
