//! A terminal through its host's socket: much output, short lines, single keys.
//!
//! The [limit](crate::terminal_limit) moves bytes between a terminal and a socket with bare threads and keeps the
//! newest 2 MiB, in the frames of the same protocol, to the same client. A host also keeps the output on disk,
//! bounded, lets any number of clients follow at their own pace, and slows the terminal down for one that asked.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use darkmux::wire::frames::{HEADER_LEN, Kind, UPGRADE, header};
use memchr::memmem;

use crate::Setup;
use crate::http::{READ, read_head};
use crate::machine::Machine;
use crate::table::{Table, Want, quantile};
use crate::terminal_limit;

/// Bytes of the file that is shown, in lines of 100.
const SHOWN: usize = 50_000_000;
/// Bytes of short lines.
const SHORT: usize = 20_000_000;
/// Keys of a round.
const KEYS: usize = 300;
/// Longest wait for an end mark.
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let shown = machine.path().join("shown");
    std::fs::write(&shown, format!("{:-<99}\n", "").repeat(SHOWN / 100)).expect("a file");
    let bare = machine.path().join("bare.sock");
    terminal_limit::serve(&bare, machine.path());
    let (folder, _) = machine.session("terminal");
    let mut contestants =
        [Terminal::attach(&bare), Terminal::attach(&folder.join(darkmux::session::files::SOCKET))];

    let cat = format!("cat {}", shown.display());
    let yes = format!("yes | head -c {SHORT}");
    let mut table = Table::new("A terminal through its host's socket");
    for round in 0..setup.rounds {
        let mut speed = |what: &str, want, command: &str, bytes: usize| {
            let of = |terminal: &mut Terminal| terminal.time_of(command, round).as_secs_f64();
            let [limit, figure] = contestants.each_mut().map(of).map(|secs| bytes as f64 / 1e6 / secs);
            table.pair(what, "MB/s", want, (limit, figure));
        };
        speed("cat of 50 MB", Want::AtLeast(0.7), &cat, SHOWN);
        speed("yes, 20 MB of short lines", Want::Nothing, &yes, SHORT);
        let [mut limits, mut figures] = contestants.each_mut().map(Terminal::echoes);
        for (what, share) in [("key echo, median", 0.5), ("key echo, 99 of 100", 0.99)] {
            let pair = (quantile(&mut limits, share), quantile(&mut figures, share));
            table.pair(what, "µs", Want::AtMost(1.5), pair);
        }
    }
    table.print();
}

/// A client of the attach protocol with nothing behind it.
struct Terminal {
    socket: UnixStream,
    buffer: Vec<u8>,
    /// Bytes of the payload that have not come yet, and the part of a header that has.
    left: usize,
    head: Vec<u8>,
}

impl Terminal {
    fn attach(path: &Path) -> Self {
        let mut socket = crate::machine::wait_for(|| UnixStream::connect(path).ok());
        let request = format!(
            "GET /v1/attach?hold=1 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {UPGRADE}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).expect("a request");
        let (head, rest) = read_head(&mut socket).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101") && rest.is_empty(), "{head}");
        let mut terminal = Self { socket, buffer: vec![0; READ], left: 0, head: Vec::new() };
        terminal.quiet(Duration::from_millis(500));
        terminal
    }

    fn send(&mut self, text: &str) {
        let mut frame = header(Kind::Input, text.len()).to_vec();
        frame.extend_from_slice(text.as_bytes());
        self.socket.write_all(&frame).expect("the host takes input");
    }

    /// Hands on the payload of the frames that one read brings; `false` after a wait without any.
    fn pump(&mut self, wait: Duration, mut take: impl FnMut(&[u8])) -> bool {
        self.socket.set_read_timeout(Some(wait)).expect("a socket");
        let Ok(count) = self.socket.read(&mut self.buffer) else { return false };
        assert!(count > 0, "the host closed the connection");
        let mut rest = &self.buffer[..count];
        while !rest.is_empty() {
            if self.left == 0 {
                let (now, later) = rest.split_at(rest.len().min(HEADER_LEN - self.head.len()));
                self.head.extend_from_slice(now);
                rest = later;
                if let [kind, length @ ..] = &self.head[..]
                    && let Ok(length) = length.try_into()
                {
                    assert_eq!(*kind, Kind::Output.byte(), "a frame that is no output");
                    self.left = u32::from_be_bytes(length) as usize;
                    self.head.clear();
                }
            } else {
                let (now, later) = rest.split_at(rest.len().min(self.left));
                take(now);
                self.left -= now.len();
                rest = later;
            }
        }
        true
    }

    fn quiet(&mut self, wait: Duration) {
        while self.pump(wait, |_| ()) {}
    }

    /// Runs a command; returns the time from the key to the mark that follows its output.
    fn time_of(&mut self, command: &str, round: usize) -> Duration {
        // The line as it is typed must not hold the mark.
        let mark = format!("END-MARK-{round}\r\n");
        let begun = Instant::now();
        self.send(&format!("{command}; printf 'END-%s\\n' MARK-{round}\r"));
        let finder = memmem::Finder::new(mark.as_bytes());
        let mut tail = Vec::new();
        let mut found = false;
        while !found {
            assert!(begun.elapsed() < PATIENCE, "no mark after {command}");
            self.pump(Duration::from_millis(200), |bytes| {
                // The mark may lie across two pieces.
                tail.extend_from_slice(&bytes[..bytes.len().min(mark.len())]);
                found |= finder.find(&tail).is_some() || finder.find(bytes).is_some();
                if bytes.len() > mark.len() {
                    tail.clear();
                    tail.extend_from_slice(&bytes[bytes.len() - mark.len()..]);
                }
                tail.drain(..tail.len().saturating_sub(mark.len()));
            });
        }
        let took = begun.elapsed();
        self.quiet(Duration::from_millis(150));
        took
    }

    /// Types keys one at a time; returns how long each took to be seen.
    fn echoes(&mut self) -> Vec<Duration> {
        self.send("cat >/dev/null\r");
        self.quiet(Duration::from_millis(300));
        let mut times = Vec::new();
        for number in 0..KEYS {
            let begun = Instant::now();
            self.send("x");
            let mut seen = false;
            while !seen {
                assert!(begun.elapsed() < PATIENCE, "a key was not echoed");
                self.pump(Duration::from_millis(500), |bytes| seen |= bytes.contains(&b'x'));
            }
            times.push(begun.elapsed());
            if number % 60 == 59 {
                self.send("\r");
                self.quiet(Duration::from_millis(60));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.send("\x04");
        self.quiet(Duration::from_millis(300));
        times
    }
}
