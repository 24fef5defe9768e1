//! What a session has shown, byte for byte.

use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::find;
use crate::serve::auth::Caller;
use crate::serve::params::Params;
use crate::serve::{ApiError, App};
use crate::session::{LogReader, files};
use crate::util::Shutdown;
use crate::wire::OUTPUT_START;
use crate::wire::v1::Refusal;

/// Bytes read at a time.
const PIECE: usize = 256 * 1024;

/// The output that is held, until now.
#[utoipa::path(get, path = "/v1/sessions/{id}/scrollback", tag = "sessions",
    params(
        ("id" = String, Path, description = "id, the beginning or end of one, slug, or name"),
        ("from" = Option<u64>, Query, format = "uint64", description = "an offset; the first byte is 0"),
    ),
    responses(
        (status = 200, description = "the bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "`not_found`", body = Refusal),
        (status = 503, description = "`busy`: too many files are read", body = Refusal),
    )
)]
pub async fn scrollback(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let from = params.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let session = find(&app, &id).await?;
    let permit = Arc::clone(&app.file_reads).try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::busy("busy", "too many files are read at this moment", 1))?;
    let reader = LogReader::new(app.live.folder(session.id()).join(files::OUTPUT));
    let range = app.blocking("reading the output", move || reader.range().map(|range| (reader, range)));
    let (reader, (start, end)) = range.await?;
    let at = from.clamp(start, end.max(start));
    let rest = Rest { reader, at, end, shutdown: app.shutdown.clone() };
    let pieces = stream::try_unfold((rest, permit), async |(rest, permit)| {
        let next = rest.next().await?;
        Ok::<_, io::Error>(next.map(|(bytes, rest)| (bytes, (rest, permit))))
    });
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (header::CACHE_CONTROL.as_str(), "no-store".to_owned()),
        (OUTPUT_START, at.to_string()),
    ];
    Ok((headers, caller.until_revoked_body(pieces, &app.shutdown)).into_response())
}

/// What is still to be sent.
struct Rest {
    reader: LogReader,
    at: u64,
    end: u64,
    shutdown: Shutdown,
}

impl Rest {
    /// The next piece. Where the disk let go of the oldest meanwhile, the answer goes on after it.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 || self.shutdown.is_stopping() {
            return Ok(None);
        }
        let shutdown = self.shutdown.clone();
        let read = shutdown.spawn_blocking(move || {
            let mut buffer = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            let (from, count) = self.reader.read_at(self.at, &mut buffer)?;
            let within = self.end.saturating_sub(from);
            buffer.truncate(count.min(usize::try_from(within).unwrap_or(count)));
            self.at = from + buffer.len() as u64;
            Ok((!buffer.is_empty()).then(|| (buffer.into(), self)))
        });
        read.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}
