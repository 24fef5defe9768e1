//! `/v1/events`: everything that is there, then every change, for whoever comes, stays, or comes back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http_raw::{Event, Events, ask_socket, connect};
use crate::support::api::{Api, data};
use crate::support::{Home, PATIENCE, wait_for};

/// What somebody knows who reads the events.
#[derive(Default)]
struct Viewer {
    sessions: BTreeMap<String, Value>,
    last: String,
    snapshots: usize,
    seen: Vec<String>,
}

impl Viewer {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            let data: Value = serde_json::from_str(&event.data).expect("JSON on one line");
            assert_eq!(data["type"], event.name);
            if !event.id.is_empty() {
                self.last.clone_from(&event.id);
            }
            match event.name.as_str() {
                "session-upsert" => {
                    assert_eq!(data["id"], data["session"]["id"]);
                    self.sessions.insert(data["id"].as_str().unwrap().to_owned(), data["session"].clone());
                }
                "session-remove" => {
                    self.sessions.remove(data["id"].as_str().unwrap());
                }
                "session-snapshot" => {
                    self.snapshots += 1;
                    let ids: Vec<&str> =
                        data["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
                    self.sessions.retain(|id, _| ids.contains(&id.as_str()));
                    assert_eq!(ids.len(), self.sessions.len());
                }
                _ => {}
            }
            self.seen.push(event.name);
        }
    }

    fn read(&mut self, stream: &mut Events) {
        stream.fill();
        self.take(stream.take());
    }

    /// Reads until this holds.
    fn until(&mut self, stream: &mut Events, what: &str, holds: impl Fn(&Self) -> bool) {
        wait_for(what, || {
            self.read(stream);
            holds(self).then_some(())
        });
    }
}

fn states(viewer: &Viewer) -> BTreeMap<String, (bool, Value)> {
    let of = |session: &Value| (session["alive"] == true, session["exit_code"].clone());
    viewer.sessions.iter().map(|(id, session)| (id.clone(), of(session))).collect()
}

#[test]
fn whoever_comes_in_the_middle_misses_nothing() {
    let api = Api::start();
    let kept = api.launch(&["sleep", "60"]);
    let mut viewers: Vec<(Viewer, Events)> = Vec::new();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for number in 0..12 {
                let id = api.sh(&format!("exit {}", number % 4));
                if number % 3 == 0 {
                    data(&api.act(&id, "dismiss"));
                }
            }
        });
        while !busy.is_finished() {
            viewers.push((Viewer::default(), api.events(None)));
            for (viewer, stream) in &mut viewers {
                viewer.read(stream);
            }
        }
        busy.join().unwrap();
    });
    let truth = wait_for("all of them to end", || {
        let sessions = api.sessions();
        (sessions.iter().filter(|session| session["alive"] == true).count() == 1).then_some(sessions)
    });
    assert_eq!(truth.len(), 9);
    let expected: BTreeMap<String, Value> =
        truth.into_iter().map(|session| (session["id"].as_str().unwrap().to_owned(), session)).collect();
    assert!(viewers.len() > 3);
    for (viewer, stream) in &mut viewers {
        viewer.until(stream, "what the list says", |viewer| viewer.sessions == expected);
        assert_eq!(viewer.snapshots, 1);
    }
    assert!(expected[&kept]["alive"] == true);
}

#[test]
fn whoever_comes_back_gets_what_was_missed_and_nothing_else() {
    let mut api = Api::start();
    let [ends, stays, goes] = ["one", "two", "three"].map(|_| api.launch(&["cat"]));
    let mut viewer = Viewer::default();
    let mut stream = api.events(None);
    viewer.until(&mut stream, "the first part", |viewer| viewer.snapshots == 1);
    drop(stream);
    data(&api.act(&ends, "kill"));
    data(&api.act(&goes, "dismiss"));
    let begins = api.launch(&["cat"]);
    viewer.seen.clear();
    let mut stream = api.events(Some(&viewer.last));
    viewer.until(&mut stream, "what was missed", |viewer| {
        viewer.sessions.contains_key(&begins)
            && !viewer.sessions.contains_key(&goes)
            && viewer.sessions[&ends]["alive"] == false
    });
    assert_eq!(viewer.snapshots, 1, "only what was missed");
    assert!(!viewer.seen.is_empty() && viewer.seen.len() < 12, "{:?}", viewer.seen);

    // Another daemon's numbers say nothing: all is told again, and what is gone is among what is not there.
    drop(stream);
    data(&api.act(&stays, "dismiss"));
    api.again();
    let mut stream = api.events(Some(&viewer.last));
    viewer.until(&mut stream, "all of it again", |viewer| viewer.snapshots == 2);
    assert_eq!(viewer.sessions.keys().collect::<Vec<_>>().len(), 2);
    assert!(!viewer.sessions.contains_key(&stays));
    for garbage in ["x", "-1", "00000000-1", "99999999999999999999-1"] {
        let mut other = Viewer::default();
        let mut stream = api.events(Some(garbage));
        other.until(&mut stream, "the first part", |viewer| viewer.snapshots == 1);
        assert_eq!(states(&other), states(&viewer));
    }
}

#[test]
fn fifty_sessions_outlive_their_daemon() {
    let mut api = Api::start();
    let ids: Vec<String> =
        (0..50).map(|number| api.sh(&format!("seq {number} {}; exec cat", number + 200))).collect();
    for id in ids.iter().take(10) {
        data(&api.act(id, "kill"));
    }
    let dismissed = &ids[10];
    data(&api.act(dismissed, "dismiss"));
    let without_output = |api: &Api| -> Vec<Value> {
        let mut sessions = api.sessions();
        sessions.sort_by_key(|session| session["id"].to_string());
        sessions
    };
    wait_for("all folders to be read", || {
        api.sessions().iter().all(|session| session["cwd"] == "~").then_some(())
    });
    let before = without_output(&api);
    assert_eq!(before.len(), 49);
    let output = |api: &Api, id: &str| api.get(&format!("/v1/sessions/{id}/scrollback")).body;
    let shown: Vec<Vec<u8>> = ids[11..]
        .iter()
        .map(|id| {
            let last = format!("{}\r\n", id_number(&ids, id) + 200);
            wait_for("its output", || Some(output(&api, id)).filter(|bytes| bytes.ends_with(last.as_bytes())))
        })
        .collect();
    api.again();
    wait_for("all folders to be read", || {
        api.sessions().iter().all(|session| session["cwd"] == "~").then_some(())
    });
    assert_eq!(without_output(&api), before, "ids, titles, slugs, exit codes");
    for (id, shown) in ids[11..].iter().zip(shown) {
        assert_eq!(output(&api, id), shown);
    }
    for id in &ids[40..] {
        data(&api.type_in(id, "?submit=1", b"still here"));
        wait_for("an echo", || output(&api, id).ends_with(b"still here\r\n").then_some(()));
    }
    assert_eq!(api.get(&format!("/v1/sessions/{dismissed}")).status, 404, "it stays dismissed");
}

fn id_number(ids: &[String], id: &str) -> usize {
    ids.iter().position(|other| other == id).unwrap()
}

#[test]
fn what_nobody_told_the_daemon_is_found() {
    let api = Api::start();
    let mut viewer = Viewer::default();
    let mut stream = api.events(None);
    let id = api.home.ok(["crew", "dispatch", "shell", "-d", "-m", "sleep 60"]).trim().to_owned();
    viewer.until(&mut stream, "the session", |viewer| viewer.sessions.contains_key(&id));
    assert_eq!(viewer.sessions[&id]["role"], "shell");
    // Its host dies: nobody says so.
    let pid = api.home.json(["session", "ls", "--json"])["sessions"][0]["host_pid"].as_i64().unwrap();
    crate::support::signal(pid, "KILL");
    viewer.until(&mut stream, "its loss", |viewer| viewer.sessions[&id]["state"] == "lost");
    assert_eq!(viewer.sessions[&id]["status"]["label"], "lost");
    // Somebody deletes its folder.
    std::fs::remove_dir_all(api.home.darkmux().join("sessions").join(&id)).unwrap();
    viewer.until(&mut stream, "its removal", |viewer| viewer.sessions.is_empty());
    assert!(viewer.seen.contains(&"session-remove".to_owned()));
}

#[test]
fn streams_have_a_bound_and_end_with_their_token() {
    let api = Api::of(Home::new().with("DARKMUX_SERVE_STREAMS", "2"));
    let (_first, mut second) = (api.events(None), api.events(None));
    let third = api.get("/v1/events");
    assert_eq!((third.status, third.json()["error"]["code"].clone()), (503, "too_many_streams".into()));
    std::fs::write(api.home.darkmux().join("auth-token"), "0123456789abcdef".repeat(4)).unwrap();
    // Whoever changes the token says so by asking anything over the socket.
    let socket = api.home.darkmux().join("daemon.sock");
    assert_eq!(ask_socket(&socket, "GET", "/v1/health", &["Host: darkmux"], "").status, 200);
    let deadline = Instant::now() + PATIENCE;
    while second.fill() {
        assert!(Instant::now() < deadline, "the stream goes on with a token that is none");
    }
}

/// A quiet stream says every half minute that it lives: hubs give up after a minute without a word.
#[test]
fn a_quiet_stream_says_that_it_lives() {
    let api = Api::of(Home::new());
    let mut stream = connect(api.daemon.port);
    stream.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    let (port, token) = (api.daemon.port, &api.token);
    let head =
        format!("GET /v1/events HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut last, mut buffer) = (Instant::now(), [0; 4096]);
    // What comes first comes at once.
    let said = loop {
        let count = stream.read(&mut buffer).expect("a sign of life in time");
        let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if last.elapsed() > Duration::from_secs(15) {
            break said;
        }
        assert_ne!(count, 0, "the stream ended");
        last = Instant::now();
    };
    assert!(said.contains(":\n\n") && !said.contains("event:"), "{said:?}");
    assert!((25..40).contains(&last.elapsed().as_secs()), "{:?}", last.elapsed());
}
