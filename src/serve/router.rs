//! Every path of the HTTP surface, in one list.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{MethodRouter, get};
use tower_http::catch_panic::CatchPanicLayer;

use super::routes::{assets, facts, fleet, flow, jobs, page, sessions};
use super::{ApiError, App, guard};

/// Who may use a route. A route of a new class does not answer until `build` says what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody on this machine: it only reads, and neither terminals nor secrets.
    Loopback,
}

/// One path.
pub struct Route {
    /// The pattern; `{name}` is one segment, `{*name}` the rest.
    pub path: &'static str,
    /// A path that fits and is answered with success on a machine without records.
    pub sample: &'static str,
    /// Who may use it.
    pub access: Access,
    handler: fn() -> MethodRouter<Arc<App>>,
}

const fn open(path: &'static str, sample: &'static str, handler: fn() -> MethodRouter<Arc<App>>) -> Route {
    Route { path, sample, access: Access::Loopback, handler }
}

/// Every path, in alphabetical order.
pub const ROUTES: &[Route] = &[
    open("/", "/", || get(page::live)),
    open("/assets/{*path}", "/assets/main.js", || get(assets::asset)),
    open("/favicon.ico", "/favicon.ico", || get(assets::favicon)),
    open("/fleet/machines/live", "/fleet/machines/live", || get(fleet::machines)),
    open("/fleet/sessions/live", "/fleet/sessions/live", || get(fleet::sessions)),
    // Also `/flow/{date}.jsonl`: a pattern has no suffix after a name.
    open("/flow/{date}", "/flow/2026-11-22", || get(flow::day)),
    open("/flow/{date}/stream", "/flow/2026-11-22/stream", || get(flow::stream)),
    open("/flow-days", "/flow-days", || get(flow::days)),
    open("/flow-status", "/flow-status", || get(flow::status)),
    open("/health", "/health", || get(facts::health)),
    open("/jobs", "/jobs", || get(jobs::list)),
    open("/jobs/{id}", "/jobs/job-1", || get(jobs::one)),
    open("/machine/specs", "/machine/specs", || get(facts::specs)),
    open("/missions", "/missions", || get(facts::missions)),
    open("/play/{date}", "/play/2026-11-22", || get(page::play)),
    open("/queue", "/queue", || get(jobs::queue)),
    open("/sessions", "/sessions", || get(sessions::list)),
    open("/sprints", "/sprints", || get(facts::sprints)),
];

/// The list as a service, behind the guard.
pub fn build(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = match route.access {
            Access::Loopback => router.route(route.path, (route.handler)()),
        };
    }
    router
        .fallback(async |request: Request| {
            let path = crate::util::visible_line(request.uri().path()).chars().take(200).collect::<String>();
            ApiError::not_found(format!("there is nothing at {path}"))
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse as _;
            ApiError::internal("answering", &"a panic").into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .with_state(app)
}
