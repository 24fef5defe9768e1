//! Bodies: which kinds a route takes, how large and how slow they may be.
//!
//! A body is read whole before the handler runs, and only for callers who may use the route, so no handler has to
//! think of limits.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::Caller;
use super::caller::Via;
use crate::serve::ApiError;

/// What a route reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// `application/json` of at most this many bytes.
    Json(usize),
    /// Bytes as they are, at most this many: `application/octet-stream` or `image/…`.
    Bytes(usize),
}

impl Accepts {
    /// JSON of the usual size.
    pub const JSON: Self = Self::Json(1024 * 1024);

    fn limit(self) -> usize {
        match self {
            Self::Json(limit) | Self::Bytes(limit) => limit,
        }
    }

    fn takes(self, kind: &str) -> bool {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match self {
            Self::Json(_) => kind == "application/json",
            Self::Bytes(_) => kind == "application/octet-stream" || kind.starts_with("image/"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json(_) => "application/json",
            Self::Bytes(_) => "application/octet-stream",
        }
    }
}

/// Refuses a body of another kind. The kinds are those that a form on another page can't send without asking first,
/// so a browser always has to name one; who shows a token may leave it out where there is no body. So may who comes from
/// the tailnet: that no page sent it was looked at before.
pub fn check(accepts: Accepts, caller: &Caller, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let fits = match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind.to_str().is_ok_and(|kind| accepts.takes(kind)),
        (None, _) => is_empty(headers) && matches!(caller.via(), Via::Socket | Via::Bearer | Via::Tailnet),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let message = format!("send `Content-Type: {}`", accepts.name());
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
}

fn is_empty(headers: &HeaderMap) -> bool {
    // A hub of gmux sends every body in chunks, also none.
    headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
}

/// Reads the body whole.
pub async fn read(request: Request, accepts: Accepts, time: Duration) -> Result<Request, ApiError> {
    let limit = accepts.limit();
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes, which this route takes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let collected = tokio::time::timeout(time, Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, Body::from(body.to_bytes()))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::bad_request("read_failed", "the body ended before it was complete")),
        Err(_) => {
            let message = format!("the body did not come within {} s", time.as_secs_f32());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message))
        }
    }
}

/// Whether a request has a body that a handler may want.
pub fn is_expected(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn kinds_are_those_that_no_form_sends() {
        let verdict = |accepts, caller: &Caller, pairs: &[(header::HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            check(accepts, caller, &pairs.collect()).is_ok()
        };
        let (nobody, socket) = (Caller::nobody(), Caller::socket());
        let kind = |kind| [(header::CONTENT_TYPE, kind)];
        for good in ["application/json", "Application/JSON; charset=utf-8"] {
            assert!(verdict(Accepts::JSON, &nobody, &kind(good)), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png", ""]
        {
            assert!(!verdict(Accepts::JSON, &socket, &kind(bad)), "{bad}");
        }
        assert!(verdict(Accepts::Bytes(1), &nobody, &kind("image/png")));
        assert!(!verdict(Accepts::Bytes(1), &nobody, &kind("text/plain")));
        assert!(!verdict(Accepts::JSON, &nobody, &[]));
        assert!(verdict(Accepts::JSON, &socket, &[]));
        assert!(verdict(Accepts::JSON, &socket, &[(header::CONTENT_LENGTH, "0")]));
        assert!(!verdict(Accepts::JSON, &socket, &[(header::CONTENT_LENGTH, "1")]));
        assert!(verdict(Accepts::JSON, &socket, &[(header::TRANSFER_ENCODING, "chunked")]));
        assert!(!verdict(Accepts::JSON, &nobody, &[(header::TRANSFER_ENCODING, "chunked")]));
    }

    #[tokio::test(start_paused = true)]
    async fn large_and_slow_bodies_are_refused() {
        let status = async |body: Body| {
            let read = read(Request::new(body), Accepts::Json(4), Duration::from_secs(10)).await;
            read.err().map_or(200, |error| error.into_response().status().as_u16())
        };
        assert_eq!(status(Body::from("1234")).await, 200);
        let pieces = |pieces: &'static [&str]| {
            futures_util::stream::iter(pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece)))
        };
        assert_eq!(status(Body::from_stream(pieces(&["123", "45"]))).await, 413);
        let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        assert_eq!(status(Body::from_stream(never)).await, 408);
        let broken = futures_util::stream::iter([Err::<&str, _>(std::io::Error::other("x"))]);
        assert_eq!(status(Body::from_stream(broken)).await, 400);
    }
}
