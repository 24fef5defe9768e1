//! Machines that vanish without a word, in a network of its own in which the kernel drops what they say. Linux only.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::discovery_door::in_a_network;
use crate::http_raw::Answer;
use crate::support::api::{data, refusal};
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::{api::Api, describe, wait_for};

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("`ip` of iproute2 runs");
    assert!(output.status.success(), "ip {args:?}: {}", describe(&output));
}

/// A network whose own addresses are looked up after our rule.
fn make_network() {
    ip(&["link", "set", "lo", "up"]);
    ip(&["rule", "add", "pref", "20", "lookup", "local"]);
    ip(&["rule", "del", "pref", "0"]);
}

/// From now on nothing that is sent from this port arrives, and nobody is told.
fn drop_all_from(port: u16) {
    ip(&["rule", "add", "pref", "10", "ipproto", "tcp", "sport", &port.to_string(), "blackhole"]);
}

#[test]
fn a_machine_that_vanishes_is_noticed_within_a_minute() {
    in_a_network("peer_network::vanishes");
}

/// P8: the link to it is given up, what is asked of it has an answer in time, nobody else waits, and it comes back.
#[test]
#[ignore = "run by a_machine_that_vanishes_is_noticed_within_a_minute, in a network of its own"]
fn vanishes() {
    make_network();
    let (gone, other) = (Api::of(machine("gone")), Api::of(machine("other")));
    let (lost, kept) = (gone.launch(&["cat"]), other.launch(&["cat"]));
    let hub = hub("hub", &[PeerLine::of("gone", &gone), PeerLine::of("other", &other)]);
    let (lost, kept) = (format!("{lost}@gone"), format!("{kept}@other"));
    hub.shows(&[&lost, &kept]);
    let (port, token) = (hub.daemon.port, hub.token.clone());
    let waiting = {
        let path = format!("/v1/sessions/{lost}/wait?for=exit&timeout=3600");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(110))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    // Asked after it, and answered from there: that is on its way, too.
    data(&hub.act(&lost, "read"));
    drop_all_from(gone.daemon.port);
    let began = Instant::now();
    let answer = hub.act(&lost, "read");
    assert_eq!(refusal(&answer), (502, "peer_unavailable".to_owned()));
    assert!(answer.text().contains("connection timed out"), "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // Its heartbeats came every so often until then: a minute after the last of them at most.
    let why = loop {
        let asked = Instant::now();
        data(&hub.act(&kept, "read"));
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let peer = hub.peer("gone");
        if peer["status"] != "connected" {
            break peer["last_error"].clone();
        }
        assert!(began.elapsed() < Duration::from_secs(65), "{peer}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(why, "no data received");
    assert!(hub.session(&lost)["disconnected_since"].is_string());
    assert_eq!(hub.peer("other")["status"], "connected");
    hub.shows(&[&lost, &kept]);
    // So is a wait of an hour that was on its way: the machine's kernel confirms no more that it is there.
    let mut answer = Vec::new();
    (&waiting).read_to_end(&mut answer).expect("the wait ends");
    let answer = Answer::parse(&answer).expect("an answer");
    assert_eq!(refusal(&answer), (502, "peer_unavailable".to_owned()));
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    // Tries to connect end in time, too.
    hub.peer_says("gone", "connection timed out");
    ip(&["rule", "del", "pref", "10"]);
    hub.peer_is("gone", "connected");
    wait_for("the mark to go", || hub.session(&lost).get("disconnected_since").is_none().then_some(()));
    data(&hub.act(&lost, "kill"));
}
