//! What goes on when the command and the daemon are killed.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{BIN, Daemon, Home, PATIENCE, Running, describe, wait_for};

/// Numbers the session counts to, on its terminal and in the flow.
const COUNT: usize = 60;

/// The handles of the day's notes as a stream tells them, from the position `after` on, until `last` came.
/// Returns the handles and the last id; stops early when the connection breaks.
fn stream(daemon: &Daemon, after: Option<&str>, last: &str) -> (Vec<String>, Option<String>) {
    let mut socket = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let day = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    let resume = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let from = after.map_or("?from=2000-01-01:0", |_| "");
    let request =
        format!("GET /flow/{day}/stream{from} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{resume}\r\n", daemon.port);
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    let mut handles = Vec::new();
    let mut id = after.map(str::to_owned);
    let mut pending = None;
    for line in BufReader::new(socket).lines().map_while(Result::ok) {
        if let Some(new) = line.strip_prefix("id: ") {
            pending = Some(new.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let record: Value = serde_json::from_str(data).unwrap();
            id = pending.take();
            if record["action"] == "note" {
                let handle = record["handle"].as_str().unwrap().to_owned();
                let done = handle == last;
                handles.push(handle);
                if done {
                    break;
                }
            }
        }
    }
    (handles, id)
}

#[test]
fn a_counting_session_loses_no_number_when_command_and_daemon_are_killed() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let port = daemon.port.to_string();
    let script = format!(
        "i=0; while [ $i -lt {COUNT} ]; do i=$((i+1)); echo n$i; {BIN} flow note --text n$i; sleep 0.02; done; exit 9"
    );
    let mut command = Running(
        home.cmd(["crew", "dispatch", "shell", "--session-id", "counter", "-m", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut some = [0; 8];
    command.0.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    command.kill();
    let (mut seen, id) = stream(&daemon, None, "n10");
    assert_eq!(seen.len(), 10, "{seen:?}");
    daemon.process.kill();

    let daemon = Daemon::start_with(&home, ["serve", "--port", &port]);
    let (more, _) = stream(&daemon, id.as_deref(), &format!("n{COUNT}"));
    seen.extend(more);
    let expected: Vec<String> = (1..=COUNT).map(|n| format!("n{n}")).collect();
    assert_eq!(seen, expected);

    let output = home.run(["session", "tail", "-f", "counter"]);
    assert_eq!(output.status.code(), Some(9), "{}", describe(&output));
    let printed = expected.iter().fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{n}");
        text
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    let client = ask(&daemon, "/sessions");
    let session = &client["sessions"][0];
    assert_eq!((session["id"].as_str(), session["exit_code"].as_i64()), (Some("counter"), Some(9)));
}

#[test]
fn a_restarted_daemon_finds_the_sessions_that_run() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    home.ok(["crew", "dispatch", "shell", "-d", "--session-id", "lasting", "-m", "read x; exit 3"]);
    daemon.process.kill();
    let daemon = Daemon::start(&home);
    assert_eq!(ask(&daemon, "/sessions")["sessions"][0]["state"], "running");
    home.ok(["session", "send", "lasting", ""]);
    assert_eq!(home.run(["session", "wait", "lasting"]).status.code(), Some(3));
    wait_for("the daemon to know the end", || {
        (ask(&daemon, "/sessions")["sessions"][0]["exit_code"] == 3).then_some(())
    });
}

/// A JSON answer of the daemon.
fn ask(daemon: &Daemon, path: &str) -> Value {
    let mut socket = TcpStream::connect(("127.0.0.1", daemon.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", daemon.port);
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}
