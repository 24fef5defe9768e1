//! Verbs on sessions of other machines while daemons on the way die and come back.

use std::io::Read;
use std::process::{Child, Stdio};

use crate::support::api::Api;
use crate::support::hub::{PeerLine, machine, set_peers};
use crate::support::{Daemon, Home, Tty, describe, free_port, wait_for};

/// A hub with one spoke, `desk`; both keep their ports.
struct Pair {
    hub: Api,
    spoke: Api,
}

impl Pair {
    fn start() -> Self {
        let home = |name: &str| machine(name).with("DARKMUX_SERVE_PORT", free_port().to_string());
        let spoke = on_its_port(home("desk"));
        let hub = home("hub");
        set_peers(&hub, &[PeerLine::of("desk", &spoke)]);
        Self { hub: on_its_port(hub), spoke }
    }

    /// Starts a session of this script on the spoke, and waits until the hub shows it.
    fn session(&self, script: &str) -> String {
        let id = format!("{}@desk", self.spoke.sh(script));
        wait_for("the session at the hub", || self.hub.ids().contains(&id).then_some(()));
        id
    }
}

fn on_its_port(home: Home) -> Api {
    let daemon = Daemon::start_with(&home, ["serve"]);
    let token = std::fs::read_to_string(home.darkmux().join("auth-token")).unwrap().trim().to_owned();
    Api { home, daemon, token }
}

/// `kill -9` of a daemon, and another one at its place.
fn again(api: &mut Api) {
    api.daemon.process.kill();
    api.daemon = Daemon::start_with(&api.home, ["serve"]);
}

fn start<const N: usize>(home: &Home, args: [&str; N]) -> Child {
    home.cmd(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A program that puts numbers out until `file` is there, and ends with 7.
fn counting(home: &Home) -> (String, std::path::PathBuf) {
    let file = home.path().join("enough");
    let script = format!(
        "i=0; while [ ! -e {} ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo last; exit 7",
        file.display()
    );
    (script, file)
}

#[test]
fn what_is_followed_goes_on_where_it_was_when_daemons_die() {
    let mut pair = Pair::start();
    let (script, enough) = counting(&pair.spoke.home);
    let id = pair.session(&script);
    let mut tail = start(&pair.hub.home, ["session", "tail", "-f", &id]);
    let mut wait = start(&pair.hub.home, ["session", "wait", "--timeout", "60s", &id]);
    let text = start(&pair.hub.home, ["session", "wait", "--timeout", "60s", "--text", "^last", &id]);
    let mut out = tail.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        out.read_to_string(&mut all).map(|_| all)
    });
    let grows = |api: &Api| {
        let own = id.strip_suffix("@desk").unwrap();
        let len = || api.get(&format!("/v1/sessions/{own}/scrollback")).body.len();
        let before = len();
        wait_for("more output", || (len() > before + 500).then_some(()));
    };
    grows(&pair.spoke);
    again(&mut pair.spoke);
    grows(&pair.spoke);
    again(&mut pair.hub);
    grows(&pair.spoke);
    // Longer than a blip: it is said.
    pair.spoke.daemon.process.kill();
    let own_log = pair.spoke.home.darkmux().join("sessions");
    assert!(own_log.is_dir() && tail.try_wait().unwrap().is_none() && wait.try_wait().unwrap().is_none());
    std::fs::write(&enough, "").unwrap();
    pair.spoke.daemon = Daemon::start_with(&pair.spoke.home, ["serve"]);
    let (tail, wait, text) = (
        tail.wait_with_output().unwrap(),
        wait.wait_with_output().unwrap(),
        text.wait_with_output().unwrap(),
    );
    let all = reader.join().unwrap().unwrap();
    let count = all.lines().count();
    let wanted: Vec<String> =
        (1..count).map(|number| format!("line {number}")).chain(["last".to_owned()]).collect();
    assert!(count > 50, "{all}");
    assert_eq!(all.lines().collect::<Vec<_>>(), wanted, "nothing lost, nothing twice");
    assert_eq!(tail.status.code(), Some(7), "{}", describe(&tail));
    assert_eq!(wait.status.code(), Some(7), "{}", describe(&wait));
    assert_eq!(
        (text.status.code(), text.stdout.as_slice()),
        (Some(0), b"last\n".as_slice()),
        "{}",
        describe(&text)
    );
}

#[test]
fn who_waits_for_a_machine_that_is_away_is_told_and_its_time_is_kept() {
    let mut pair = Pair::start();
    let id = pair.session("exec cat");
    let tail = start(&pair.hub.home, ["session", "tail", "-f", &id]);
    let wait = start(&pair.hub.home, ["session", "wait", "--timeout", "4s", &id]);
    pair.spoke.daemon.process.kill();
    let wait = wait.wait_with_output().unwrap();
    assert_eq!(wait.status.code(), Some(124), "{}", describe(&wait));
    crate::support::signal(i64::from(tail.id()), "INT");
    let tail = tail.wait_with_output().unwrap();
    assert_eq!(tail.status.code(), Some(130), "{}", describe(&tail));
    for output in [&wait, &tail] {
        let said = describe(output);
        assert!(said.contains("can't be reached: ") && said.contains("trying again"), "{said}");
    }
    // A session that is gone for good is not waited for.
    pair.spoke.daemon = Daemon::start_with(&pair.spoke.home, ["serve"]);
    pair.hub.peer_is("desk", "connected");
    let tail = start(&pair.hub.home, ["session", "tail", "-f", &id]);
    pair.spoke.home.ok(["session", "dismiss", "--yes", id.strip_suffix("@desk").unwrap()]);
    let tail = tail.wait_with_output().unwrap();
    assert!(!tail.status.success(), "{}", describe(&tail));
}

#[tokio::test]
async fn a_terminal_says_that_nothing_is_taken_and_comes_back_as_it_was() {
    let mut pair = Pair::start();
    // Drawn once the terminal has its size.
    let draw =
        "echo ready; read _; printf '\\033[2J\\033[1;1Htop line\\033[30;1Hbottom line\\033[5;1H'; exec cat";
    let id = pair.session(draw);
    let mut tty = Tty::start(&pair.hub.home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("\r").await;
    tty.until("the screen", |screen| screen.contents().contains("bottom line")).await;
    pair.spoke.daemon.process.kill();
    tty.until("the last row", |screen| screen.contents().contains("what you type is not taken")).await;
    let shown = tty.picture().contents();
    assert!(shown.contains("no connection for") && shown.contains("ctrl-\\ leaves"), "{shown}");
    assert!(shown.contains("top line") && !shown.contains("bottom line"), "{shown}");
    assert_eq!(tty.picture().cursor_position(), (4, 0), "the cursor stays");
    tty.press("lost").await;
    pair.spoke.daemon = Daemon::start_with(&pair.spoke.home, ["serve"]);
    tty.until("the row to come back", |screen| screen.contents().contains("bottom line")).await;
    assert!(!tty.picture().contents().contains("not taken"), "{}", tty.picture().contents());
    tty.press("typed\r").await;
    tty.until("what is typed", |screen| screen.contents().contains("typed\ntyped")).await;
    assert!(!tty.picture().contents().contains("lost"), "{}", tty.picture().contents());
    // Who leaves while it is away gets the row back.
    pair.spoke.daemon.process.kill();
    tty.until("the last row", |screen| screen.contents().contains("not taken")).await;
    tty.press("\x1c").await;
    assert!(tty.wait().await.is_success());
    assert!(!tty.picture().contents().contains("not taken"), "{}", tty.picture().contents());
}

/// What came while the connection was away goes by on the terminal as everything else did: nothing is missing above the screen.
#[tokio::test]
async fn lines_that_scrolled_past_while_it_was_away_are_in_the_terminals_own_history() {
    let mut pair = Pair::start();
    let go = pair.spoke.home.path().join("go");
    let script = format!(
        "echo ready; read _; echo before; while [ ! -e {} ]; do sleep 0.05; done; seq -f 'line %g' 1 300; exec cat",
        go.display()
    );
    let id = pair.session(&script);
    let mut tty = Tty::start(&pair.hub.home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("\r").await;
    tty.until("the screen", |screen| screen.contents().contains("before")).await;
    pair.spoke.daemon.process.kill();
    tty.until("the last row", |screen| screen.contents().contains("not taken")).await;
    std::fs::write(&go, "").unwrap();
    pair.spoke.daemon = Daemon::start_with(&pair.spoke.home, ["serve"]);
    tty.until("the newest line", |screen| screen.contents().contains("line 300")).await;
    let shown = tty.rest();
    for number in 1..=300 {
        let line = format!("line {number}\r\n");
        assert_eq!(shown.matches(&line).count(), 1, "{line:?} in {shown}");
    }
    assert!(!tty.picture().contents().contains("not taken"), "{}", tty.picture().contents());
    tty.press("typed\r").await;
    tty.until("what is typed", |screen| screen.contents().contains("typed\ntyped")).await;
}
