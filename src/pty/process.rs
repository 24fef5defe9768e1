//! A process on a terminal of its own.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::ptsname;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::ProcessTree;
use crate::model::ExitStatus;
use crate::wire::WindowSize;

/// What to start.
#[derive(Debug)]
pub struct Command {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Folder to start in.
    pub cwd: PathBuf,
    /// File that is its standard input instead of the terminal.
    pub stdin: Option<std::fs::File>,
    /// Size of the terminal.
    pub size: WindowSize,
}

/// A started process. It leads its own kernel session, process group and terminal.
#[derive(Debug)]
pub struct Child {
    inner: tokio::process::Child,
    tree: ProcessTree,
}

/// What the terminal shows.
#[derive(Debug)]
pub struct Reader(OwnedReadPty);

/// What is typed into the terminal.
#[derive(Debug)]
pub struct Writer(OwnedWritePty);

/// The terminal's size, apart from what is typed: it can change while the process does not read.
#[derive(Debug)]
pub struct Window(OwnedFd);

/// Keeps the terminal open while it lives: without it, a process that closes all of its descriptors and opens
/// `/dev/tty` later would write into a terminal that was given up.
#[derive(Debug)]
pub struct KeptOpen {
    _end: OwnedFd,
}

/// A process with the ends of its terminal.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// What the terminal shows.
    pub reader: Reader,
    /// What is typed.
    pub writer: Writer,
    /// The size.
    pub window: Window,
    /// What keeps the terminal open; the reader sees no end before it is dropped.
    pub kept_open: KeptOpen,
}

fn other(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(error) => error.into(),
        error => io::Error::other(error),
    }
}

fn size(size: WindowSize) -> Size {
    Size::new(size.rows.max(1), size.cols.max(1))
}

impl Command {
    /// Opens a terminal and starts the process on it.
    pub fn spawn(self) -> io::Result<Started> {
        let (program, args) = self.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (pty, pts) = pty_process::open().map_err(other)?;
        pty.resize(size(self.size)).map_err(other)?;
        let mut command =
            pty_process::Command::new(program).args(args).env_clear().envs(self.env).current_dir(&self.cwd);
        if let Some(stdin) = self.stdin {
            command = command.stdin(stdin);
        }
        let name = ptsname(&pty, Vec::new())?;
        let end = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let inner = command.spawn(pts).map_err(other)?;
        let pid = inner.id().ok_or_else(|| io::Error::other("the process ended before it was seen"))?;
        let window = Window(pty.as_fd().try_clone_to_owned()?);
        let child = Child { inner, tree: ProcessTree::of_leader(pid)? };
        let (reader, writer) = pty.into_split();
        Ok(Started {
            child,
            reader: Reader(reader),
            writer: Writer(writer),
            window,
            kept_open: KeptOpen { _end: end },
        })
    }
}

impl Child {
    /// Its process id, which is also its group's and its kernel session's.
    pub fn pid(&self) -> u32 {
        self.tree.leader()
    }

    /// It and all of its offspring that did not leave its kernel session.
    pub fn tree(&self) -> ProcessTree {
        self.tree
    }

    /// Waits for its end. Can be called again after being dropped midway.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.inner.wait().await?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => ExitStatus::Code(code),
            (None, signal) => ExitStatus::Signal(signal.unwrap_or(0)),
        })
    }
}

impl Reader {
    /// Reads what the terminal has, merging the kernel's small pieces until it has no more or `buffer` is
    /// full. 0 means that nobody has the terminal open any longer.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut filled = ReadBuf::new(buffer);
            loop {
                let before = filled.filled().len();
                match Pin::new(&mut self.0).poll_read(cx, &mut filled) {
                    // A key's echo is not kept waiting for the answer that there is no more.
                    Poll::Ready(Ok(())) if (1..SMALL).contains(&(filled.filled().len() - before)) => break,
                    Poll::Ready(Ok(())) if filled.filled().len() > before && filled.remaining() > 0 => {}
                    // Linux says EIO where others say end of file.
                    Poll::Ready(Err(error)) if before == 0 && error.raw_os_error() != Some(EIO) => {
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending if before == 0 => return Poll::Pending,
                    Poll::Ready(_) | Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(filled.filled().len()))
        })
        .await
    }
}

/// Fewer bytes than this at a time come from keys and prompts; what a program prints in bulk comes by kilobytes.
const SMALL: usize = 64;

/// The code of "input/output error", the same on Linux and macOS.
const EIO: i32 = 5;

impl Writer {
    /// Types `bytes` into the terminal. Waits while the process does not read.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }
}

impl Window {
    /// Changes the size; the process is told by SIGWINCH.
    pub fn resize(&self, to: WindowSize) -> io::Result<()> {
        let size = Winsize { ws_row: to.rows.max(1), ws_col: to.cols.max(1), ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.0, size)?)
    }
}
