//! The screen of a session as its host tells it: attaching with it, whose size it has, what its agent says.

use std::path::PathBuf;
use std::time::Duration;

use darkmux::session::{
    Attachment, Event, HostClient, HostEvent, HostEvents, OldHost, ScreenAttach, ScreenFormat,
};
use darkmux::wire::frames::Owner;
use darkmux::wire::{SessionStatus, WindowSize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{Home, PATIENCE, is_alive, signal, wait_for};

const SMALL: WindowSize = WindowSize { cols: 60, rows: 10 };
const LARGE: WindowSize = WindowSize { cols: 90, rows: 20 };

/// A session that runs a script.
struct Session {
    home: Home,
    id: String,
    folder: PathBuf,
}

impl Session {
    fn start(script: &str) -> Self {
        let home = Home::new();
        let id = home.ok(["crew", "dispatch", "shell", "-d", "-m", script]).trim().to_owned();
        let folder = home.darkmux().join("sessions").join(&id);
        Self { home, id, folder }
    }

    async fn client(&self) -> HostClient {
        HostClient::connect(&self.folder).await.expect("the host answers")
    }

    async fn status(&self) -> SessionStatus {
        self.client().await.status().await.expect("a state")
    }

    async fn attach(&self, size: Option<WindowSize>) -> Attachment {
        let how = ScreenAttach { size, ..ScreenAttach::default() };
        self.client().await.attach_screen(how).await.expect("an attachment")
    }

    async fn screen(&self) -> String {
        let screen = self.client().await.screen(ScreenFormat::Text).await.expect("a screen");
        String::from_utf8(screen.to_vec()).expect("text")
    }

    /// Waits until the screen shows a text, and returns it.
    async fn shows(&self, text: &str) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let screen = self.screen().await;
            if screen.contains(text) {
                return screen;
            }
            assert!(tokio::time::Instant::now() < deadline, "no {text:?} on {screen:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// One request as an agent sends it: its status and body.
    async fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(darkmux::session::socket_path(&self.folder)).await.unwrap();
        let home = self.folder.ancestors().nth(2).expect("a home");
        let key = std::fs::read_to_string(home.join("socket-key")).expect("the sockets' key");
        let text = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            key.trim(),
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn records(&self, action: &str) -> Vec<Value> {
        let lines = self.home.ok(["flow", "tail", "--json"]);
        let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["action"] == action).collect()
    }
}

async fn event(attachment: &mut Attachment) -> Event {
    let event = tokio::time::timeout(PATIENCE, attachment.events.next()).await.expect("an event in time");
    event.expect("a host that goes on").expect("an event")
}

/// The snapshot and the size that begin an attachment.
async fn begin(attachment: &mut Attachment) -> (u64, Vec<u8>, (WindowSize, Owner)) {
    let Event::Snapshot { at, bytes, .. } = event(attachment).await else { panic!("no snapshot") };
    let Event::Size { size, owner } = event(attachment).await else { panic!("no size") };
    (at, bytes.to_vec(), (size, owner))
}

/// The next size, passing over output.
async fn next_size(attachment: &mut Attachment) -> (WindowSize, Owner) {
    loop {
        if let Event::Size { size, owner } = event(attachment).await {
            return (size, owner);
        }
    }
}

async fn next_event(events: &mut HostEvents) -> Option<HostEvent> {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time").expect("a line")
}

/// The next state that is as wanted.
async fn state_that(events: &mut HostEvents, wanted: impl Fn(&SessionStatus) -> bool) -> SessionStatus {
    loop {
        match next_event(events).await.expect("a host that goes on") {
            HostEvent::Status { status } if wanted(&status) => return *status,
            _ => {}
        }
    }
}

fn terminal(size: WindowSize) -> vt100::Parser {
    let one = |number| std::num::NonZeroU16::new(number).unwrap();
    vt100::Parser::new(one(size.rows), one(size.cols), 1000)
}

#[tokio::test]
async fn a_snapshot_and_what_follows_are_the_whole_output() {
    // As an editor does: the other screen, a region, colours, absolute places.
    let session = Session::start(
        r"for i in 1 2 3 4 5 6 7 8 9; do printf 'line %s \033[3%smcoloured\033[m\r\n' $i $i; done
          printf '\033[?1049h\033[2;8r\033[?2004h\033[5;3Hediting\033[7m~\033[m'; read x
          printf '\033[8;1H\nmore\033[?1049lback'; read y",
    );
    session.shows("editing").await;
    let mut attachment = session.attach(None).await;
    let (at, snapshot, (size, owner)) = begin(&mut attachment).await;
    assert_eq!(owner, Owner::Nobody);
    attachment.input.send(b"\r");
    attachment.input.flush().await.unwrap();
    let mut seen = terminal(size);
    seen.process(&snapshot);
    assert!(seen.screen().alternate_screen() && seen.screen().bracketed_paste());
    assert!(seen.screen().contents().contains("editing~"));
    let mut end = at;
    while !seen.screen().contents().contains("back") {
        let Event::Output(bytes) = event(&mut attachment).await else { panic!("something else") };
        end += bytes.len() as u64;
        seen.process(&bytes);
    }
    let mut whole = terminal(size);
    let mut all = session.client().await.attach(Some(0), false).await.unwrap();
    let mut taken = 0;
    while taken < end {
        let Event::Output(bytes) = event(&mut all).await else { panic!("something else") };
        taken += bytes.len() as u64;
        whole.process(&bytes);
    }
    assert_eq!(taken, end, "nobody is further");
    assert_eq!(seen.screen().contents_formatted(), whole.screen().contents_formatted());
    assert_eq!(seen.screen().cursor_position(), whole.screen().cursor_position());
}

#[tokio::test]
async fn thousands_of_lines_come_with_the_snapshot_and_the_rest_without_loss() {
    let session = Session::start("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo \"row $i\"; done; read x");
    let mut attachment = session.attach(None).await;
    let (at, snapshot, (size, _)) = begin(&mut attachment).await;
    let one = |number| std::num::NonZeroU16::new(number).unwrap();
    let mut seen = vt100::Parser::new(one(size.rows), one(size.cols), 40_000);
    seen.process(&snapshot);
    let mut end = at;
    while !seen.screen().contents().contains("row 30000") {
        let Event::Output(bytes) = event(&mut attachment).await else { panic!("something else") };
        end += bytes.len() as u64;
        seen.process(&bytes);
    }
    assert!(end >= 30_000);
    let text = session.ask("GET /scrollback/tail?n=3000", "").await.1;
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!((rows.len(), rows[0], rows[2999]), (3000, "row 27001", "row 30000"));
    // What the viewer has is what there was: every row once, in order.
    let mut screen = seen.screen().clone();
    screen.set_scrollback(usize::MAX);
    let oldest = screen.rows(0, size.cols).next().unwrap();
    let first: u32 = oldest.trim_start_matches("row ").trim().parse().unwrap();
    assert!(first <= 20_001, "ten thousand lines or more: {first}");
    for (number, back) in (first..).zip((1..=screen.scrollback()).rev()) {
        screen.set_scrollback(back);
        assert_eq!(screen.rows(0, size.cols).next().unwrap().trim(), format!("row {number}"));
    }
}

#[tokio::test]
async fn who_was_away_goes_on_where_it_was() {
    let session = Session::start("echo first; read x; echo second; read y");
    session.shows("first").await;
    let how = ScreenAttach { from: Some(0), ..ScreenAttach::default() };
    let mut attachment = session.client().await.attach_screen(how).await.unwrap();
    assert!(matches!(event(&mut attachment).await, Event::Size { .. }), "no snapshot is needed");
    assert!(matches!(event(&mut attachment).await, Event::Output(bytes) if bytes.starts_with(b"first")));
    let how = ScreenAttach { from: Some(1 << 40), ..ScreenAttach::default() };
    let mut attachment = session.client().await.attach_screen(how).await.unwrap();
    assert!(matches!(event(&mut attachment).await, Event::Snapshot { .. }), "that was another session");
}

#[tokio::test]
async fn the_size_is_that_of_who_typed_or_took_it_last() {
    let session = Session::start("trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done");
    session.shows("ready").await;
    let mut first = session.attach(Some(SMALL)).await;
    assert_eq!(begin(&mut first).await.2, (SMALL, Owner::You));
    session.shows("10 60").await;
    let mut second = session.attach(Some(LARGE)).await;
    assert_eq!(begin(&mut second).await.2, (SMALL, Owner::Other), "a second one takes nothing over");

    second.input.send(b" ");
    second.input.flush().await.unwrap();
    assert_eq!(next_size(&mut second).await, (LARGE, Owner::You));
    assert_eq!(next_size(&mut first).await, (LARGE, Owner::Other));
    session.shows("20 90").await;

    let between = WindowSize { cols: 70, rows: 12 };
    first.input.state_size(between);
    first.input.flush().await.unwrap();
    assert_eq!(next_size(&mut first).await, (LARGE, Owner::Other), "it only said how large it is");
    first.input.resize(between);
    first.input.flush().await.unwrap();
    assert_eq!(next_size(&mut first).await, (between, Owner::You));
    assert_eq!(next_size(&mut second).await, (between, Owner::Other));

    drop(first);
    assert_eq!(next_size(&mut second).await, (between, Owner::Nobody), "the size stays");
    assert_eq!(session.status().await.size, between);
}

#[tokio::test]
async fn who_only_reads_types_nothing_and_takes_no_size() {
    let session = Session::start("read x; echo got $x; read y");
    let how = ScreenAttach { size: Some(LARGE), read_only: true, ..ScreenAttach::default() };
    let mut reader = session.client().await.attach_screen(how).await.unwrap();
    let (_, _, (size, owner)) = begin(&mut reader).await;
    assert_eq!((size, owner), (WindowSize::default(), Owner::Nobody));
    reader.input.send(b"mine\r");
    reader.input.resize(LARGE);
    reader.input.flush().await.unwrap();
    assert_eq!(next_size(&mut reader).await, (WindowSize::default(), Owner::Nobody));
    session.client().await.input(b"yours\r").await.unwrap();
    assert!(!session.shows("got").await.contains("mine"));
}

#[tokio::test]
async fn a_viewer_that_stands_still_slows_nobody() {
    let session = Session::start("yes");
    // It reads nothing at all.
    let stalled = session.attach(Some(SMALL)).await;
    let mut reader = session.attach(None).await;
    let mut bytes = 0;
    while bytes < 8_000_000 {
        match event(&mut reader).await {
            Event::Output(output) => bytes += output.len(),
            Event::Snapshot { .. } | Event::Size { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    drop(stalled);
}

#[tokio::test]
async fn what_is_said_is_told_at_once_and_stands_in_the_state_file() {
    let session = Session::start(
        r"read x; printf '\033]2;a \033]2;title\007'; read x; printf '\033]2;\007\033]9;look\007\033]777;notify;who;what\007\007'; read x; printf '\007'; read x",
    );
    let mut events = session.client().await.events().await.unwrap();
    assert!(matches!(next_event(&mut events).await, Some(HostEvent::Status { .. })), "the state comes first");
    session.client().await.input(b"\r").await.unwrap();
    let titled = state_that(&mut events, |status| status.terminal_title.is_some()).await;
    assert_eq!(titled.terminal_title.as_deref(), Some("title"));
    wait_for("the title in the state file", || {
        let listed = session.home.json(["session", "ls", "--json"]);
        (listed["sessions"][0]["terminal_title"] == "title").then_some(())
    });
    session.client().await.input(b"\r").await.unwrap();
    let mut notices = Vec::new();
    while notices.len() < 3 {
        if let Some(HostEvent::Notice { title, body }) = next_event(&mut events).await {
            notices.push((title, body));
        }
    }
    let notice = |title: &str, body: &str| (title.to_owned(), body.to_owned());
    assert_eq!(notices, [notice("", "look"), notice("who", "what"), notice("", "")]);
    let status = session.client().await.status().await.unwrap();
    assert!(status.unread, "nobody has looked at it since");
    let newest = status.notice.expect("a notice with words, which the bell does not replace");
    assert_eq!((newest.title.as_str(), newest.body.as_str()), ("who", "what"));
    assert!(newest.at.parse::<jiff::Timestamp>().is_ok(), "{}", newest.at);
    wait_for("the notice in the list", || {
        let listed = session.home.json(["session", "ls", "--json"]);
        (listed["sessions"][0]["notice"]["body"] == "what").then_some(())
    });
    assert_eq!(status.terminal_title, None, "an empty title takes the old one back");
    // Who looks has seen it, and hears the next one.
    let mut viewer = session.attach(None).await;
    begin(&mut viewer).await;
    state_that(&mut events, |status| !status.unread && status.notice.is_none()).await;
    session.client().await.input(b"\r").await.unwrap();
    while !matches!(next_event(&mut events).await, Some(HostEvent::Notice { .. })) {}
    assert!(!session.client().await.status().await.unwrap().unread);
    session.client().await.stop(None).await.unwrap();
    let mut last = None;
    while let Some(event) = next_event(&mut events).await {
        last = Some(event);
    }
    let Some(HostEvent::Status { status }) = last else { panic!("{last:?} is no final state") };
    assert!(status.state.is_final());
}

#[tokio::test]
async fn activity_is_told_only_while_nobody_looks() {
    let session = Session::start("while :; do echo x; sleep 0.05; done");
    let mut events = session.client().await.events().await.unwrap();
    while !matches!(next_event(&mut events).await, Some(HostEvent::Activity)) {}
    let mut viewer = session.attach(None).await;
    begin(&mut viewer).await;
    // One may be on its way.
    let quiet =
        async { while tokio::time::timeout(Duration::from_millis(1500), events.next()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, quiet).await.expect("no activity is told");
}

#[tokio::test]
async fn an_agent_reports_itself_and_the_flow_tells_when_it_waits() {
    let session = Session::start("read x");
    let mut events = session.client().await.events().await.unwrap();
    let working = r#"{"label":"thinking\u001b[31m","working":true}"#;
    assert_eq!(session.ask("PUT /status", working).await.0, 204);
    let status = state_that(&mut events, |status| status.report.is_some()).await;
    assert_eq!(status.report.as_ref().map(|report| report.working), Some(true));
    assert!(!status.report.unwrap().label.contains('\u{1b}'));
    assert_eq!(session.ask("PUT /status", r#"{"working":false,"needs_you":"delete it?"}"#).await.0, 204);
    let status = state_that(&mut events, |status| status.unread).await;
    assert_eq!(status.report.unwrap().needs_you.as_deref(), Some("delete it?"));
    let question = wait_for("the record", || session.records("session.needs_you").pop());
    assert_eq!(question["payload"], serde_json::json!({ "question_chars": "delete it?".len() }));
    assert_eq!(question["session_id"], session.id.as_str());
    wait_for("the other record", || session.records("session.idle").pop());

    let mut viewer = session.attach(None).await;
    begin(&mut viewer).await;
    state_that(&mut events, |status| !status.unread).await;
    assert_eq!(session.ask("PUT /status", "null").await.0, 204);
    state_that(&mut events, |status| status.report.is_none()).await;
    for list in ["[1]", "[]"] {
        assert_eq!(session.ask("PUT /status", list).await.0, 400, "{list}");
        assert_eq!(session.ask("PUT /agent", list).await.0, 400, "{list}");
    }
    assert_eq!(session.ask("PUT /status", &format!("{working:5000}")).await.0, 413);
    assert_eq!(session.records("session.needs_you").len(), 1);
}

#[tokio::test]
async fn an_agent_names_itself_types_and_ends_the_session() {
    let session = Session::start("read x; echo got $x; env | grep -E '^(GMUX|TERM|COLORTERM)'; read y");
    assert_eq!(session.ask("PUT /slug", "Fix the Parser!").await.0, 204);
    assert_eq!(session.ask("PUT /slug", &"x".repeat(300)).await.0, 413);
    assert_eq!(session.ask("PUT /agent", r#"{"title":"a plan","session":"c-1"}"#).await.0, 204);
    assert_eq!(session.ask("POST /input", "typed\r").await.0, 204);
    let screen = session.shows("TERM_PROGRAM").await;
    for word in ["got typed", "GMUX=1", "GMUX_SESSION_ID=", "GMUX_SOCKET=", "COLORTERM=truecolor"] {
        assert!(session.shows(word).await.contains(word), "{word} in {screen}");
    }
    for name in ["TERM_PROGRAM_VERSION", "GMUX_RUNNER_VERSION"] {
        let line = format!("{name}={}", env!("CARGO_PKG_VERSION"));
        assert!(session.shows(&line).await.lines().any(|row| row.trim_end() == line), "{line} in {screen}");
    }
    assert!(session.ask("GET /scrollback/text", "").await.1.contains("got typed"));
    assert_eq!(session.ask("GET /scrollback/tail?n=1", "").await.1.lines().count(), 1);
    let meta: Value = serde_json::from_str(&session.ask("GET /meta", "").await.1).unwrap();
    assert_eq!((meta["slug"].as_str(), meta["title"].as_str()), (Some("fix-the-parser"), Some("a plan")));
    assert_eq!(meta["darkmux"]["agent_session"], "c-1");
    assert_eq!(session.ask("POST /kill", "").await.0, 204);
    wait_for("its end", || {
        let listed = session.home.json(["session", "ls", "--all", "--json"]);
        (listed["sessions"][0]["reason"] == "killed").then_some(())
    });
}

#[tokio::test]
async fn a_program_that_asks_its_terminal_is_answered_when_nobody_looks() {
    let session = Session::start(
        r"stty raw -echo; printf 'ab\033[6n'; answer=$(dd bs=1 count=6 2>/dev/null | od -An -c | tr -d ' \n'); stty sane; echo; echo said $answer; read x",
    );
    session.shows("said 033[1;3R").await;
}

#[tokio::test]
async fn a_further_run_goes_on_with_the_output_of_the_one_before() {
    let session = Session::start("echo one; exit 3");
    let ended = wait_for("its end", || {
        let listed = session.home.json(["session", "ls", "--all", "--json"]);
        (listed["sessions"][0]["state"] == "exited").then(|| listed["sessions"][0].clone())
    });
    wait_for("its host to go", || (!is_alive(ended["host_pid"].as_i64().unwrap())).then_some(()));
    let output = session.home.run(["host-session", session.folder.to_str().unwrap()]);
    assert!(output.status.success());
    let again = session.home.json(["session", "ls", "--all", "--json"])["sessions"][0].clone();
    assert_eq!((again["runs"].as_i64(), again["exit_code"].as_i64()), (Some(2), Some(3)));
    assert_eq!(again["created_at"], ended["created_at"]);
    let end = ended["output"]["end"].as_i64().unwrap();
    assert_eq!(again["output"]["end"].as_i64(), Some(2 * end));
    assert_eq!(session.home.ok(["session", "tail", &session.id]), "one\none\n");
}

#[tokio::test]
async fn a_killed_host_ends_its_followers() {
    let session = Session::start("exec sleep 60");
    let mut events = session.client().await.events().await.unwrap();
    next_event(&mut events).await.expect("a state");
    let mut viewer = session.attach(None).await;
    begin(&mut viewer).await;
    let host = session.status().await.host_pid.unwrap();
    signal(i64::from(host), "KILL");
    let gone = async { while let Ok(Some(_)) = events.next().await {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the events end");
    let gone = async { while let Ok(Some(_)) = viewer.events.next().await {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the attachment ends");
}

#[tokio::test]
async fn a_host_of_an_older_version_is_told_apart_and_can_still_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(darkmux::session::socket_path(folder.path())).unwrap();
    let host = tokio::task::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer: &[u8] = if head.starts_with(b"GET /v1/attach") {
                b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: darkmux-attach\r\n\r\nO\0\0\0\x02hi"
            } else {
                b"HTTP/1.1 404 x\r\ncontent-length: 15\r\n\r\n{\"error\":\"old\"}"
            };
            stream.write_all(answer).await.unwrap();
            let _ = stream.read_u8().await;
        }
    });
    let connect = || async { HostClient::connect(folder.path()).await.unwrap() };
    let refused = connect().await.attach_screen(ScreenAttach::default()).await.unwrap_err();
    assert!(OldHost::is(&refused), "{refused}");
    assert!(OldHost::is(&connect().await.events().await.unwrap_err()));
    assert!(OldHost::is(&connect().await.screen(ScreenFormat::Text).await.unwrap_err()));
    let mut attachment = connect().await.attach(None, false).await.unwrap();
    assert_eq!(event(&mut attachment).await, Event::Output("hi".into()));
    host.abort();
}
