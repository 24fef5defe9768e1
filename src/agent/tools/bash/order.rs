//! What the agent asks of the guard of a command, and what the guard answers.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::tools::confine::Rules;

/// Longest order or report, in bytes.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// A command to run and to watch over.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The work directory, and the folder in it to start in.
    pub root: OsString,
    /// See `root`.
    pub cwd: OsString,
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What it is confined to by the guard itself.
    pub landlock: Option<Rules>,
    /// A command that ends what the process alone would leave behind (a container).
    pub stop: Option<Vec<OsString>>,
    /// How long it may run.
    pub timeout: Duration,
    /// How many processes it may have.
    pub processes: usize,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its time was over.
    TimedOut,
    /// The agent said so, or was gone.
    Stopped,
    /// It had too many processes.
    TooMany,
    /// It did not start.
    NotStarted(String),
}

/// What the guard tells when nothing of the command is left.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// Processes that were left in the background and were ended.
    pub left: usize,
    /// Processes that could not be ended.
    pub stuck: usize,
}

/// A message as it is sent: its length, then JSON.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MESSAGE_MAX);
    let length =
        length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))?;
    Ok([&length.to_be_bytes(), json.as_slice()].concat())
}

/// Sends a message.
pub fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Receives a message.
pub fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut json = vec![0; length];
    from.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
