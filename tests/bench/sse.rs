//! Event streams: records that are appended to today's file, to 1, 10 and 100 clients.
//!
//! The [limit](crate::sse_limit) is one thread that reads the growing file, frames each record once and writes the
//! same bytes to every socket. In a burst the records are appended as fast as the disk's cache takes them, and
//! all of them must reach every client. Paced, one is appended at a time, and what counts is the time from before
//! its `write` to the client that sees it.
//!
//! Every record carries a `~` and the time it was written at; the client counts the one and reads the other.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::{memchr, memchr_iter};
use rustix::event::epoll;

use crate::Setup;
use crate::http::{READ, ask, read_head};
use crate::machine::Machine;
use crate::sse_limit;
use crate::table::{Table, Want, quantile};

/// Clients and records of a burst; records a second and in all when paced.
const LOADS: &[(usize, u64, u32, u32)] =
    &[(1, 60_000, 200, 300), (10, 40_000, 200, 300), (100, 20_000, 100, 150)];

/// Length of a record, with its end.
const LINE: usize = 256;

/// Records of one `write` in a burst.
const BATCH: u64 = 64;

/// How long a burst may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let today = darkmux::model::Day::of(jiff::Timestamp::now());
    let stream = format!("/flow/{today}/stream");
    let bare = machine.path().join("bare.jsonl");
    let ours = machine.day_file(&today.to_string());
    for path in [&bare, &ours] {
        File::create(path).expect("a day's file");
    }
    let limit = sse_limit::serve(bare.clone());
    let daemon = machine.daemon();
    let clock = Instant::now();
    let contestants: [(u16, &str, PathBuf); 2] = [(limit, "/", bare), (daemon.port, &stream, ours)];

    let mut table = Table::new("Event streams from the day's file");
    for _ in 0..setup.rounds {
        for &(clients, records, rate, paced) in LOADS {
            let of = |&(port, path, ref file): &(u16, &str, PathBuf)| {
                let mut clients = Clients::connect(port, path, clients, clock);
                let speed = clients.burst(file, records);
                let times = clients.paced(file, rate, paced);
                (speed, times)
            };
            let [(limit, mut limits), (figure, mut figures)] = contestants.each_ref().map(of);
            let goal = if clients == 100 { Want::AtLeast(0.25) } else { Want::Nothing };
            table.pair(&format!("burst, {clients} clients"), "1/s", goal, (limit, figure));
            for (name, share) in [("median", 0.5), ("99 of 100", 0.99)] {
                let pair = (quantile(&mut limits, share), quantile(&mut figures, share));
                let what = format!("paced at {rate}/s, {clients} clients, {name}");
                table.pair(&what, "µs", Want::Nothing, pair);
            }
        }
    }
    table.print();
}

/// One line of a record written now.
fn record(clock: Instant, out: &mut Vec<u8>) {
    let begin = out.len();
    let written = clock.elapsed().as_nanos();
    let _ = write!(
        out,
        r#"{{"ts":"2026-01-02T03:04:05Z","level":"info","category":"work","tier":"local","stage":"dispatch","action":"note","handle":"~{written:020}","payload":{{"text":""#
    );
    out.resize(begin + LINE - 4, b'x');
    out.extend_from_slice(b"\"}}\n");
}

/// Open streams.
struct Clients {
    sockets: Vec<TcpStream>,
    epoll: std::os::fd::OwnedFd,
    buffer: Vec<u8>,
    clock: Instant,
}

impl Clients {
    fn connect(port: u16, path: &str, count: usize, clock: Instant) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let mut sockets = Vec::new();
        for number in 0..count {
            let mut socket = ask(port, path).expect("a connection");
            let (head, _) = read_head(&mut socket).expect("an answer");
            assert!(head.starts_with("HTTP/1.1 200"), "client {number}: {head}");
            socket.set_nonblocking(true).expect("a socket");
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN).expect("epoll");
            sockets.push(socket);
        }
        let mut clients = Self { sockets, epoll, buffer: vec![0; READ], clock };
        // What follows the heads, such as a first comment.
        clients.pump(Duration::from_millis(300), |_| true);
        clients
    }

    /// Hands on what comes until `more` says no or nothing came for a while.
    fn pump(&mut self, quiet: Duration, mut more: impl FnMut(&[u8]) -> bool) {
        let timeout = rustix::event::Timespec::try_from(quiet).expect("a short time");
        let mut events = Vec::with_capacity(128);
        loop {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))
                .expect("epoll");
            if events.is_empty() {
                return;
            }
            for event in &events {
                let at = usize::try_from(event.data.u64()).expect("a small number");
                let count = self.sockets[at].read(&mut self.buffer).expect("the stream goes on");
                assert!(count > 0, "the server closed the stream of client {at}");
                if !more(&self.buffer[..count]) {
                    return;
                }
            }
        }
    }

    /// Appends records as fast as it goes; returns deliveries a second.
    fn burst(&mut self, file: &Path, records: u64) -> f64 {
        let wanted = records * self.sockets.len() as u64;
        let clock = self.clock;
        let mut seen = 0;
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut file = appending(file);
                let mut batch = Vec::new();
                for _ in 0..records / BATCH {
                    batch.clear();
                    (0..BATCH).for_each(|_| record(clock, &mut batch));
                    file.write_all(&batch).expect("room for the records");
                }
                batch.clear();
                (0..records % BATCH).for_each(|_| record(clock, &mut batch));
                file.write_all(&batch).expect("room for the records");
            });
            self.pump(PATIENCE, |bytes| {
                seen += memchr_iter(b'~', bytes).count() as u64;
                seen < wanted
            });
        });
        assert_eq!(seen, wanted, "records that came, and those that were written");
        seen as f64 / begun.elapsed().as_secs_f64()
    }

    /// Appends one record at a time; returns how long each took to each client.
    fn paced(&mut self, file: &Path, rate: u32, records: u32) -> Vec<Duration> {
        let wanted = records as usize * self.sockets.len();
        let clock = self.clock;
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut file = appending(file);
                let mut line = Vec::new();
                for _ in 0..records {
                    std::thread::sleep(Duration::from_secs(1) / rate);
                    line.clear();
                    record(clock, &mut line);
                    file.write_all(&line).expect("room for the records");
                }
            });
            self.pump(PATIENCE, |bytes| {
                let mut rest = bytes;
                while let Some(at) = memchr(b'~', rest) {
                    rest = &rest[at + 1..];
                    // One that is cut by the end of the buffer only counts.
                    let stamp = rest.get(..20).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                    times
                        .push(stamp.map(|stamp| clock.elapsed().saturating_sub(Duration::from_nanos(stamp))));
                }
                times.len() < wanted
            });
        });
        assert_eq!(times.len(), wanted, "records that came, and those that were written");
        times.into_iter().flatten().collect()
    }
}

fn appending(file: &Path) -> File {
    OpenOptions::new().append(true).open(file).expect("the day's file")
}
