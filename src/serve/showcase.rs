//! The showcase: the viewer with a recording in the place of a daemon, for `darkmux demo`.
//!
//! Invariants: it reads nothing of this machine, needs no home and changes nothing; `Host`, limits and headers are those of
//! the daemon.
//!
//! Not here: the recording, which is one of the viewer's files (`tests/web/showcase` makes it).

use std::io;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;

use super::accept::{self, Service};
use super::guard::{self, Hosts};
use super::router::gzip;
use super::routes::{assets, page};
use super::{ApiError, Limits};
use crate::util::{Clock, Shutdown};

/// Where the recording lies, in the daemon as here.
pub const RECORDING: &str = "/assets/showcase.json";

/// The viewer's pages.
const PAGES: &[&str] = &[
    "/",
    "/fleet",
    "/flow",
    "/flow/{date}",
    "/inbox",
    "/job/{id}",
    "/machine/{id}",
    "/play/{date}",
    "/queue",
    "/session/{id}",
    "/sessions",
];

/// Answers on `listener`, which is on loopback, until it is told to stop.
pub async fn run_showcase(listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
    let router = router(Hosts::new(listener.local_addr()?.port(), &[]));
    accept::answer(listener, Service { router, limits: Limits::default(), clock: Clock::System, shutdown })
        .await;
    Ok(())
}

fn router(hosts: Hosts) -> Router {
    let mut router = Router::new()
        .route("/assets/{*path}", get(assets::asset).layer(gzip()))
        .route("/favicon.ico", get(assets::favicon));
    for path in PAGES {
        router = router.route(path, get(page::showcase));
    }
    let nothing = async |request: Request| {
        let path = crate::util::visible_line(request.uri().path()).chars().take(200).collect::<String>();
        ApiError::not_found(format!("there is nothing at {path} in the showcase: no daemon answers here"))
    };
    router
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(Arc::new(hosts), guard::guard_hosts))
        .layer(Extension(assets::Bundled::default()))
}
