//! A day's file as it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::range::{Wanted, wanted};
use super::super::read_ahead::{self, FilePieces};
use super::flow::reading;
use crate::model::Day;
use crate::serve::auth::Caller;
use crate::serve::{ApiError, App};
use crate::store::open_in;

/// `GET /flow/{date}.jsonl`: the bytes of the file as long as it is now, or the range of them that is asked for.
pub(super) async fn whole(
    app: &App,
    caller: &Caller,
    day: Day,
    (method, headers): (&Method, &HeaderMap),
) -> Result<Response, ApiError> {
    let permit = reading(app)?;
    let dir = app.flow.dir.clone();
    let opened = app.shutdown.spawn_blocking(move || open(&dir, day)).await;
    let opened = opened.map_err(|error| ApiError::internal("reading the day's file", &error))?;
    let (file, length, tag) = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ApiError::not_found(format!("there are no records of {day}")),
        _ => ApiError::day_file(&error),
    })?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A part of another file is of no use.
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = if same { wanted(text(header::RANGE), length) } else { Wanted::Whole };
    let (status, start, end, content_range) = match range {
        Wanted::Whole => (StatusCode::OK, 0, length, None),
        Wanted::Part(start, end) => {
            (StatusCode::PARTIAL_CONTENT, start, end, Some(format!("bytes {start}-{}/{length}", end - 1)))
        }
        Wanted::Unsatisfiable => return Ok(unsatisfiable(length)),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .header(header::CONTENT_LENGTH, end - start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag);
    if let Some(content_range) = content_range {
        response = response.header(header::CONTENT_RANGE, content_range);
    }
    let body = if method == Method::HEAD || start == end {
        Body::empty()
    } else {
        let pieces = FilePieces::new(file, start, end, app.limits.piece_bytes, permit);
        read_ahead::body(&app.shutdown, caller, None, pieces)
    };
    response
        .body(body)
        .map(IntoResponse::into_response)
        .map_err(|error| ApiError::internal("answering", &error))
}

fn unsatisfiable(length: u64) -> Response {
    let message = format!("the file has {length} bytes; the range asked for is behind them");
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range", message);
    ([(header::CONTENT_RANGE, format!("bytes */{length}"))], error).into_response()
}

fn open(dir: &std::path::Path, day: Day) -> io::Result<(File, u64, String)> {
    let file = open_in(dir, &day.file_name())?;
    let meta = file.metadata()?;
    // The same file only ever grows.
    let tag = format!("\"{:x}-{:x}\"", meta.ino(), meta.len());
    Ok((file, meta.len(), tag))
}
