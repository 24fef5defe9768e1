//! Event streams under clients that behave badly, or are many.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

use crate::http_raw::{Events, connect, get};
use crate::support::{Daemon, Home, PATIENCE, wait_for};

fn today() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%F"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A home whose daemon has so many streams, and today's file.
struct Place {
    home: Home,
    day: String,
    file: PathBuf,
}

impl Place {
    fn new(streams: usize) -> Self {
        let home = Home::new().with("DARKMUX_SERVE_STREAMS", streams.to_string());
        let day = today();
        let dir = home.darkmux().join("flows");
        std::fs::create_dir_all(&dir).unwrap();
        Self { file: dir.join(format!("{day}.jsonl")), home, day }
    }

    fn path(&self) -> String {
        format!("/flow/{}/stream", self.day)
    }

    fn append(&self, numbers: std::ops::Range<u64>, pad: usize) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.file).unwrap();
        for n in numbers {
            writeln!(file, "{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(pad)).unwrap();
        }
    }

    /// Asks on a socket of its own; the answer is not read.
    fn ask(&self, daemon: &Daemon, before: &str, after: &str) -> TcpStream {
        let mut socket = connect(daemon.port);
        let (path, port) = (self.path(), daemon.port);
        write!(socket, "{before}GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n{after}").unwrap();
        socket
    }
}

/// Reads until this text has come; everything that came.
fn until(socket: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut looked: usize = 0;
    let deadline = Instant::now() + PATIENCE * 3;
    while memchr::memmem::find(&all[looked..], text.as_bytes()).is_none() {
        // It may have come in two parts.
        looked = all.len().saturating_sub(text.len());
        let count = socket.read(&mut buffer).unwrap();
        assert!(Instant::now() < deadline, "{text} did not come");
        assert!(count > 0, "it ended without {text}: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(all).unwrap()
}

fn ended(socket: &mut TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_head_of_a_stream_takes_no_place_and_keeps_the_connection() {
    let place = Place::new(1);
    let daemon = Daemon::start(&place.home);
    let mut socket = connect(daemon.port);
    let line = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", daemon.port)
    };
    for _ in 0..3 {
        socket.write_all(line("HEAD", &place.path()).as_bytes()).unwrap();
        let head = until(&mut socket, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
    }
    socket.write_all(line("GET", &place.path()).as_bytes()).unwrap();
    let head = until(&mut socket, "id: ");
    let lower = head.to_lowercase();
    for header in ["content-security-policy: ", "cache-control: no-store", "date: ", "connection: close"] {
        assert_eq!(lower.matches(header).count(), 1, "{header} in {head}");
    }
    // Of the version before, as some tools ask.
    drop(socket);
    let mut old = wait_for("the place to be free", || {
        let mut old = connect(daemon.port);
        write!(old, "GET {} HTTP/1.0\r\nHost: localhost:{}\r\n\r\n", place.path(), daemon.port).unwrap();
        let mut status = [0; 12];
        old.read_exact(&mut status).unwrap();
        (&status == b"HTTP/1.1 200").then_some(old)
    });
    until(&mut old, "\r\n\r\n:\n\nid: ");
    place.append(0..1, 1);
    until(&mut old, "{\"n\":0,\"pad\":\"x\"}\n\n");
}

#[test]
fn what_was_asked_before_is_answered_first_and_what_is_sent_after_is_thrown_away() {
    let place = Place::new(4);
    place.append(0..20_000, 1000);
    let daemon = Daemon::start(&place.home);
    let file = std::fs::read(&place.file).unwrap();
    // 20 MB that the socket does not take at once, then the stream in the same breath.
    let first = format!("GET /flow/{}.jsonl HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", place.day, daemon.port);
    let mut socket = place.ask(&daemon, &first, "GET /health HTTP/1.1\r\n\r\n");
    let seen = until(&mut socket, "\nid: ");
    let (_, rest) = seen.split_once("\r\n\r\n").unwrap();
    assert!(rest.as_bytes().starts_with(&file), "the file is whole");
    let stream = &rest[file.len()..];
    assert!(stream.starts_with("HTTP/1.1 200 OK\r\n"), "{}", &stream[..stream.len().min(100)]);
    place.append(20_000..20_001, 1);
    let more = until(&mut socket, "\"n\":20000");
    assert!(!more.contains("HTTP/1.1"), "{more}");
    // Nobody sends a stream's worth of bytes to a stream.
    let mut loud = place.ask(&daemon, "", &"x".repeat(100_000));
    ended(&mut loud);
}

#[test]
fn clients_that_leave_reset_or_end_their_side_free_their_places_at_once() {
    let place = Place::new(3);
    let daemon = Daemon::start(&place.home);
    let mut stays = Events::open(daemon.port, &place.path(), &[]);
    let mut next = 0;
    for round in 0..12 {
        let mut socket = wait_for("a place", || {
            let mut socket = place.ask(&daemon, "", "");
            let mut status = [0; 12];
            socket.read_exact(&mut status).unwrap();
            (&status == b"HTTP/1.1 200").then_some(socket)
        });
        until(&mut socket, "\nid: ");
        if round % 2 == 0 {
            // In the middle of what it does not read.
            place.append(next..next + 2000, 1000);
            next += 2000;
        }
        match round % 3 {
            0 => drop(socket),
            1 => {
                socket.shutdown(Shutdown::Write).unwrap();
                ended(&mut socket);
            }
            _ => {
                // With unread bytes in it, or told to: a reset.
                let now = rustix::net::sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO));
                now.unwrap();
                drop(socket);
            }
        }
    }
    let seen = stays.next(usize::try_from(next).unwrap());
    for (n, event) in seen.iter().enumerate() {
        assert!(event.data.starts_with(&format!("{{\"n\":{n},")), "{}: {}", n, event.data);
    }
    wait_for("all places but one", || {
        let mut two: Vec<TcpStream> = (0..2).map(|_| place.ask(&daemon, "", "")).collect();
        let all = two.iter_mut().all(|socket| {
            let mut status = [0; 12];
            socket.read_exact(&mut status).unwrap();
            &status == b"HTTP/1.1 200"
        });
        all.then_some(())
    });
}

#[test]
fn a_client_that_never_reads_is_let_go_and_holds_up_nobody() {
    let place = Place::new(2);
    let daemon = Daemon::start(&place.home);
    let deaf = place.ask(&daemon, "", "");
    let mut quick = Events::open(daemon.port, &place.path(), &[]);
    // More than two sockets hold.
    place.append(0..20_000, 1000);
    assert_eq!(quick.next(20_000).len(), 20_000);
    assert_eq!(get(daemon.port, &place.path()).status, 503, "it is still waited for");
    let mut next = wait_for("its place", || {
        let mut next = place.ask(&daemon, "", "");
        let mut status = [0; 12];
        next.read_exact(&mut status).unwrap();
        (&status == b"HTTP/1.1 200").then_some(next)
    });
    drop(deaf);
    until(&mut next, "\nid: ");
    place.append(20_000..20_001, 1);
    until(&mut next, "\"n\":20000,");
    assert_eq!(quick.next(1).len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_clients_cost_little_and_leave_nothing_behind() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CLIENTS: usize = 1000;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(8192, |most| most.min(8192));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }).unwrap();

    let place = Place::new(CLIENTS + 8);
    let daemon = Daemon::start(&place.home);
    let pid = daemon.process.pid();
    let fds = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let rss = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    // One after the other: of those that come at once, the heap keeps what the library had for their heads.
    let come = || {
        let mut socket = place.ask(&daemon, "", "");
        until(&mut socket, "\nid: ");
        socket
    };
    let open = |count: usize| -> Vec<TcpStream> { std::iter::repeat_with(come).take(count).collect() };
    let mut one = open(1);
    place.append(0..1, 1);
    until(&mut one[0], "\"n\":0");
    let (first_fds, first_rss) = (fds(), rss());
    let mut with = Vec::new();
    for round in 1..=3 {
        let mut all = open(CLIENTS);
        place.append(round..round + 1, 1);
        let record = format!("\"n\":{round}");
        for socket in &mut all {
            until(socket, &record);
        }
        until(&mut one[0], &record);
        assert_eq!(fds(), first_fds + CLIENTS);
        with.push(rss());
        drop(all);
        wait_for("all to have left", || (fds() == first_fds).then_some(()));
    }
    // In a build for tests, whose tasks are several times those of a release.
    let each = (with[0] - first_rss) / CLIENTS;
    assert!(each <= 16, "{each} KiB a client: {first_rss} before, {with:?} with them");
    assert!(with[2] <= with[0] + 2 * CLIENTS, "what left is used again: {with:?}");
}
