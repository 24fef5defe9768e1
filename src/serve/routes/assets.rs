//! The viewer's files, embedded in the binary (read from the source folder in a debug build).

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::serve::ApiError;

/// The files of `assets/viewer`.
#[derive(RustEmbed)]
#[folder = "assets/viewer"]
pub struct Viewer;

/// `GET /assets/{path}`.
pub async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    file(&path, &headers)
}

/// `GET /favicon.ico`: browsers ask for it unasked.
pub async fn favicon(headers: HeaderMap) -> Result<Response, ApiError> {
    file("icon.svg", &headers)
}

/// One of the viewer's files.
pub fn file(path: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    let found = path.split('/').all(plain).then(|| Viewer::get(path)).flatten();
    let file = found.ok_or_else(|| ApiError::not_found("this build of the viewer has no such file"))?;
    let hash = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", blake3::hash(&hash).to_hex().split_at(16).0);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    // The browser keeps the file and asks each time whether it is still the same.
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = match file.metadata.mimetype() {
        text @ ("text/javascript" | "text/html" | "text/css" | "text/plain" | "application/json") => {
            format!("{text}; charset=utf-8")
        }
        other => other.to_owned(),
    };
    Ok((caching, [(header::CONTENT_TYPE, kind)], file.data).into_response())
}
