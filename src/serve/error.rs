//! The one error of the HTTP surface: a stable code and a public message for the client, the cause for the log.
//!
//! Below `/v1` an error has the envelope of that surface; `guard` puts it on, so that handlers need not know.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is not answered as asked. The body is `{"error":{"code","message"}}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<u32>,
}

impl ApiError {
    /// An error the client can do something about. `code` never changes; `message` says what to do.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// What was asked for is wrong.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Nobody is known to ask, and somebody must be.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Somebody who is known may not do this.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// It was tried too often; it is worth trying again after `seconds`.
    pub fn too_many(message: impl Into<String>, seconds: u32) -> Self {
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message);
        Self { retry_after: Some(seconds), ..refused }
    }

    /// All of something is taken; it is worth asking again after `seconds`.
    pub fn busy(code: &'static str, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// As many wait for sessions as can.
    pub fn too_many_wait() -> Self {
        Self::busy("busy", "too many wait for sessions at this moment; try again", 5)
    }

    /// The daemon stops while somebody waits.
    pub fn stopping() -> Self {
        Self::busy("stopping", "the daemon stops; ask the next one", 1)
    }

    /// Something failed here. The cause goes to the log, not to the client.
    pub fn internal(what: &'static str, cause: &dyn fmt::Display) -> Self {
        let cause = crate::util::visible_line(&cause.to_string()).into_owned();
        tracing::error!(%cause, "{what} failed");
        let message = format!("{what} failed; the daemon's log says why");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// A day's file could not be read.
    pub fn day_file(error: &std::io::Error) -> Self {
        let link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        if link || error.kind() == std::io::ErrorKind::InvalidInput {
            let message = "the day's file is a link or no regular file; darkmux reads only regular files";
            return Self::new(StatusCode::FORBIDDEN, "no_regular_file", message);
        }
        Self::internal("reading the day's file", error)
    }
}

/// What an error said, kept beside its answer.
#[derive(Debug, Clone)]
struct Said {
    code: &'static str,
    message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Said { code: self.code, message: self.message });
        response
    }
}

/// The answer with the envelope of `/v1` around its error, if it is one.
pub fn in_envelope(response: Response) -> Response {
    let Some(said) = response.extensions().get::<Said>() else { return response };
    let error = json!({ "code": said.code, "message": said.message });
    let body = json!({ "error": error, "ok": false }).to_string();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, body.into())
}
