//! A WebSocket over the HTTP client, so that names, TLS, tokens and redirects are those of every other request.

use std::time::Duration;

use http::{StatusCode, header};
use reqwest::{RequestBuilder, Response, Upgraded};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::PeerError;
use crate::util::body_start;
use crate::wire::Said;

/// Largest message that is taken, in bytes: a picture of a terminal.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// Bytes that may wait inside the library for a connection that takes nothing.
const WRITE_BUFFER_MAX: usize = 8 * 1024 * 1024;

/// Most that is read of the words of a refusal, in bytes, and how long they may take.
pub const REFUSAL_MAX: usize = 16 * 1024;
const REFUSAL_TIME: Duration = Duration::from_secs(2);

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
        _ => return Err(refusal(response).await),
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

/// What became of a request that was refused, with what is said with it, where that comes soon.
pub(super) async fn refusal(response: Response) -> PeerError {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        return PeerError::Denied;
    }
    let body = timeout(REFUSAL_TIME, body_start(response, REFUSAL_MAX)).await.unwrap_or_default();
    let said = Said::read(&body).message;
    if status == StatusCode::FORBIDDEN {
        PeerError::refuses(&said)
    } else {
        PeerError::status(status.as_u16(), &said)
    }
}
