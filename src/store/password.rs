//! A password, key or token that stands somewhere else: in a file, or in what a command prints (a keychain).
//!
//! Invariant: what is read is bounded and in time, and no error quotes it.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::read_bounded;
use crate::util::Secret;

/// Longest file or answer of a command, in bytes.
const LONGEST: u64 = 4096;

/// How long a command may take; a keychain may ask its user.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a password comes from.
#[derive(Debug, Clone, Default)]
pub enum Password {
    /// There is none.
    #[default]
    None,
    /// It was given.
    Given(Secret),
    /// The first line of this file, read each time.
    File(PathBuf),
    /// The first line that this command prints, run each time; program and arguments.
    Command(Vec<String>),
}

impl Password {
    /// Reads it now, so that a changed one is found. `None`: there is none, or the first line is empty. The error
    /// says what failed, without the password.
    pub async fn read(&self) -> Result<Option<Secret>, String> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Given(secret) => return Ok(Some(secret.clone())),
            Self::File(path) => {
                read_bounded(path, LONGEST).map_err(|error| format!("file {}: {error}", path.display()))?
            }
            Self::Command(argv) => run(argv)
                .await
                .map_err(|error| format!("command `{}`: {error}", argv.first().map_or("", String::as_str)))?,
        };
        let text = String::from_utf8(text).map_err(|_| "text is not UTF-8".to_owned())?;
        let line = text.lines().next().map(str::trim_end).filter(|line| !line.is_empty());
        Ok(line.map(Secret::new))
    }
}

async fn run(argv: &[String]) -> io::Result<Vec<u8>> {
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut text = Vec::new();
    let ended = async {
        if let Some(out) = child.stdout.take() {
            out.take(LONGEST).read_to_end(&mut text).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(PATIENCE, ended)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no end within 15 s"))??;
    if status.success() { Ok(text) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}
