//! The viewer's files, embedded in the binary (read from the source folder in a debug build).

use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::serve::ApiError;
use crate::serve::bundle::{Bundle, bundle};

/// What a browser may keep for good, because another content has another name.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The files of `assets/viewer`.
#[derive(RustEmbed)]
#[folder = "assets/viewer"]
pub struct Viewer;

/// The viewer put together, once it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Bundled(Arc<Mutex<Option<Arc<Bundle>>>>);

impl Bundled {
    /// For a new page: in a debug build put together anew, because the files can have been edited.
    pub(super) fn for_page(&self) -> Result<Arc<Bundle>, ApiError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cfg!(debug_assertions) {
            *kept = None;
        }
        Self::made(&mut kept)
    }

    fn made(kept: &mut Option<Arc<Bundle>>) -> Result<Arc<Bundle>, ApiError> {
        if let Some(made) = kept {
            return Ok(Arc::clone(made));
        }
        let read =
            |path: &str| Viewer::get(path).map(|file| String::from_utf8_lossy(&file.data).into_owned());
        let made =
            bundle(&read).map_err(|error| ApiError::internal("putting the viewer together", &error))?;
        Ok(Arc::clone(kept.insert(Arc::new(made))))
    }

    fn part(&self, path: &str) -> Result<Option<Response>, ApiError> {
        if !path.starts_with("viewer-") {
            return Ok(None);
        }
        let bundle = Self::made(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(bundle.parts.iter().find(|part| part.name == path).map(|part| {
            let headers = [(header::CONTENT_TYPE, part.kind), (header::CACHE_CONTROL, FOR_GOOD)];
            (headers, part.text.clone()).into_response()
        }))
    }
}

/// `GET /assets/{path}`.
pub async fn asset(
    Path(path): Path<String>,
    Extension(bundled): Extension<Bundled>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    match bundled.part(&path)? {
        Some(part) => Ok(part),
        None => file(&path, &headers),
    }
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
