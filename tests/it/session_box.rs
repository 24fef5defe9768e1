//! A session whose size another viewer has, on a person's terminal of another size; and what it shows of earlier runs.

use darkmux::session::{Attachment, HostClient, ScreenAttach};
use darkmux::wire::WindowSize;

use crate::session_cli::{new, session, tail};
use crate::support::{Home, Tty, wait_for};

const OTHER: WindowSize = WindowSize { cols: 40, rows: 10 };

/// Puts lines out that are longer than the other's screen, and what is typed.
const SCRIPT: &str = "stty -echo; read go; seq -s ' ' 1 40; echo; while read x; do echo \"got $x\"; done";

/// A viewer who owns the size.
async fn owner(home: &Home, id: &str) -> Attachment {
    let folder = home.darkmux().join("sessions").join(id);
    let client = HostClient::connect(&folder).await.unwrap();
    let how = ScreenAttach { from: None, size: Some(OTHER), read_only: false };
    let mut viewer = client.attach_screen(how).await.unwrap();
    viewer.input.resize(OTHER);
    viewer.input.flush().await.unwrap();
    wait_for("its size", || (session(home, id)["size"]["cols"] == 40).then_some(()));
    viewer
}

/// The rows of the other's screen, at its edge.
fn boxed(screen: &vt100::Screen) -> Option<Vec<String>> {
    let rows: Vec<String> = screen.rows(0, 100).collect();
    let inside = |row: &String| Some(row.split_once('│')?.0.trim_end().to_owned());
    let said = rows[29].contains("40×10 is this session's size");
    said.then(|| rows[..9].iter().map_while(inside).collect())
}

#[tokio::test]
async fn the_screen_of_another_size_is_shown_as_it_is_until_it_is_ours() {
    let home = Home::new();
    let id = new(&home, SCRIPT);
    let mut other = owner(&home, &id).await;
    other.input.send(b"\rone\r");
    other.input.flush().await.unwrap();
    wait_for("an answer", || tail(&home, &id).contains("got one").then_some(()));

    let mut reads = Tty::start(&home, ["session", "attach", "--read-only", &id]);
    let lines = |last: &str| {
        let mut numbers = (1..=40).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let mut rows = Vec::new();
        while numbers.len() > 40 {
            let later = numbers.split_off(40);
            rows.push(numbers.trim_end().to_owned());
            numbers = later;
        }
        rows.extend([numbers, String::new(), "got one".to_owned()]);
        rows.extend(Some(last.to_owned()).filter(|last| !last.is_empty()));
        rows
    };
    let shows =
        |screen: &vt100::Screen, last: &str| boxed(screen).is_some_and(|rows| rows.starts_with(&lines(last)));
    reads.until("its rows", |screen| shows(screen, "")).await;
    other.input.send(b"two\r");
    other.input.flush().await.unwrap();
    reads.until("more of them", |screen| shows(screen, "got two")).await;
    assert!(reads.picture().alternate_screen());

    // Who may type takes the size over by coming, and gives it back where the other wants it.
    let mut types = Tty::start(&home, ["session", "attach", &id]);
    types.until("all of it", |screen| screen.contents().contains("39 40\n")).await;
    reads.until("it as it is", |screen| boxed(screen).is_none() && !screen.alternate_screen()).await;
    other.input.resize(OTHER);
    other.input.flush().await.unwrap();
    types.until("its rows", |screen| shows(screen, "got two")).await;
    reads.until("its rows once more", |screen| shows(screen, "got two")).await;
    types.press("three\r").await;
    types
        .until("an answer", |screen| boxed(screen).is_none() && screen.contents().contains("got three"))
        .await;
    assert!(types.picture().contents().contains("39 40\n"), "{}", types.picture().contents());
    assert!(!types.picture().alternate_screen());

    types.press("\u{1c}").await;
    types.expect("which runs on").await;
    reads.until("its own size", |screen| boxed(screen).is_none()).await;
    other.input.resize(OTHER);
    other.input.flush().await.unwrap();
    reads.until("the other's size", |screen| boxed(screen).is_some()).await;
    // Who left leaves the size behind, and another may type without a terminal.
    drop(other);
    home.ok(["session", "send", &id, "four"]);
    reads
        .until("an answer", |screen| boxed(screen).is_some_and(|rows| rows.contains(&"got four".to_owned())))
        .await;
}

#[tokio::test]
async fn a_session_that_runs_again_shows_what_ran_before() {
    let home = Home::new();
    let script = "printf '\\033[31mrun\\033[?1049h\\033[?1000h\\033[5;9r\\033[?25l%s' \"$(cat n 2>/dev/null)\"; \
                  echo x >>n; read x";
    let id = new(&home, script);
    wait_for("its output", || tail(&home, &id).contains("run").then_some(()));
    home.ok(["session", "send", &id, ""]);
    home.ok(["session", "wait", &id]);
    home.ok(["session", "resume", "-d", &id]);
    wait_for("its second run", || (tail(&home, &id).matches("run").count() == 2).then_some(()));
    let mut tty = Tty::start(&home, ["session", "attach", "--read-only", &id]);
    tty.until("the second run", |screen| screen.alternate_screen() && screen.contents().contains('x')).await;
    home.ok(["session", "send", &id, ""]);
    tty.expect("ended").await;
    tty.wait().await;
    let script = "echo first-$$; read x";
    let id = new(&home, script);
    wait_for("its output", || tail(&home, &id).contains("first").then_some(()));
    home.ok(["session", "send", &id, ""]);
    home.ok(["session", "wait", &id]);
    let first = tail(&home, &id).lines().next().unwrap().to_owned();
    home.ok(["session", "resume", "-d", &id]);
    wait_for("its second run", || (tail(&home, &id).matches("first").count() == 2).then_some(()));
    let mut tty = Tty::start(&home, ["session", "attach", "--read-only", &id]);
    let both = |screen: &vt100::Screen| {
        let text = screen.contents();
        text.contains(&first) && text.matches("first-").count() == 2
    };
    tty.until("both runs", both).await;
}
