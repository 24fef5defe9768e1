//! What is asked of `/v1` over the daemon's socket: actions, output, and terminals, also those of other machines.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Client, ClientError, cause};
use crate::peer::{PeerError, PeerSocket, open_socket};

/// How long a terminal may take to open: longer than this machine waits for the other one.
const OPEN_TIME: Duration = Duration::from_secs(15);

/// How long output may say nothing, and how long it may take altogether.
const OUTPUT_IDLE: Duration = Duration::from_secs(40);
const OUTPUT_TIME: Duration = Duration::from_hours(1);

/// Largest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;

/// Header that tells the offset of the first byte of the output.
const OUTPUT_START: &str = "darkmux-output-start";

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
        let mut response = sent
            .map_err(|_| unreachable("no answer in time".to_owned()))?
            .map_err(|error| unreachable(cause(&error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            let start =
                response.headers().get(OUTPUT_START).and_then(|start| start.to_str().ok()?.parse().ok());
            return Ok(Output { start: start.unwrap_or(0), response, path: path.to_owned() });
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_MAX - body.len())]);
        }
        Err(super::refused(path, status, &body))
    }

    /// The terminal at a path.
    pub async fn terminal(&self, path: &str) -> Result<PeerSocket, ClientError> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(OPEN_TIME);
        open_socket(request).await.map_err(|error| match error {
            PeerError::Status(status, words) => {
                ClientError::Refused { path: path.to_owned(), status, code: String::new(), message: words }
            }
            error => self.unreachable(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_its_words() {
        let body =
            br#"{"ok":false,"error":{"code":"peer_unavailable","message":"desk: connection refused"}}"#;
        let ClientError::Refused { code, message: said, .. } =
            crate::client::refused("/v1/x", StatusCode::BAD_GATEWAY, body)
        else {
            panic!("no refusal")
        };
        assert_eq!((code.as_str(), said.as_str()), ("peer_unavailable", "desk: connection refused"));
        assert_eq!(crate::client::message(b"x"), "it did not say why");
    }
}
