//! Reading a streamed answer: events within their limits in time and size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use serde_json::Value;
use sse_stream::{Error as SseError, SseByteStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::{Limits, Piece};
use super::assemble::Assembler;
use super::error::{AskError, Phase};
use crate::util::root_cause;

/// Largest event, in bytes.
const EVENT_MAX: usize = 4 * 1024 * 1024;

/// How long usage may follow an answer that is complete.
const USAGE_PATIENCE: Duration = Duration::from_secs(2);

/// How long the end of the connection's answer may follow the event that ends the stream.
const END_PATIENCE: Duration = Duration::from_millis(5);

/// The event that ends a stream.
const DONE: &str = "[DONE]";

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Whole,
    /// Until whoever listened had heard enough.
    Cut,
}

/// Reads the answer that began at `asked` into `into`. `tell` says whether it wants to hear more.
pub async fn read(
    response: Response,
    (limits, asked): (&Limits, Instant),
    into: &mut Assembler,
    tell: &mut dyn FnMut(Piece<'_>) -> bool,
) -> Result<Read, AskError> {
    let unread = Arc::new(AtomicUsize::new(0));
    let bytes = bounded(response.bytes_stream(), Arc::clone(&unread));
    let mut events = std::pin::pin!(SseByteStream::new(bytes));
    let mut last = asked;
    loop {
        let (deadline, phase) = deadline(limits, (asked, last), into);
        let event = match timeout_at(deadline, events.next()).await {
            Ok(Some(Ok(event))) => event,
            Ok(None | Some(Err(_))) | Err(_) if into.is_complete() => return Ok(Read::Whole),
            Ok(Some(Err(error))) => return Err(AskError::Broken(words(&error))),
            Ok(None) => {
                return Err(AskError::Broken("the connection ended before the answer did".to_owned()));
            }
            Err(_) => return Err(AskError::Slow(phase)),
        };
        unread.store(0, Ordering::Relaxed);
        let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
        if data.trim() == DONE {
            // A connection whose answer was read to its end is used again.
            let _ = timeout(END_PATIENCE, events.next()).await;
            return Ok(Read::Whole);
        }
        let chunk: Value = serde_json::from_str(&data)
            .map_err(|_| AskError::Broken("a piece of it is no JSON".to_owned()))?;
        let mut goes_on = true;
        into.take(&chunk, &mut |piece| goes_on &= tell(piece))?;
        if !goes_on {
            return Ok(Read::Cut);
        }
        last = Instant::now();
    }
}

/// Until when the next event must come, and which limit that is.
fn deadline(limits: &Limits, (asked, last): (Instant, Instant), answer: &Assembler) -> (Instant, Phase) {
    let (next, phase) = if answer.is_complete() {
        (last + USAGE_PATIENCE, Phase::NextToken)
    } else if answer.has_begun() {
        (last + limits.next_token, Phase::NextToken)
    } else {
        (asked + limits.first_token, Phase::FirstToken)
    };
    let end = asked + limits.answer;
    if end < next { (end, Phase::Answer) } else { (next, phase) }
}

/// The stream, which fails once more than an event's most bytes came without one.
fn bounded(
    bytes: impl Stream<Item = reqwest::Result<Bytes>>,
    unread: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    bytes.map(move |piece| {
        let piece = piece.map_err(|error| std::io::Error::other(root_cause(&error)))?;
        let waiting = unread.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        if waiting > EVENT_MAX {
            return Err(std::io::Error::other(format!("a piece of it is larger than {EVENT_MAX} bytes")));
        }
        Ok(piece)
    })
}

fn words(error: &SseError) -> String {
    root_cause(error)
}
