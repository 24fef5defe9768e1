//! A terminal of another machine, as the daemon's WebSocket brings it.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tungstenite::Message;

use super::Remote;
use super::heal::Trouble;
use crate::peer::PeerSocket;
use crate::util::visible_line;
use crate::wire::WindowSize;

/// Bytes typed in one frame.
const TYPED_MAX: usize = 32 * 1024;

/// How long the daemon may not take what is typed.
const TYPED_TIME: Duration = Duration::from_secs(15);

/// The code of a session that has ended.
const EXITED: u16 = 4000;

/// The code of a session that is not there.
const GONE: u16 = 4004;

/// Codes that say that coming back is of no use: signed out, not allowed.
const FINAL: [u16; 2] = [4001, 4003];

/// Something that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// The other machine shows it.
    Open,
    /// The screen as it was at an offset.
    Picture(u64, Bytes),
    /// Output from an offset on.
    Output(u64, Bytes),
    /// The size now, and whether it is this viewer's.
    Size(WindowSize, bool),
    /// The session has ended; with the code that a shell would report, where it was told.
    Ended(Option<i32>),
    /// There is no such session; or not yet, where a daemon has just been started.
    Gone,
    /// It can't be shown, and will not be.
    Refused(String),
    /// The connection ended; why, as far as it is known.
    Broke(String),
}

/// One connection.
#[derive(Debug)]
pub struct Line {
    socket: PeerSocket,
    /// Offset of the next byte; none before it was told.
    at: Option<u64>,
    /// Whether the next bytes are a picture. So they are where nothing is told at all.
    picture_due: bool,
    exit_code: Option<i32>,
}

/// How to connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// The next byte that is wanted.
    pub from: Option<u64>,
    /// How large the viewer is.
    pub size: Option<WindowSize>,
    /// Nothing will be typed.
    pub read_only: bool,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    at: Option<u64>,
    snapshot: Option<bool>,
    cols: Option<u16>,
    rows: Option<u16>,
    owner: Option<bool>,
    exit_code: Option<i32>,
}

impl Line {
    /// Connects.
    pub async fn open(remote: &Remote, how: Opening) -> Result<Self, Trouble> {
        let mut path = format!("/ws/{}?darkmux=1", remote.session.id);
        // Writing to memory can't fail.
        if let Some(from) = how.from {
            let _ = write!(path, "&from={from}");
        }
        if let Some(WindowSize { cols, rows }) = how.size {
            let _ = write!(path, "&cols={cols}&rows={rows}");
        }
        if how.read_only {
            path += "&read_only=1";
        }
        let socket = remote.client.terminal(&path).await?;
        Ok(Self { socket, at: None, picture_due: true, exit_code: None })
    }

    /// What comes next. Can be dropped while it waits.
    pub async fn next(&mut self) -> Got {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return self.bytes(bytes),
                Some(Ok(Message::Text(text))) => {
                    if let Some(got) = self.said(text.as_str()) {
                        return got;
                    }
                }
                Some(Ok(Message::Close(close))) => {
                    let (code, reason) = close
                        .map_or((0, String::new()), |close| (close.code.into(), close.reason.to_string()));
                    return self.closed(code, &reason);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Got::Broke(error.to_string()),
                None => return Got::Broke("the connection ended".to_owned()),
            }
        }
    }

    fn bytes(&mut self, bytes: Bytes) -> Got {
        let at = self.at.unwrap_or(0);
        if std::mem::take(&mut self.picture_due) {
            return Got::Picture(at, bytes);
        }
        self.at = Some(at + bytes.len() as u64);
        Got::Output(at, bytes)
    }

    fn said(&mut self, text: &str) -> Option<Got> {
        let said: Said = serde_json::from_str(text).ok()?;
        match said.kind.as_str() {
            "attached" => {
                self.at = said.at;
                self.picture_due = said.snapshot == Some(true);
                Some(Got::Open)
            }
            "terminal_resize" => {
                let size = WindowSize { cols: said.cols?, rows: said.rows? };
                Some(Got::Size(size, said.owner != Some(false)))
            }
            "exit" => {
                self.exit_code = said.exit_code;
                None
            }
            _ => None,
        }
    }

    fn closed(&self, code: u16, reason: &str) -> Got {
        let reason: String = visible_line(reason).chars().take(200).collect();
        match code {
            EXITED => Got::Ended(self.exit_code),
            GONE => Got::Gone,
            code if FINAL.contains(&code) => Got::Refused(reason),
            _ if reason.is_empty() => Got::Broke("the connection was closed".to_owned()),
            _ => Got::Broke(reason),
        }
    }

    /// Types bytes; `false` when they were not taken.
    pub async fn type_in(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(TYPED_MAX) {
            if !self.send(Message::Binary(Bytes::copy_from_slice(piece))).await {
                return false;
            }
        }
        true
    }

    /// Says how large the viewer is, and whether the terminal is to be as large.
    pub async fn size(&mut self, size: WindowSize, claim: bool) -> bool {
        let said = json!({ "type": "resize", "cols": size.cols, "rows": size.rows, "claim": claim });
        self.send(Message::text(said.to_string())).await
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(TYPED_TIME, self.socket.send(message)).await, Ok(Ok(())))
    }
}
