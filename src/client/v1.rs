//! What is asked of `/v1` over the daemon's socket: actions, output, and terminals, also those of other machines.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Client, ClientError, cause};
use crate::peer::{PeerError, PeerSocket, open_socket};
use crate::util::body_start;
use crate::wire::OUTPUT_START;

/// How long a terminal may take to open: longer than this machine waits for the other one.
const OPEN_TIME: Duration = Duration::from_secs(15);

/// How long output may say nothing, and how long it may take altogether.
const OUTPUT_IDLE: Duration = Duration::from_secs(40);
const OUTPUT_TIME: Duration = Duration::from_hours(1);

/// Largest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;

/// What is sent along.
#[derive(Debug, Clone, Default)]
pub enum Sent {
    /// Nothing.
    #[default]
    Nothing,
    /// JSON.
    Json(Value),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

/// Output that comes piece by piece.
#[derive(Debug)]
pub struct Output {
    /// Offset of its first byte.
    pub start: u64,
    response: reqwest::Response,
    path: String,
}

impl Output {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let cut = |reason: String| ClientError::Cut { path: self.path.clone(), reason };
        let piece = tokio::time::timeout(OUTPUT_IDLE, self.response.chunk()).await;
        let piece = piece.map_err(|_| cut("nothing more came".to_owned()))?;
        piece.map_err(|error| cut(cause(&error)))
    }
}

/// The envelope of an answer. Some daemons leave `data` out where there is nothing to say.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    data: Value,
}

impl Client {
    /// Reads what stands at a path of `/v1`.
    pub async fn read(&self, path: &str, time: Duration) -> Result<Value, ClientError> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(time);
        Ok(self.ask::<Envelope>(request, path).await?.data)
    }

    /// Does something, within `time`.
    pub async fn act(&self, path: &str, sent: Sent, time: Duration) -> Result<Value, ClientError> {
        let request = self.http.request(Method::POST, format!("{}{path}", self.base)).timeout(time);
        let request = match sent {
            Sent::Nothing => request,
            Sent::Json(value) => request.json(&value),
            Sent::Bytes(bytes) => {
                request.header(http::header::CONTENT_TYPE, "application/octet-stream").body(bytes)
            }
        };
        Ok(self.ask::<Envelope>(request, path).await?.data)
    }

    /// The output at a path.
    pub async fn output(&self, path: &str) -> Result<Output, ClientError> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(OUTPUT_TIME);
        let sent = tokio::time::timeout(OPEN_TIME, request.send()).await;
        let unreachable = |reason| self.unreachable(reason);
        let response = sent
            .map_err(|_| unreachable("no answer in time".to_owned()))?
            .map_err(|error| unreachable(cause(&error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            let start =
                response.headers().get(OUTPUT_START).and_then(|start| start.to_str().ok()?.parse().ok());
            return Ok(Output { start: start.unwrap_or(0), response, path: path.to_owned() });
        }
        Err(super::refused(path, status, &body_start(response, REFUSAL_MAX).await))
    }

    /// The terminal at a path.
    pub async fn terminal(&self, path: &str) -> Result<PeerSocket, ClientError> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(OPEN_TIME);
        open_socket(request).await.map_err(|error| match error {
            PeerError::Status(status, words) => {
                ClientError::Refused { path: path.to_owned(), status, code: String::new(), message: words }
            }
            PeerError::Refuses(message) => {
                ClientError::Refused { path: path.to_owned(), status: 403, code: String::new(), message }
            }
            error => self.unreachable(error.to_string()),
        })
    }
}
