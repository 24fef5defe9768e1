//! Event streams: records that are appended to today's file, to 1, 10 and 100 clients, or added to the fleet's
//! flow in Redis, to 100 and 1000.
//!
//! The [limit](crate::sse_limit) is one thread that reads the growing file, or the stream in Redis, frames each
//! record once and writes the same bytes to every socket. In a burst the records are added as fast as the disk's
//! cache or Redis takes them, and all of them must reach every client. Paced, one is added at a time, and what
//! counts is the time from before its `write` or `XADD` to the client that sees it.
//!
//! Every record carries a `^` and the time it was written at; the client counts the one and reads the other.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use memchr::{memchr, memchr_iter};
use rustix::event::epoll;

use crate::Setup;
use crate::broker::{Broker, Wire};
use crate::http::{READ, ask, read_head};
use crate::machine::{Daemon, Machine, memory};
use crate::sse_limit::{self, Source};
use crate::table::{Table, Want, quantile};

/// Clients, records of a burst, records a second and in all when paced, and what the ratios should be.
struct Load {
    clients: usize,
    burst: u64,
    rate: u32,
    paced: u32,
    want: (Want, Want),
}

const fn load(clients: usize, burst: u64, (rate, paced): (u32, u32), want: (Want, Want)) -> Load {
    Load { clients, burst, rate, paced, want }
}

const FROM_FILE: &[Load] = &[
    load(1, 60_000, (200, 300), (Want::Nothing, Want::Nothing)),
    load(10, 40_000, (200, 300), (Want::Nothing, Want::Nothing)),
    load(100, 20_000, (100, 150), (Want::AtLeast(0.25), Want::Nothing)),
];

const FROM_REDIS: &[Load] = &[
    load(100, 20_000, (100, 300), (Want::AtLeast(0.5), Want::AtMost(1.25))),
    load(1000, 4_000, (20, 60), (Want::AtLeast(0.5), Want::AtMost(1.5))),
];

/// Streams that the daemon may have open.
const STREAMS: &str = "2000";

/// Most memory that a client should cost, in KiB.
const CLIENT_KIB: f64 = 10.0;

/// Stands in each record once, and in no id.
const MARK: u8 = b'^';

/// Length of a record, with its end.
const LINE: usize = 256;

/// Records that are added at a time in a burst.
const BATCH: u64 = 64;

/// How long a burst may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a contestant listens, and where its records are added.
struct Contestant {
    port: u16,
    path: String,
    feed: Feed,
}

/// Measures streams of the day's file and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let today = darkmux::model::Day::of(jiff::Timestamp::now());
    let bare = machine.path().join("bare.jsonl");
    let ours = machine.day_file(&today.to_string());
    for path in [&bare, &ours] {
        File::create(path).expect("a day's file");
    }
    let limit = sse_limit::serve(Source::file(&bare));
    let daemon = machine.daemon();
    let contestants = [
        Contestant { port: limit, path: "/".to_owned(), feed: Feed::File(bare) },
        Contestant { port: daemon.port, path: format!("/flow/{today}/stream"), feed: Feed::File(ours) },
    ];
    let mut table = Table::new("Event streams from the day's file");
    for _ in 0..setup.rounds {
        compare(&contestants, FROM_FILE, &mut table);
    }
    table.print();
}

/// Measures streams of the fleet's flow and prints.
pub fn run_redis(setup: &Setup) {
    let broker = Broker::start();
    let limit = sse_limit::serve(Source::stream(broker.wire(), "bare"));
    let feed = |key| Feed::Redis { port: broker.port, key };
    let mut table = Table::new("Event streams from Redis");
    let started = || {
        let machine = Machine::new(setup)
            .with("DARKMUX_REDIS_URL", broker.url())
            .with("DARKMUX_SERVE_STREAMS", STREAMS);
        let daemon = machine.daemon();
        (machine, daemon)
    };
    let today = darkmux::model::Day::of(jiff::Timestamp::now());
    let path = format!("/flow/{today}/stream");
    for _ in 0..setup.rounds {
        for load in FROM_REDIS {
            let (_machine, daemon) = started();
            let kib = memory_a_client(&daemon, &path, &feed("darkmux:flow"), load.clients);
            let what = format!("memory a client, {} clients", load.clients);
            table.figure(&what, "KiB", Want::AtMost(CLIENT_KIB), kib);
        }
        let (_machine, daemon) = started();
        let contestants = [
            Contestant { port: limit, path: "/".to_owned(), feed: feed("bare") },
            Contestant { port: daemon.port, path: path.clone(), feed: feed("darkmux:flow") },
        ];
        compare(&contestants, FROM_REDIS, &mut table);
    }
    table.print();
}

fn compare(contestants: &[Contestant; 2], loads: &[Load], table: &mut Table) {
    let clock = Instant::now();
    for load in loads {
        let of = |it: &Contestant| {
            let mut clients = Clients::connect(it.port, &it.path, load.clients, clock);
            let speed = clients.burst(&it.feed, load.burst);
            let times = clients.paced(&it.feed, load.rate, load.paced);
            (speed, times)
        };
        let [(limit, mut limits), (figure, mut figures)] = contestants.each_ref().map(of);
        let (clients, rate) = (load.clients, load.rate);
        table.pair(&format!("burst, {clients} clients"), "1/s", load.want.0, (limit, figure));
        for (name, share, want) in [("median", 0.5, load.want.1), ("99 of 100", 0.99, Want::Nothing)] {
            let pair = (quantile(&mut limits, share), quantile(&mut figures, share));
            table.pair(&format!("paced at {rate}/s, {clients} clients, {name}"), "µs", want, pair);
        }
    }
}

/// What the daemon takes more with so many clients that have got one record, for each of them.
fn memory_a_client(daemon: &Daemon, path: &str, feed: &Feed, count: usize) -> f64 {
    let clock = Instant::now();
    let rss = || memory(daemon.pid()).get("Rss").copied().unwrap_or(f64::NAN) * 1024.0;
    let mut first = Clients::connect(daemon.port, path, 1, clock);
    first.burst(feed, 1);
    let before = rss();
    let mut clients = Clients::connect(daemon.port, path, count, clock);
    clients.burst(feed, 1);
    (rss() - before) / count as f64
}

/// Where records are added.
enum Feed {
    File(PathBuf),
    Redis { port: u16, key: &'static str },
}

/// A feed, opened.
enum Writer {
    File(File),
    Redis { wire: Wire, key: &'static str },
}

impl Feed {
    fn open(&self) -> Writer {
        match self {
            Self::File(path) => {
                Writer::File(OpenOptions::new().append(true).open(path).expect("the day's file"))
            }
            Self::Redis { port, key } => Writer::Redis { wire: Wire::connect(*port), key },
        }
    }
}

impl Writer {
    /// Adds lines with their ends, in one write.
    fn add(&mut self, lines: &[u8]) {
        match self {
            Self::File(file) => file.write_all(lines).expect("room for the records"),
            Self::Redis { wire, key } => {
                for line in lines.chunks(LINE) {
                    let record = &line[..line.len() - 1];
                    wire.put(&[b"XADD", key.as_bytes(), b"*", b"schema", b"1.14.0", b"record", record]);
                }
                wire.flush();
                for _ in lines.chunks(LINE) {
                    wire.reply();
                }
            }
        }
    }
}

/// One line of a record written now.
fn record(clock: Instant, out: &mut Vec<u8>) {
    let begin = out.len();
    let written = clock.elapsed().as_nanos();
    let _ = write!(
        out,
        r#"{{"ts":"2026-01-02T03:04:05Z","level":"info","category":"work","tier":"local","stage":"dispatch","action":"note","handle":"^{written:020}","payload":{{"text":""#
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

    /// Adds records as fast as it goes; returns deliveries a second.
    fn burst(&mut self, feed: &Feed, records: u64) -> f64 {
        let wanted = records * self.sockets.len() as u64;
        let clock = self.clock;
        let mut seen = 0;
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = feed.open();
                let mut batch = Vec::new();
                let mut left = records;
                while left > 0 {
                    batch.clear();
                    (0..left.min(BATCH)).for_each(|_| record(clock, &mut batch));
                    writer.add(&batch);
                    left -= left.min(BATCH);
                }
            });
            self.pump(PATIENCE, |bytes| {
                seen += memchr_iter(MARK, bytes).count() as u64;
                seen < wanted
            });
        });
        assert_eq!(seen, wanted, "records that came, and those that were written");
        seen as f64 / begun.elapsed().as_secs_f64()
    }

    /// Adds one record at a time; returns how long each took to each client.
    fn paced(&mut self, feed: &Feed, rate: u32, records: u32) -> Vec<Duration> {
        let wanted = records as usize * self.sockets.len();
        let clock = self.clock;
        let mut times = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = feed.open();
                let mut line = Vec::new();
                for _ in 0..records {
                    std::thread::sleep(Duration::from_secs(1) / rate);
                    line.clear();
                    record(clock, &mut line);
                    writer.add(&line);
                }
            });
            self.pump(PATIENCE, |bytes| {
                let mut rest = bytes;
                while let Some(at) = memchr(MARK, rest) {
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
