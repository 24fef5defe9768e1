//! The gate before every handler: method, caller, origin, body, in this order. `Host` was checked before.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::caller::{Caller, Peer, Scope, Via};
use super::tailnet::Visit;
use super::{body, origin};
use crate::peer::encoded;
use crate::serve::guard::{host_of, is_forwarded};
use crate::serve::router::{Access, Route, allowed};
use crate::serve::{ApiError, App};

/// What the gate of one route knows.
#[derive(Clone)]
pub struct Gate {
    /// The daemon.
    pub app: Arc<App>,
    /// The route; `None` where there is none.
    pub route: Option<&'static Route>,
}

/// Said to a program at the socket that may not act for this user.
const NO_KEY: &str = "show the key of this user's sockets (`socket-key` in darkmux's folder), or a token, as `Authorization: \
    Bearer`; a program that may read neither, as in a sandbox, may only look";

/// Lets a request through, with its [`Caller`], or answers it.
pub async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match pass(&gate, request).await {
        Ok(request) => next.run(request).await,
        Err(refused) => *refused,
    }
}

async fn pass(gate: &Gate, request: Request) -> Result<Request, Box<Response>> {
    let refuse = |error: ApiError| Box::new(error.into_response());
    let (app, auth) = (&gate.app, &gate.app.auth);
    let (method, headers) = (request.method(), request.headers());
    if let Some(route) = gate.route
        && !allowed(route.path).any(|allowed| method.as_str() == allowed)
    {
        return Err(Box::new(not_allowed(route.path)));
    }
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.ok_or_else(|| refuse(ApiError::internal("asking who asks", &"there is no other end")))?;
    let mut caller = auth.identify(&peer, headers, app.clock.now()).map_err(refuse)?;
    let mut unwelcome = None;
    let is_forwarded = is_forwarded(headers);
    // Whom a proxy speaks for is not who its device belongs to.
    if caller.via() == Via::Nothing && !is_forwarded {
        match auth.visit(&peer).await {
            Visit::Nobody => {}
            Visit::Welcome(guest) => caller = guest,
            Visit::Unwelcome(who) => unwelcome = Some(who),
        }
    }
    let host = host_of(headers).unwrap_or_default();
    let is_outside = !peer.is_near() || app.hosts.is_exposed(host, &peer) || is_forwarded;
    let exposed = auth.require_all() || is_outside;
    let access = gate.route.map_or(Access::Loopback, |route| route.access);
    let needed = access.needs(exposed);
    if caller.scope() < needed {
        if let Some(who) = unwelcome {
            let message = format!(
                "{who} is not let in here; a token is, and who stands in `[tailscale] allow` of host.toml"
            );
            return Err(refuse(ApiError::forbidden("not_let_in", message)));
        }
        if peer == Peer::Socket {
            return Err(refuse(ApiError::unauthorized(NO_KEY)));
        }
        return Err(Box::new(refused(&caller, needed, request.uri(), method, headers)));
    }
    origin::check(&app.hosts, &caller, method, host, headers).map_err(refuse)?;
    let mut request = request;
    if let Some(route) = gate.route
        && body::is_expected(request.method())
    {
        body::check(route.accepts, &caller, request.headers()).map_err(refuse)?;
        request = body::read(request, route.accepts, app.limits.body_time).await.map_err(refuse)?;
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

fn not_allowed(path: &str) -> Response {
    let allow = allowed(path).collect::<Vec<_>>().join(", ");
    let message = format!("this path answers {allow} only");
    let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    let mut response = error.into_response();
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// For whom the scope is not enough.
fn refused(caller: &Caller, needed: Scope, uri: &Uri, method: &Method, headers: &HeaderMap) -> Response {
    if caller.scope() > Scope::None {
        let message = "you may watch only; this needs a token that is not read-only";
        return ApiError::forbidden("read_only", message).into_response();
    }
    if wants_page(uri.path(), method, headers) {
        return Redirect::to(&login(uri)).into_response();
    }
    let what = if needed >= Scope::Act { "to do this" } else { "to see this" };
    ApiError::unauthorized(format!(
        "sign in {what}: `darkmux open` signs a browser in, and programs send `Authorization: Bearer` with a token"
    ))
    .into_response()
}

/// Where to sign in, which leads back to the page that was asked for.
fn login(uri: &Uri) -> String {
    match uri.path_and_query().map(PathAndQuery::as_str) {
        None | Some("/") => "/auth/login".to_owned(),
        Some(page) => format!("/auth/login?next={}", encoded(page)),
    }
}

/// Whether a person waits for a page, and not a program for an answer.
fn wants_page(path: &str, method: &Method, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_page =
        accept.contains("text/html") && !["json", "event-stream"].iter().any(|k| accept.contains(k));
    let is_api = path.starts_with("/v1/") || path.starts_with("/ws/");
    is_page
        && !is_api
        && matches!(*method, Method::GET | Method::HEAD)
        && !headers.contains_key(header::UPGRADE)
}
