//! What happens in a session, as its host tells it: one JSON object a line.

use std::io;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::client::{HostClient, foreign};
use crate::wire::SessionStatus;

/// Longest line of a host. A state may hold a long command line.
const LINE_MAX: usize = 5 * 1024 * 1024;

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HostEvent {
    /// What the session is now: first of all, at every change, and last of all.
    Status {
        /// All of it.
        status: Box<SessionStatus>,
    },
    /// It put something out while nobody looks at its screen; at most twice a second.
    Activity,
    /// Its program wants somebody to see something. A bell has neither title nor body. Cut, and without control
    /// characters.
    Notice {
        /// What it is about.
        title: String,
        /// What it says.
        body: String,
    },
}

/// Follows what happens in a session.
#[derive(Debug)]
pub struct HostEvents {
    pub(super) body: Incoming,
    pub(super) buffer: BytesMut,
    /// Bytes of the buffer that hold no end of a line.
    pub(super) searched: usize,
    pub(super) _client: HostClient,
}

impl HostEvents {
    /// The next event; `None` when nothing will follow: after the final state, or when the host died. What a newer host
    /// tells and this client does not know is passed over. Can be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Option<HostEvent>> {
        loop {
            while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + at);
                self.buffer.advance(1);
                self.searched = 0;
                let value: serde_json::Value = serde_json::from_slice(&line).map_err(foreign)?;
                let known = matches!(value["type"].as_str(), Some("status" | "activity" | "notice"));
                if known {
                    return serde_json::from_value(value).map(Some).map_err(foreign);
                }
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_MAX {
                return Err(foreign("a line of more than 5 MiB"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            }
        }
    }
}
