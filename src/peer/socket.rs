//! A WebSocket over the HTTP client, so that names, TLS, tokens and redirects are those of every other request.

use http::{StatusCode, header};
use reqwest::{RequestBuilder, Response, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::PeerError;

/// Largest message that is taken, in bytes: a picture of a terminal.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// Bytes that may wait inside the library for a connection that takes nothing.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// Most that is read of the words of a refusal, in bytes.
pub const REFUSAL_MAX: usize = 16 * 1024;

/// The WebSocket of a terminal.
pub type PeerSocket = WebSocketStream<Upgraded>;

/// Asks for an upgrade. Takes as long as the connection: the caller has the deadline.
pub async fn open(request: RequestBuilder) -> Result<PeerSocket, PeerError> {
    let key = generate_key();
    let request = request
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    let response = request.send().await.map_err(|error| PeerError::of(&error))?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(PeerError::Denied),
        status => return Err(PeerError::status(status.as_u16(), &refusal(response).await)),
    }
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(PeerError::Shape("it is no WebSocket".to_owned()));
    }
    let upgraded = response.upgrade().await.map_err(|error| PeerError::of(&error))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
}

/// What a refusal says, where it says something.
pub(super) async fn refusal(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > REFUSAL_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    words(&body)
}

/// The message in an error's body: that of our envelope, or a plain text.
pub fn words(body: &[u8]) -> String {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = match &said {
        Some(said) => said["error"]["message"].as_str().unwrap_or_default().to_owned(),
        None => String::from_utf8_lossy(&body[..body.len().min(REFUSAL_MAX)]).trim().to_owned(),
    };
    if said.is_empty() { "it did not say why".to_owned() } else { said }
}
