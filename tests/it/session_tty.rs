//! Sessions on a person's terminal: what is shown, what is typed, and how the terminal is left.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use darkmux::model::{MachineId, SessionId, SessionState};
use darkmux::wire::SessionStatus;
use serde_json::Value;

use crate::session_cli::{new, session, tail};
use crate::support::{BIN, Home, SIZE, Tty, blank, signal, wait_for};

/// The key that leaves.
const LEAVE: &str = "\u{1c}";

/// Every cell, the cursor and the modes of a screen.
fn cells(screen: &vt100::Screen) -> (String, String, (u16, u16), bool) {
    let place = (screen.cursor_position(), screen.alternate_screen());
    (screen.contents_formatted(), screen.input_mode_formatted(), place.0, place.1)
}

/// Whether a terminal is as a shell expects it.
fn is_plain(screen: &vt100::Screen) -> bool {
    let modes = screen.alternate_screen() || screen.hide_cursor() || screen.application_cursor();
    let mouse = screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None;
    !(modes || mouse || screen.bracketed_paste() || screen.application_keypad())
}

/// What a full-screen program draws, with all kinds of cells and modes.
const DRAWN: &str = "\\033[?1049h\\033[?1h\\033=\\033[?2004h\\033[?1000h\\033[?1006h\\033[2J\\033[3;5H\\033[1;38;5;208mbold\
\\033[0;48;2;10;20;30mtrue colour\\033[0m\\033[10;1Hwide \u{6f22}\u{5b57} \u{1f600} e\u{301}\\033[30;90Hcorner\\033[12;7H\\033[7mhere\\033[0m\
\\033[?25l\\033[5;9Hready";

#[tokio::test]
async fn new_on_a_terminal_is_in_it_at_once() {
    let home = Home::new();
    let script = "stty size; read x; echo got $x; exit 3";
    let mut tty = Tty::start(&home, ["session", "new", "--name", "mine", "--", "sh", "-c", script]);
    tty.expect("30 100").await;
    tty.press("a\r").await;
    tty.expect("got a").await;
    tty.expect("exit code 3").await;
    assert_eq!(tty.wait().await.shell_code(), 3);
    let listed = home.json(["session", "ls", "--json"]);
    let session = &listed["sessions"][0];
    assert_eq!((&session["name"], &session["role"]), (&"mine".into(), &Value::Null));
    let id = session["id"].as_str().unwrap();
    assert!(id.starts_with("sess-") && id.len() == 13, "{id}");
}

#[tokio::test]
async fn new_without_a_command_is_the_users_shell() {
    let home = Home::new();
    let mut tty = Tty::start(&home, ["session", "new"]);
    tty.press("echo $((20+3)) $-\r").await;
    // An interactive one.
    tty.expect("23 ").await;
    tty.press("exit 4\r").await;
    assert_eq!(tty.wait().await.shell_code(), 4);
    let listed = home.json(["session", "ls", "--json"]);
    assert_eq!(listed["sessions"][0]["command"], serde_json::json!(["/bin/sh", "-l"]));
}

#[tokio::test]
async fn the_same_picture_is_there_after_leaving_and_coming_back() {
    let home = Home::new();
    let id = new(
        &home,
        &format!("read go; stty -echo; printf '{DRAWN}'; read x; printf '\\033[1;1Hx is %s' $x; read y"),
    );
    let mut first = Tty::start(&home, ["session", "attach", &id]);
    first.press("\r").await;
    let ready = |screen: &vt100::Screen| screen.contents().contains("ready");
    first.until("the program", ready).await;
    // What a terminal of that size shows that was there from the beginning. A client may see bytes before they are written.
    let reference = wait_for("the output on the disk", || {
        let mut reference = blank();
        reference.process(std::fs::read(output_of(&home, &id)).unwrap().as_slice());
        (cells(first.picture()) == cells(reference.screen())).then_some(reference)
    });

    first.press(LEAVE).await;
    first.expect("which runs on").await;
    assert_eq!(first.wait().await.shell_code(), 0);
    assert!(is_plain(first.picture()), "{:?}", first.picture().input_mode_formatted());

    let mut second = Tty::start(&home, ["session", "attach", &id]);
    second.until("the program once more", ready).await;
    assert_eq!(cells(second.picture()), cells(reference.screen()));
    second.press("7\r").await;
    second.until("what was typed", |screen| screen.contents().contains("x is 7")).await;
    drop(second);

    // The second one was killed: the session does not mind, and shows the same to the next one.
    let mut third = Tty::start(&home, ["session", "attach", "--read-only", &id]);
    third.until("the program", |screen| ready(screen) && screen.contents().contains("x is 7")).await;
    assert_eq!(session(&home, &id)["state"], "running");
}

/// The only file of a session's output.
fn output_of(home: &Home, id: &str) -> std::path::PathBuf {
    let folder = home.darkmux().join("sessions").join(id).join("output");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// What the session's host has on its screen.
fn screen_of(home: &Home, id: &str) -> String {
    let mut host = UnixStream::connect(home.darkmux().join("sessions").join(id).join("host.sock")).unwrap();
    let key = home.socket_key();
    write!(host, "GET /v1/screen HTTP/1.1\r\nHost: x\r\n{key}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    host.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The rows of a text, without blanks at their ends and without blank ones at its end.
fn rows(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

#[tokio::test]
async fn editors_and_pagers_come_back_as_they_were() {
    for (program, first, keys, then) in
        [("vim", "line 1", "dd:set nu\r", "1 line 2"), ("less", "line 1", "/line 77\r", "line 77")]
    {
        let home = Home::new();
        if home
            .command("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .unwrap()
            .stdout
            .is_empty()
        {
            continue;
        }
        let lines: Vec<String> = (1..200).map(|number| format!("line {number}")).collect();
        std::fs::write(home.path().join("text"), lines.join("\n")).unwrap();
        // As large as the terminal that comes: these programs take a change of the size while they begin for nothing.
        let [wide, high] = [SIZE.cols, SIZE.rows].map(|count| count.to_string());
        let new = ["session", "new", "-d", "--cols", &wide, "--rows", &high, "--", program, "text"];
        let id = home.ok(new).trim().to_owned();
        let mut one = Tty::start(&home, ["session", "attach", &id]);
        one.until(program, |screen| screen.contents().contains(first) && screen.alternate_screen()).await;
        one.press(keys).await;
        let shown = |screen: &vt100::Screen| {
            rows(&screen.contents()) == rows(&screen_of(&home, &id)) && screen.contents().contains(then)
        };
        one.until(program, shown).await;
        one.press(LEAVE).await;
        one.wait().await;
        assert!(is_plain(one.picture()), "{program}");
        let mut two = Tty::start(&home, ["session", "attach", &id]);
        two.until(program, |screen| shown(screen) && screen.alternate_screen()).await;
        home.ok(["session", "kill", "--now", &id]);
        two.wait().await;
        assert!(is_plain(two.picture()), "{program}");
    }
}

/// A shell's script around an attach that says whether the terminal's mode is what it was.
fn watched(home: &Home, id: &str) -> Tty {
    let script =
        format!("a=$(stty -g); {BIN} session attach {id}; c=$?; [ \"$a\" = \"$(stty -g)\" ] && echo same $c");
    Tty::run(home, ["sh", "-c", &script].map(str::to_owned).to_vec())
}

#[tokio::test]
async fn the_terminal_comes_back_however_it_is_left() {
    let home = Home::new();
    let id = new(&home, &format!("printf '{DRAWN}'; exec cat"));
    for ending in ["LEAVE", "TERM", "INT", "host"] {
        let mut tty = watched(&home, &id);
        tty.until("the program", |screen| screen.contents().contains("ready")).await;
        assert!(!is_plain(tty.picture()));
        let client = || -> i64 {
            let children = home.command("pgrep").args(["-P", &tty.pid().to_string()]).output().unwrap();
            String::from_utf8(children.stdout).unwrap().trim().parse().unwrap()
        };
        match ending {
            "LEAVE" => tty.press(LEAVE).await,
            "host" => signal(session(&home, &id)["host_pid"].as_i64().unwrap(), "KILL"),
            name => signal(client(), name),
        }
        tty.expect("same ").await;
        tty.wait().await;
        assert!(is_plain(tty.picture()), "{ending}");
    }
}

#[tokio::test]
async fn the_title_is_the_sessions_and_is_given_back() {
    let home = Home::new();
    let id = home.ok(["session", "new", "-d", "--name", "my work", "--", "cat"]).trim().to_owned();
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("\u{1b}[22;0t\u{1b}]2;my work\u{7}").await;
    tty.press("x").await;
    tty.expect("x").await;
    tty.press(LEAVE).await;
    tty.expect("\u{1b}[23;0t").await;
    tty.expect(&format!("darkmux session attach {id}")).await;
}

#[tokio::test]
async fn what_stood_on_the_terminal_before_is_not_erased() {
    let home = Home::new();
    let id = new(&home, "echo inside; exec cat");
    wait_for("its output", || tail(&home, &id).contains("inside").then_some(()));
    let mut tty = watched(&home, &id);
    tty.until("the session", |screen| screen.contents().contains("inside")).await;
    assert!(!tty.rest().contains("\u{1b}[3J"));
    tty.press(LEAVE).await;
    tty.expect("same 0").await;
}

#[tokio::test]
async fn who_only_reads_types_nothing_and_leaves_by_ctrl_c() {
    let home = Home::new();
    // Who asks the terminal something gets no answer from somebody who only reads.
    let id = new(&home, "printf 'ready\\033[6n'; read x; echo got $x");
    wait_for("its output", || tail(&home, &id).contains("ready").then_some(()));
    let mut tty = Tty::start(&home, ["session", "attach", "--read-only", &id]);
    tty.expect("ready").await;
    tty.press("not this\r").await;
    tty.press("\u{3}").await;
    tty.expect("which runs on").await;
    assert_eq!(tty.wait().await.shell_code(), 0);
    home.ok(["session", "send", "--key", "ctrl-u", &id]);
    home.ok(["session", "send", &id, "that"]);
    home.ok(["session", "wait", &id]);
    assert!(tail(&home, &id).contains("got that"), "{}", tail(&home, &id));
}

#[tokio::test]
async fn the_keys_that_leave_can_be_others() {
    let home = Home::new().with("DARKMUX_SESSION_DETACH_KEY", "ctrl-a d");
    let id = new(&home, "stty raw -echo; echo ready; od -An -tx1 -N3");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("\u{1c}\u{1}x").await;
    // All three reached the program.
    tty.expect("1c 01 78").await;
    tty.wait().await;
    let id = new(&home, "echo ready; exec cat");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("\u{1}").await;
    tty.press("d").await;
    tty.expect("which runs on").await;

    let home = home.with("DARKMUX_SESSION_DETACH_KEY", "d");
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    assert_eq!(tty.wait().await.shell_code(), 2);
    let shown = tty.rest();
    assert!(shown.contains("session.detach_key"), "{shown:?}");
    assert!(!shown.contains("\u{1b}]") && !shown.contains("\u{1b}[22;"), "it set the title: {shown:?}");
}

#[tokio::test]
async fn a_session_that_has_ended_shows_its_last_output() {
    let home = Home::new();
    let id = new(&home, "echo the end; exit 7");
    home.run(["session", "wait", &id]);
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.expect("the end").await;
    tty.expect("exit code 7").await;
    assert_eq!(tty.wait().await.shell_code(), 7);
}

#[tokio::test]
async fn a_session_within_a_session_is_one_of_its_own() {
    let home = Home::new();
    let inner = format!(
        "echo outer $DARKMUX_SESSION_ID; {BIN} session new -- sh -c 'echo inner $DARKMUX_SESSION_ID; read x'"
    );
    let mut tty = Tty::start(&home, ["session", "new", "--", "sh", "-c", &inner]);
    tty.expect("inner sess-").await;
    let listed = home.json(["session", "ls", "--json"]);
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    tty.press("\r").await;
    assert_eq!(tty.wait().await.shell_code(), 0);
    for session in home.json(["session", "ls", "--json"])["sessions"].as_array().unwrap() {
        let id = session["id"].as_str().unwrap();
        assert!(tail(&home, id).contains(&format!("er {id}")), "{id}: {}", tail(&home, id));
    }
}

#[tokio::test]
async fn a_larger_terminal_takes_the_size_over_and_sees_it_right() {
    let home = Home::new();
    let id = home
        .ok([
            "session",
            "new",
            "-d",
            "--cols",
            "40",
            "--rows",
            "10",
            "--",
            "sh",
            "-c",
            "trap 'stty size' WINCH; seq 1 30; while :; do sleep 0.05; done",
        ])
        .trim()
        .to_owned();
    wait_for("its output", || tail(&home, &id).contains("30").then_some(()));
    let mut tty = Tty::start(&home, ["session", "attach", &id]);
    tty.until("the new size", |screen| screen.contents().contains("30 100")).await;
    let size = &session(&home, &id)["size"];
    assert_eq!((&size["cols"], &size["rows"]), (&100.into(), &30.into()));
}

/// A host of protocol 1, which has no screen: it answers each request, and an attachment with some output.
fn old_host(home: &Home) -> darkmux::store::FileLock {
    let folder = home.darkmux().join("sessions/old");
    std::fs::create_dir_all(folder.join("output")).unwrap();
    let (id, machine) = (SessionId::new("old").unwrap(), MachineId::new("m").unwrap());
    let mut status = SessionStatus::unknown(id, machine, "2026-01-01T00:00:00.000Z".to_owned());
    (status.state, status.protocol) = (SessionState::Running, 1);
    std::fs::write(folder.join("state.json"), serde_json::to_vec(&status).unwrap()).unwrap();
    let listener = UnixListener::bind(folder.join("host.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || old_answers(stream));
        }
    });
    darkmux::store::FileLock::try_take(&folder.join("lease")).unwrap().unwrap()
}

fn old_answers(mut stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut length = 0;
        while reader.read_line(&mut line).is_ok() && !line.ends_with("\r\n\r\n") {
            let last = line.lines().last().unwrap().to_lowercase();
            length = last.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        if path.starts_with("/v1/attach") {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: darkmux-attach\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(&[head.as_bytes(), b"O\0\0\0\x0fold but present"].concat()).unwrap();
            // Until the client goes.
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        line.clear();
    }
}

#[tokio::test]
async fn a_host_of_the_protocol_before_shows_its_output() {
    let home = Home::new();
    let _lease = old_host(&home);
    let mut tty = Tty::start(&home, ["session", "attach", "old"]);
    tty.expect("old but present").await;
    tty.press(LEAVE).await;
    tty.expect("which runs on").await;
    assert_eq!(tty.wait().await.shell_code(), 0);
}
