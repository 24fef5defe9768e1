//! A person at a terminal: a process on a real PTY whose screen is read and whose keys are pressed.

use std::num::NonZeroU16;
use std::time::Duration;

use darkmux::model::ExitStatus;
use darkmux::pty::{Child, Command, Reader, Writer};
use darkmux::wire::WindowSize;

use super::{Home, PATIENCE};

/// A process on a terminal of its own. Dropping it kills it.
pub struct Tty {
    child: Child,
    reader: Reader,
    writer: Writer,
    seen: Vec<u8>,
    picture: vt100::Parser,
}

/// The terminal's size.
pub const SIZE: WindowSize = WindowSize { cols: 100, rows: 30 };

/// A terminal that shows nothing yet.
pub fn blank() -> vt100::Parser {
    let one = |number| NonZeroU16::new(number).unwrap();
    vt100::Parser::new(one(SIZE.rows), one(SIZE.cols), 0)
}

impl Tty {
    /// Starts darkmux with these arguments on a terminal of 100 columns and 30 rows.
    pub fn start<const N: usize>(home: &Home, args: [&str; N]) -> Self {
        Self::run(home, std::iter::once(super::BIN).chain(args).map(str::to_owned).collect())
    }

    /// Starts these words on such a terminal.
    pub fn run(home: &Home, words: Vec<String>) -> Self {
        let command = Command {
            argv: words,
            env: home.vars().map(|(key, value)| (key.into(), value.into())).collect(),
            cwd: home.path().to_owned(),
            stdin: None,
            size: SIZE,
        };
        let started = command.spawn().expect("a process on a terminal");
        let (reader, writer) = (started.reader, started.writer);
        Self { child: started.child, reader, writer, seen: Vec::new(), picture: blank() }
    }

    /// What stands on the terminal, as far as it was read.
    pub fn picture(&self) -> &vt100::Screen {
        self.picture.screen()
    }

    /// Waits until what stands on the terminal fits.
    pub async fn until(&mut self, what: &str, fits: impl Fn(&vt100::Screen) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !fits(self.picture()) {
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout_at(deadline, self.reader.read(&mut buffer)).await;
            let shown = || self.picture().contents();
            let count = read.unwrap_or_else(|_| panic!("waited for {what}; there stands\n{}", shown()));
            let count = count.expect("a terminal that can be read");
            assert!(count > 0, "ended before {what}; there stands\n{}", shown());
            self.take(&buffer[..count]);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.seen.extend_from_slice(bytes);
        self.picture.process(bytes);
    }

    pub fn pid(&self) -> i64 {
        i64::from(self.child.pid())
    }

    /// Waits until `text` stands in what came since the last call, and forgets what was before it.
    pub async fn expect(&mut self, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(at) = memchr::memmem::find(&self.seen, text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return;
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout_at(deadline, self.reader.read(&mut buffer)).await;
            let saw = || String::from_utf8_lossy(&self.seen);
            let count = read.unwrap_or_else(|_| panic!("waited for {text:?}, saw {:?}", saw()));
            let count = count.expect("a terminal that can be read");
            assert!(count > 0, "ended before {text:?}, saw {:?}", String::from_utf8_lossy(&self.seen));
            self.take(&buffer[..count]);
        }
    }

    /// Presses keys.
    pub async fn press(&mut self, keys: &str) {
        self.writer.write(keys.as_bytes()).await.expect("keys are taken");
    }

    /// Waits for the process's end; what it still shows is read.
    pub async fn wait(&mut self) -> ExitStatus {
        let mut buffer = [0; 4096];
        loop {
            let read = tokio::time::timeout(PATIENCE, self.reader.read(&mut buffer)).await;
            let saw = || String::from_utf8_lossy(&self.seen);
            match read.unwrap_or_else(|_| panic!("it does not end, saw {:?}", saw())) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.take(&buffer[..count]),
            }
        }
        tokio::time::timeout(Duration::from_secs(5), self.child.wait())
            .await
            .expect("an end")
            .expect("a status")
    }

    /// What came since the last `expect`.
    pub fn rest(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        super::signal(self.pid(), "KILL");
    }
}
