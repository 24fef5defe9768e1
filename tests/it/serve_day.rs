//! A day as an array, as its file, in the list; with a file that has everything wrong.

use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crate::http_raw::{Answer, ask, get};
use crate::support::{Daemon, Home, RedisServer, wait_for};

const DAY: &str = "2026-11-20";

/// Memory of a process, in KiB.
fn rss(pid: i64) -> u64 {
    let output =
        std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of KiB")
}

fn flows(home: &Home) -> std::path::PathBuf {
    let flows = home.darkmux().join("flows");
    std::fs::create_dir_all(&flows).unwrap();
    flows
}

/// So many records between bad lines; returns how many lines are bad.
fn write_large_day(path: &Path, records: u64) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let pad = "p".repeat(150);
    let third = records / 3;
    let mut bad = 0;
    out.write_all(b"{\"_type\":\"schema\",\"darkmux_version\":\"0.1.0\",\"version\":\"1.14.0\"}\n").unwrap();
    for n in 0..records {
        let end = if n % 1000 == 0 { "\r\n" } else { "\n" };
        write!(
            out,
            "{{\"ts\":\"2026-11-20T00:00:00Z\",\"level\":\"info\",\"category\":\"work\",\"tier\":\"local\",\
             \"stage\":\"dispatch\",\"action\":\"dispatch.tool\",\"handle\":\"coder\",\"session_id\":\"s-1\",\
             \"payload\":{{\"n\":{n},\"pad\":\"{pad}\"}}}}{end}"
        )
        .unwrap();
        if n == third {
            out.write_all(&vec![b'y'; 2 * 1024 * 1024]).unwrap();
            out.write_all(b"\n{\"handle\":\"\xff\xfe\"}\nnot json\n[1,2]\n{\"torn\":\n").unwrap();
            bad += 5;
        }
    }
    out.write_all(b"{\"ts\":\"2026-11-20T23:59:59Z\",\"torn\":tr").unwrap();
    out.flush().unwrap();
    bad + 1
}

/// Asks and goes through the body without keeping it.
fn for_each_byte(port: u16, path: &str, mut each: impl FnMut(&[u8])) -> String {
    let mut socket = crate::http_raw::connect(port);
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut buffer = vec![0; 1 << 18];
    loop {
        match retry(|| socket.read(&mut buffer)) {
            0 => return String::from_utf8(head).unwrap(),
            count => each(&buffer[..count]),
        }
    }
}

/// A read with a time limit may be interrupted.
fn retry(mut read: impl FnMut() -> std::io::Result<usize>) -> usize {
    loop {
        match read() {
            Ok(count) => return count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Checks that the records' numbers come in order, whatever stands around them and wherever a read ends.
#[derive(Default)]
struct Numbers {
    next: u64,
    rest: Vec<u8>,
}

impl Numbers {
    fn see(&mut self, part: &[u8]) {
        self.rest.extend_from_slice(part);
        let mut used = 0;
        while let Some(found) = memchr::memmem::find(&self.rest[used..], b"\"n\":") {
            let digits = used + found + 4;
            let Some(end) = memchr::memchr(b',', &self.rest[digits..]) else { break };
            let number = std::str::from_utf8(&self.rest[digits..digits + end]).unwrap();
            assert_eq!(number.parse(), Ok(self.next));
            self.next += 1;
            used = digits + end;
        }
        // The mark itself may be cut.
        let keep = self.rest.len().saturating_sub(64).max(used);
        self.rest.drain(..keep);
    }
}

#[test]
fn a_huge_day_among_bad_lines_is_served_in_bounded_memory() {
    const RECORDS: u64 = 300_000;
    let home = Home::new();
    let path = flows(&home).join(format!("{DAY}.jsonl"));
    let bad = write_large_day(&path, RECORDS);
    let size = std::fs::metadata(&path).unwrap().len();
    let daemon = Daemon::start(&home);
    assert_eq!(get(daemon.port, "/health").status, 200);
    let idle = rss(daemon.process.pid());
    let bounded = |what: &str| {
        let now = rss(daemon.process.pid());
        assert!(now <= idle + 16 * 1024, "{what}: {idle} KiB idle, {now} KiB now");
    };

    let mut bytes = 0;
    for_each_byte(daemon.port, &format!("/flow/{DAY}.jsonl"), |part| bytes += part.len() as u64);
    assert_eq!(bytes, size);
    bounded("the file");

    let mut records = Numbers::default();
    let head = for_each_byte(daemon.port, &format!("/flow/{DAY}"), |part| records.see(part));
    assert_eq!(records.next, RECORDS);
    assert!(head.contains(&format!("darkmux-position: {DAY}:")), "{head}");
    bounded("the array");

    let mut records = Numbers::default();
    let mut stream = crate::http_raw::connect(daemon.port);
    let url = format!("/flow/{DAY}/stream?from={DAY}:0");
    write!(stream, "GET {url} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", daemon.port).unwrap();
    let mut buffer = vec![0; 1 << 18];
    while records.next < RECORDS {
        let count = retry(|| stream.read(&mut buffer));
        assert!(count > 0, "the stream ended after {}", records.next);
        records.see(&buffer[..count]);
    }
    bounded("the stream");

    let days = get(daemon.port, "/flow-days").json();
    assert_eq!(days["days"][0]["records"], RECORDS);
    assert_eq!(days["days"][0]["bad"], bad);
    assert_eq!(days["days"][0]["bytes"], size);
    bounded("the list of days");

    let newest = get(daemon.port, &format!("/flow/{DAY}?limit=2")).json();
    assert_eq!(newest.as_array().unwrap().len(), 2);
    assert_eq!(newest[1]["payload"]["n"], RECORDS - 1);
}

#[test]
fn a_day_is_an_array_with_the_place_where_its_stream_goes_on() {
    let home = Home::new();
    let path = flows(&home).join(format!("{DAY}.jsonl"));
    let text = "{\"_type\":\"schema\"}\n{\"n\":1}\n{\"b\":2,\"a\":1}\r\nbad\n{\"n\":3}\n{\"torn\"";
    std::fs::write(&path, text).unwrap();
    let daemon = Daemon::start(&home);
    let whole = get(daemon.port, &format!("/flow/{DAY}"));
    assert_eq!(whole.text(), r#"[{"n":1},{"b":2,"a":1},{"n":3}]"#, "verbatim, valid records only");
    assert_eq!(whole.header("content-type"), Some("application/json"));
    let end = text.len() - "{\"torn\"".len();
    assert_eq!(whole.header("darkmux-position"), Some(format!("{DAY}:{end:012}").as_str()));
    assert_eq!(get(daemon.port, &format!("/flow/{DAY}?limit=2")).text(), r#"[{"b":2,"a":1},{"n":3}]"#);
    assert_eq!(get(daemon.port, &format!("/flow/{DAY}?limit=0")).text(), "[]");
    assert_eq!(get(daemon.port, &format!("/flow/{DAY}?limit=x")).json()["error"]["code"], "bad_limit");
    assert_eq!(get(daemon.port, "/flow/2026-11-19").text(), "[]");
    assert_eq!(get(daemon.port, "/flow/2026-13-01").json()["error"]["code"], "bad_date");
}

#[test]
fn the_file_is_served_as_it_is_in_whole_and_in_part() {
    let home = Home::new();
    let path = flows(&home).join(format!("{DAY}.jsonl"));
    std::fs::write(&path, "0123456789").unwrap();
    let daemon = Daemon::start(&home);
    let url = format!("/flow/{DAY}.jsonl");
    let whole = get(daemon.port, &url);
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    let tag = whole.header("etag").unwrap().to_owned();
    let head = ask(daemon.port, "HEAD", &url, &[]);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("10"), 0));
    let part = |range: &str, more: &str| -> Answer { ask(daemon.port, "GET", &url, &[range, more]) };
    let some = part("Range: bytes=2-4", "X: y");
    assert_eq!((some.status, some.text().as_str()), (206, "234"));
    assert_eq!(some.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(part("Range: bytes=-3", &format!("If-Range: {tag}")).text(), "789");
    assert_eq!(part("Range: bytes=-3", "If-Range: \"other\"").status, 200);
    let none = part("Range: bytes=10-", "X: y");
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
    assert_eq!(get(daemon.port, "/flow/2026-11-19.jsonl").json()["error"]["code"], "not_found");
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_the_answer_and_not_the_daemon() {
    let home = Home::new();
    let path = flows(&home).join(format!("{DAY}.jsonl"));
    write_large_day(&path, 100_000);
    let daemon = Daemon::start(&home);
    let mut cut = false;
    let mut bytes = 0;
    for_each_byte(daemon.port, &format!("/flow/{DAY}.jsonl"), |part| {
        bytes += part.len() as u64;
        if !cut {
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
            cut = true;
        }
    });
    assert!(bytes < 20_000_000, "{bytes}");
    wait_for("an answer", || (get(daemon.port, "/health").status == 200).then_some(()));
}

#[test]
fn the_list_of_days_names_those_on_which_only_others_wrote() {
    let redis = RedisServer::start();
    let record = |ts: &str| {
        format!(
            r#"{{"ts":"{ts}","level":"info","category":"work","tier":"operator","stage":"scope","action":"note","handle":"of the studio","machine_id":"studio"}}"#
        )
    };
    // The last one was shipped on the day after.
    for (id, ts) in [
        ("1767344400000-0", "2026-01-02T09:00:00Z"),
        ("1767517200000-0", "2026-01-04T09:00:00Z"),
        ("1767607200000-0", "2026-01-04T23:59:59Z"),
    ] {
        redis.cli(&["XADD", "darkmux:flow", id, "schema", "1.14.0", "record", &record(ts)]);
    }
    let home = Home::new().with("DARKMUX_REDIS_URL", redis.url()).with("DARKMUX_RUNNER", "false");
    let flows = flows(&home);
    for date in ["2026-01-02", "2026-01-03"] {
        std::fs::write(flows.join(format!("{date}.jsonl")), record(&format!("{date}T10:00:00Z")) + "\n")
            .unwrap();
    }
    let daemon = Daemon::start(&home);
    let days = || -> Vec<(String, u64)> {
        let answer = get(daemon.port, "/flow-days").json();
        let days = answer["days"].as_array().unwrap().iter();
        let old = days.filter(|day| day["date"].as_str().unwrap() < "2026-02");
        old.map(|day| (day["date"].as_str().unwrap().to_owned(), day["records"].as_u64().unwrap())).collect()
    };
    // Its own days may be in the stream by now, so only a day of others tells that it was looked at.
    wait_for("the days of others", || days().iter().any(|(date, _)| date == "2026-01-04").then_some(()));
    let expected = [("2026-01-04", 0), ("2026-01-03", 1), ("2026-01-02", 1)];
    assert_eq!(days(), expected.map(|(date, records)| (date.to_owned(), records)));
    let answer = get(daemon.port, "/flow-days").json();
    assert!(
        answer["days"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|day| day["date"] != "2026-01-03")
            .all(|day| day["date"].as_str().unwrap() > "2026-02" || day["fleet"] == true)
    );
    let theirs = get(daemon.port, "/flow/2026-01-04").json();
    assert_eq!(theirs.as_array().unwrap().len(), 2, "{theirs}");
}
