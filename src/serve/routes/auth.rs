//! Signing in and out. The page of it and its files are open to everybody who reaches the daemon.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::assets;
use crate::serve::app::json;
use crate::serve::auth::{CODE_LIFE, Caller, CodeError, Door, Peer, Scope};
use crate::serve::guard::host_of;
use crate::serve::of_json::of_json;
use crate::serve::{ApiError, App};

/// `GET /auth/login`.
pub async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    assets::file("login/login.html", &headers)
}

/// `GET /auth/login.js`.
pub async fn script(headers: HeaderMap) -> Result<Response, ApiError> {
    assets::file("login/login.js", &headers)
}

/// `GET /auth/signin.js`, which both pages use.
pub async fn sign_in(headers: HeaderMap) -> Result<Response, ApiError> {
    assets::file("login/signin.js", &headers)
}

/// `GET /auth/login.css`.
pub async fn style(headers: HeaderMap) -> Result<Response, ApiError> {
    assets::file("login/login.css", &headers)
}

/// `GET /auth/me`: who asks.
pub async fn me(caller: Caller) -> Result<Response, ApiError> {
    json(&json!({ "scope": caller.scope(), "via": caller.via() }))
}

/// Body of `POST /auth/login`.
#[derive(Deserialize)]
pub struct Login {
    token: String,
}

/// `POST /auth/login`: a cookie for a token.
pub async fn login(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Login { token } = of_json(&body)?;
    signed_in(app.auth.trade_token(&peer, &token, door(&app, &headers))?)
}

/// Body of `POST /auth/code`.
#[derive(Deserialize)]
pub struct Code {
    code: String,
}

/// `POST /auth/code`: a cookie for a one-time code.
pub async fn code(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Code { code } = of_json(&body)?;
    signed_in(app.auth.trade_code(&peer, &code, door(&app, &headers))?)
}

/// Body of `POST /auth/codes`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NewCode {
    read_only: bool,
}

/// `POST /auth/codes`: a one-time code for a browser.
pub async fn new_code(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, ApiError> {
    let NewCode { read_only } = of_json(&body)?;
    caller.may_have_secrets()?;
    let scope = if read_only { Scope::Watch } else { Scope::Act };
    let code = app.auth.new_code(&caller, scope).map_err(|error| match error {
        CodeError::NoToken => ApiError::new(StatusCode::CONFLICT, "no_token", error.to_string()),
        CodeError::Random(_) => ApiError::internal("making a code", &error),
    })?;
    json(&json!({ "code": code, "expires_in": CODE_LIFE.as_secs() }))
}

/// `POST /auth/logout`: takes the cookie from this browser.
pub async fn logout(State(app): State<Arc<App>>) -> Response {
    let signed_out = json!({ "scope": Scope::None }).to_string();
    let headers =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::SET_COOKIE, app.auth.no_cookie())];
    (headers, signed_out).into_response()
}

fn signed_in((scope, cookie): (Scope, String)) -> Result<Response, ApiError> {
    Ok(([(header::SET_COOKIE, cookie)], json(&json!({ "scope": scope }))?).into_response())
}

/// The cookie stays on TLS where the page came by it.
fn door(app: &App, headers: &HeaderMap) -> Door {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let tls = host_of(headers).map(|host| format!("https://{host}"));
    Door { now: app.clock.now(), is_tls: origin.is_some_and(|origin| Some(origin) == tls.as_deref()) }
}
