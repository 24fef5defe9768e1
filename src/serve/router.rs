//! Every path of the HTTP surface, in lists by concern.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler as _;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, CompressionLevel};

use super::auth::{Accepts, Gate, Scope, admit};
use super::routes::v1::V1;
use super::routes::{assets, auth, facts, fleet, flow, jobs, join, page, sessions, terminal};
use super::{ApiError, App, forward, guard};
use crate::fleet::join::MESSAGE_MAX;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody who reaches the daemon: it tells nothing, or is how to sign in.
    Open,
    /// Anybody on this machine: it only reads, and neither terminals nor secrets. From elsewhere, and with
    /// `serve.require_token = "all"`, as [`Access::Watch`].
    Loopback,
    /// Whoever has a token, a cookie or the unix socket, read-only ones too.
    Watch,
    /// Whoever has one that is not read-only.
    Act,
}

impl Access {
    /// The scope it takes, where the daemon can (`exposed`) or can't be reached by others.
    pub(super) fn needs(self, exposed: bool) -> Scope {
        match self {
            Self::Open => Scope::None,
            Self::Loopback if !exposed => Scope::None,
            Self::Loopback | Self::Watch => Scope::Watch,
            Self::Act => Scope::Act,
        }
    }
}

/// One path with methods that ask for the same. Other methods of the path may be another route.
#[derive(Debug)]
pub struct Route {
    /// The pattern; `{name}` is one segment, `{*name}` the rest.
    pub path: &'static str,
    /// The methods.
    pub methods: &'static [&'static str],
    /// A path that fits, and that is answered on a machine without records.
    pub sample: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Which bodies its unsafe methods take.
    pub accepts: Accepts,
    handler: fn() -> MethodRouter<Arc<App>>,
}

type MakeHandler = fn() -> MethodRouter<Arc<App>>;

impl Route {
    /// A path that is read.
    pub(super) const fn get(
        path: &'static str,
        sample: &'static str,
        access: Access,
        handler: MakeHandler,
    ) -> Self {
        Self { path, methods: &["GET", "HEAD"], sample, access, accepts: Accepts::JSON, handler }
    }

    /// A path that does something with JSON, or without a body.
    pub(super) const fn post(
        path: &'static str,
        sample: &'static str,
        access: Access,
        handler: MakeHandler,
    ) -> Self {
        Self { path, methods: &["POST"], sample, access, accepts: Accepts::JSON, handler }
    }

    /// The same for bodies of another kind or size.
    #[must_use]
    pub(super) const fn taking(self, accepts: Accepts) -> Self {
        Self { accepts, ..self }
    }
}

const fn open(path: &'static str, sample: &'static str, handler: MakeHandler) -> Route {
    Route::get(path, sample, Access::Loopback, handler)
}

/// The page for who comes by a browser, data for who asks as a program.
fn or_page(data: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    data.layer(middleware::from_fn(page::for_browsers))
}

/// A page, as the viewer's files are sent.
fn sent(page: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    page.layer(gzip())
}

/// For the viewer and its files: from another machine they come over a network. Fast, because they are compressed each time;
/// what takes longest to send is asked for once and kept.
pub(super) fn gzip() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// What is read on loopback without a token.
const READS: &[Route] = &[
    open("/", "/", || sent(get(page::live))),
    open("/assets/{*path}", "/assets/main.js", || get(assets::asset).layer(gzip())),
    open("/favicon.ico", "/favicon.ico", || get(assets::favicon)),
    open("/fleet", "/fleet", || sent(get(page::live))),
    open("/fleet/machines/live", "/fleet/machines/live", || get(fleet::machines)),
    open("/fleet/sessions/live", "/fleet/sessions/live", || get(fleet::sessions)),
    open("/flow", "/flow", || sent(get(page::live))),
    // Also `/flow/{date}.jsonl`: a pattern has no suffix after a name.
    open("/flow/{date}", "/flow/2026-11-22", || or_page(get(flow::day))),
    open("/flow/{date}/stream", "/flow/2026-11-22/stream", || get(flow::stream)),
    open("/flow-days", "/flow-days", || get(flow::days)),
    open("/flow-status", "/flow-status", || get(flow::status)),
    Route::get("/health", "/health", Access::Open, || get(facts::health)),
    open("/inbox", "/inbox", || sent(get(page::live))),
    open("/job/{id}", "/job/job-1", || sent(get(page::live))),
    open("/jobs", "/jobs", || get(jobs::list)),
    open("/jobs/{id}", "/jobs/job-1", || get(jobs::one)),
    open("/machine/specs", "/machine/specs", || get(facts::specs)),
    open("/machine/{id}", "/machine/studio", || sent(get(page::live))),
    open("/missions", "/missions", || get(facts::missions)),
    open("/play/{date}", "/play/2026-11-22", || sent(get(page::play))),
    open("/queue", "/queue", || or_page(get(jobs::queue))),
    open("/session/{id}", "/session/job-1", || sent(get(page::live))),
    open("/sessions", "/sessions", || or_page(get(sessions::list))),
    open("/sprints", "/sprints", || get(facts::sprints)),
];

/// Small bodies.
const SMALL: Accepts = Accepts::Json(4096);

/// Signing in and out.
const AUTH: &[Route] = &[
    Route::post("/auth/code", "/auth/code", Access::Open, || post(auth::code)).taking(SMALL),
    Route::post("/auth/codes", "/auth/codes", Access::Act, || post(auth::new_code)).taking(SMALL),
    Route::get("/auth/login", "/auth/login", Access::Open, || get(auth::page)),
    Route::post("/auth/login", "/auth/login", Access::Open, || post(auth::login)).taking(SMALL),
    Route::get("/auth/login.css", "/auth/login.css", Access::Open, || get(auth::style)),
    Route::get("/auth/login.js", "/auth/login.js", Access::Open, || get(auth::script)),
    Route::post("/auth/logout", "/auth/logout", Access::Open, || post(auth::logout)).taking(SMALL),
    Route::get("/auth/me", "/auth/me", Access::Open, || get(auth::me)),
    Route::get("/auth/signin.js", "/auth/signin.js", Access::Open, || get(auth::sign_in)),
];

/// Machines that join and leave.
const JOIN: &[Route] = &[
    Route::post("/fleet/invites", "/fleet/invites", Access::Act, || post(join::invite)).taking(SMALL),
    Route::post("/fleet/join", "/fleet/join", Access::Open, || post(join::join))
        .taking(Accepts::Bytes(MESSAGE_MAX)),
    Route::post("/fleet/leave", "/fleet/leave", Access::Act, || post(join::leave)).taking(SMALL),
];

/// Terminals. Whoever may only watch changes nothing there.
const TERMINALS: &[Route] = &[Route::get("/ws/{id}", "/ws/none", Access::Watch, || get(terminal::terminal))];

/// Every path, in alphabetical order within a list. A path stands in one list only.
pub const ROUTES: &[&[Route]] = &[READS, AUTH, JOIN, V1, TERMINALS];

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().flat_map(|routes| routes.iter())
}

/// The methods of a path.
pub fn allowed(path: &str) -> impl Iterator<Item = &'static str> {
    routes().filter(move |route| route.path == path).flat_map(|route| route.methods.iter().copied())
}

/// The lists as a service, behind the guard; each route, and the absence of one, behind its gate.
pub fn build(app: Arc<App>) -> Router {
    let gate = |route| middleware::from_fn_with_state(Gate { app: Arc::clone(&app), route }, admit);
    let mut router = Router::new();
    for route in routes() {
        // The gate has read the body, within the bound of its route.
        let handler = (route.handler)().layer(DefaultBodyLimit::disable());
        let handler = if forward::is_carried(route.path) {
            handler.layer(middleware::from_fn_with_state(Arc::clone(&app), forward::forward))
        } else {
            handler
        };
        router = router.route(route.path, handler.layer(gate(Some(route))));
    }
    let nothing = async |request: Request| {
        let path = crate::util::visible_line(request.uri().path()).chars().take(200).collect::<String>();
        ApiError::not_found(format!("there is nothing at {path}"))
    };
    router
        .fallback_service(nothing.layer(gate(None)).with_state(()))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse as _;
            ApiError::internal("answering", &"a panic").into_response()
        }))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .layer(Extension(assets::Bundled::default()))
        .with_state(app)
}
