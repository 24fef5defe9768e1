//! Requests that no browser of ours sends: refused, cut, and without harm to others.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::http_raw::{Answer, ask, connect, get, send};
use crate::support::{Daemon, Home, PATIENCE};

#[test]
fn paths_lead_nowhere_else() {
    let home = Home::new();
    let flows = home.darkmux().join("flows");
    std::fs::create_dir_all(&flows).unwrap();
    std::fs::write(home.path().join("secret"), "{\"secret\":1}\n").unwrap();
    std::os::unix::fs::symlink(home.path().join("secret"), flows.join("2026-11-01.jsonl")).unwrap();
    let daemon = Daemon::start(&home);
    for path in [
        "/flow/2026-11-01",
        "/flow/2026-11-01.jsonl",
        "/flow/..%2f..%2fsecret",
        "/flow/..",
        "/flow/%2e%2e",
        "/flow/2026-11-01%00.jsonl",
        "/flow/2026-02-30",
        "/flow/9999-99-99.jsonl",
        "/assets/../../secret",
        "/assets/%2e%2e/%2e%2e/secret",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/..%5c..%5cCargo.toml",
        "/assets//etc/passwd",
        "/assets/",
        "/play/2026-02-30",
        "/%00",
        "/flow/%ff",
        "/none",
    ] {
        let answer = get(daemon.port, path);
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.text().contains("secret\":1"), "{path}: {answer:?}");
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {answer:?}");
    }
    assert_eq!(get(daemon.port, "/flow/2026-11-01").json()["error"]["code"], "no_regular_file");
    let foreign =
        format!("GET http://evil.example/health HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", daemon.port);
    assert_eq!(Answer::parse(&send_closing(daemon.port, &foreign)).unwrap().status, 421);
}

/// As `send`, for a request that leaves the connection open.
fn send_closing(port: u16, request: &str) -> Vec<u8> {
    send(port, request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn half_a_request_is_cut_after_five_seconds() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let mut half = connect(daemon.port);
    write!(half, "GET /health HTTP/1.1\r\nHost: loc").unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = half.read_to_end(&mut rest);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    assert_eq!(get(daemon.port, "/health").status, 200);
}

#[test]
fn large_heads_and_bodies_are_refused() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let host = format!("Host: localhost:{}", daemon.port);
    let large = format!("GET /health HTTP/1.1\r\n{host}\r\nX: {}\r\n\r\n", "x".repeat(10 * 1024 * 1024));
    let answer = send(daemon.port, large.as_bytes());
    // What was refused before it was read may end in a reset.
    if !answer.is_empty() {
        assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    }
    let just_over = format!("GET /health HTTP/1.1\r\n{host}\r\nX: {}\r\n\r\n", "x".repeat(17 * 1024));
    assert!(send(daemon.port, just_over.as_bytes()).starts_with(b"HTTP/1.1 431"));

    // A body that never comes does not hold the connection.
    let announced = ask(daemon.port, "GET", "/health", &["Content-Length: 99999999999"]);
    assert_eq!(announced.status, 200);
    assert_eq!(get(daemon.port, "/health").status, 200);
}

#[test]
fn idle_connections_lock_nobody_out() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let mut idle = Vec::new();
    for n in 0..500 {
        let mut socket = connect(daemon.port);
        if n % 2 == 0 {
            write!(socket, "GET /health HT").unwrap();
        }
        idle.push(socket);
        if n % 50 == 0 {
            let began = Instant::now();
            assert_eq!(get(daemon.port, "/health").status, 200);
            assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
        }
    }
    assert_eq!(get(daemon.port, "/health").status, 200);
    let mut closed = 0;
    for socket in &mut idle {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        closed += usize::from(matches!(socket.read(&mut [0; 16]), Ok(0)));
    }
    assert!((50..=400).contains(&closed), "{closed} of 500 made room");
}
