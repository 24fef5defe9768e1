//! The one error of the HTTP surface: a stable code and a public message for the client, the cause for the log.

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

    /// All of something is taken; it is worth asking again after `seconds`.
    pub fn busy(code: &'static str, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
