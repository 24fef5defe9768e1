//! A job's output as Redis keeps it: its newest part, by every attempt, with the time of each piece. It is there
//! when the machine that ran the job is off.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use super::queue::{asked, job_id, of};
use crate::serve::app::data;
use crate::serve::params::{Params, wrong};
use crate::serve::{ApiError, App};
use crate::wire::v1::Refusal;
use crate::work::LogPart;

/// Pieces read at once.
const READ: usize = 64;

/// Bytes of output in one answer; `after` goes on.
const BYTES_MAX: usize = 1024 * 1024;

/// A job's output, from the oldest that is kept.
#[utoipa::path(get, path = "/v1/jobs/{id}/output", tag = "queue",
    params(
        ("id" = String, Path, description = "the job"),
        ("after" = Option<String>, Query, description = "the `next` of the answer before"),
    ),
    responses(
        (status = 200, description = "`data`: `pieces` of `{at_ms, attempt, offset, bytes}`, a character of `bytes` for each byte; `next`, `more`, `ended`", body = Object),
        (status = 409, description = "`no_queue`", body = Refusal),
        (status = 503, description = "`redis_unreachable`", body = Refusal),
    )
)]
pub async fn output(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let (id, queue) = (job_id(id)?, of(&app)?);
    let mut next = params.text("after")?.unwrap_or("0-0").to_owned();
    if !is_entry(&next) {
        return Err(wrong("after", &next, "the `next` of an answer before"));
    }
    let (mut pieces, mut size, mut more, mut ended) = (Vec::new(), 0, false, None);
    loop {
        let parts = asked(async { queue.log_after(&id, &next, READ).await }).await?;
        let Some((last, _)) = parts.last() else { break };
        next.clone_from(last);
        for (entry, part) in parts {
            match part {
                LogPart::End(state) => ended = Some(state.as_str()),
                LogPart::Other => {}
                LogPart::Output { attempt, offset, bytes } => {
                    size += bytes.len();
                    // A character a byte: a piece may end within a character of the program's own.
                    let bytes: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                    let at_ms = entry.split('-').next().and_then(|ms| ms.parse::<u64>().ok());
                    pieces.push(
                        json!({ "at_ms": at_ms, "attempt": attempt, "bytes": bytes, "offset": offset }),
                    );
                }
            }
        }
        if size >= BYTES_MAX {
            more = true;
            break;
        }
    }
    data(&json!({ "ended": ended, "more": more, "next": next, "pieces": pieces }))
}

fn is_entry(text: &str) -> bool {
    let number = |part: &str| part.parse::<u64>().is_ok();
    text.split_once('-').is_some_and(|(ms, count)| number(ms) && number(count))
}
