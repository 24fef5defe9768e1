//! Files that are pasted into a session: an agent in a terminal takes the path of a picture.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::find;
use crate::serve::app::data;
use crate::serve::{ApiError, App};
use crate::session::files;
use crate::wire::v1::{Pasted, Refusal};

/// Files that are kept of a session; the oldest goes first.
const FILES_MAX: usize = 32;

/// Kinds whose files have an ending of their own.
const ENDINGS: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/heic", "heic"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tiff"),
];

/// Keeps the body as a file of the session's machine.
#[utoipa::path(post, path = "/v1/sessions/{id}/clipboard", tag = "sessions",
    params(("id" = String, Path, description = "id, the beginning or end of one, slug, or name")),
    request_body(description = "any `image/…` is taken", content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "image/png"))),
    responses(
        (status = 200, description = "`data`: the file", body = Pasted),
        (status = 400, description = "`empty_body`", body = Refusal),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 413, description = "`too_large`", body = Refusal),
        (status = 415, description = "`unsupported_media_type`", body = Refusal),
    )
)]
pub async fn paste(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let session = find(&app, &id).await?;
    if bytes.is_empty() {
        return Err(ApiError::bad_request("empty_body", "there is nothing to paste; send it as the body"));
    }
    let ending = ending(headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()));
    let folder = app.live.folder(session.id());
    let path = app.blocking("keeping the pasted file", move || keep(&folder, ending, &bytes)).await?;
    data(&Pasted { path: path.display().to_string() })
}

fn ending(kind: Option<&str>) -> &'static str {
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ENDINGS.iter().find(|(name, _)| *name == kind).map_or("bin", |(_, ending)| ending)
}

fn keep(session: &FilePath, ending: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let dir = session.join(files::CLIPBOARD);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The names are in the order of time.
    let path = dir.join(format!("paste-{}.{ending}", uuid::Uuid::now_v7().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    if let Err(error) = file.write_all(bytes) {
        // Half a picture is none.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    let mut all: Vec<_> = fs::read_dir(&dir)?.flatten().map(|entry| entry.path()).collect();
    all.sort();
    for old in all.iter().take(all.len().saturating_sub(FILES_MAX)) {
        match fs::remove_file(old) {
            // Another paste did it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_private_and_few() {
        let root = tempfile::tempdir().unwrap();
        let mut last = PathBuf::new();
        for number in 0..FILES_MAX + 5 {
            last = keep(root.path(), "png", number.to_string().as_bytes()).unwrap();
        }
        assert_eq!(fs::read_dir(root.path().join(files::CLIPBOARD)).unwrap().count(), FILES_MAX);
        assert_eq!(fs::metadata(&last).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(last.extension().is_some_and(|ending| ending == "png"));
    }

    #[test]
    fn endings_are_chosen_by_us() {
        assert_eq!(ending(Some("image/PNG; x=y")), "png");
        for other in [None, Some("image/../../etc"), Some("application/octet-stream"), Some("")] {
            assert_eq!(ending(other), "bin");
        }
    }
}
