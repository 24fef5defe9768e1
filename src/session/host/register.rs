//! Telling the machine's daemon that this session runs, so that it need not look for it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::model::SessionId;
use crate::store::{SocketKey, is_ours};

/// How long the daemon may take. It finds the session by itself a little later.
const PATIENCE: Duration = Duration::from_millis(200);

/// The daemon's socket, and what opens it.
pub(super) struct Door {
    /// Where it is.
    pub socket: PathBuf,
    /// What to show there.
    pub key: SocketKey,
}

/// Tells the daemon there. That there is none is no failure.
pub(super) async fn register(daemon: Door, session: SessionId) {
    let body = serde_json::json!({ "session_id": session }).to_string();
    let tell = async {
        let mut stream = UnixStream::connect(&daemon.socket).await?;
        let bearer = daemon.key.bearer().filter(|_| is_ours(&stream));
        let bearer = bearer.map(|bearer| format!("Authorization: {}\r\n", bearer.expose()));
        let request = format!(
            "POST /v1/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{}Connection: close\r\n\r\n{body}",
            body.len(),
            bearer.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await?;
        // The answer's first bytes say that it was taken.
        stream.read(&mut [0; 256]).await
    };
    match tokio::time::timeout(PATIENCE, tell).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "no daemon was told of this session"),
        Err(_) => tracing::debug!("the daemon was not told of this session in time"),
    }
}
