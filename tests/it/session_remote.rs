//! Session verbs on sessions of other machines: `ID@MACHINE`, `--machine`, and names that stay at home.

use std::process::Output;

use darkmux::session::AgentSide;
use darkmux::wire::SessionReport;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::{Home, Tty, describe, wait_for};

/// A hub with one spoke, `desk`, where a session of this script runs.
fn pair(script: &str) -> (Api, Api, String) {
    let spoke = Api::of(machine("desk"));
    let id = spoke.sh(script);
    let hub = hub("hub", &[PeerLine::of("desk", &spoke)]);
    let id = format!("{id}@desk");
    hub.shows(&[&id]);
    (hub, spoke, id)
}

fn refused(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && said.contains(words), "{}", describe(output));
}

fn listed(home: &Home, id: &str) -> Value {
    let all = home.json(["session", "ls", "--all", "--json"]);
    let remote = all["remote"].as_array().expect("a list").clone();
    remote.into_iter().find(|session| session["id"] == id).unwrap_or_default()
}

#[test]
fn what_is_done_by_id_and_machine_is_done_there() {
    let (hub, spoke, id) = pair("echo ready; exec cat");
    let home = &hub.home;
    let own = id.strip_suffix("@desk").unwrap();
    wait_for("its output", || home.ok(["session", "tail", &id]).contains("ready").then_some(()));
    home.ok(["session", "send", &id, "first line"]);
    home.ok(["session", "send", "--machine", "desk", own, "second line"]);
    home.ok(["session", "wait", "--text", "second", "--timeout", "20s", &id]);
    assert_eq!(home.ok(["session", "tail", "-n", "1", &id]), "second line\n");
    let raw = spoke.get(&format!("/v1/sessions/{own}/scrollback")).text();
    assert_eq!(home.ok(["session", "tail", "--raw", &id]), raw);
    let late = home.run(["session", "wait", "--text", "never", "--timeout", "1s", &id]);
    refused(&late, 124, "nothing was ended");

    home.ok(["session", "rename", &id, "first"]);
    home.ok(["session", "rename", "first@desk", "build"]);
    assert_eq!(listed(home, &id)["name"], "build");
    let url = home.ok(["session", "open", "--print", "build@desk"]);
    assert!(url.contains(&format!("/session/{id}#code=")), "{url}");
    // A name means the machine that is named, and this one when none is.
    refused(&home.run(["session", "kill", "build"]), 1, "no session `build`");
    refused(&home.run(["session", "kill", "build@hub"]), 1, "no session `build`");
    refused(&home.run(["session", "kill", "build@nowhere"]), 2, "no machine `nowhere`");
    refused(&home.run(["session", "kill", "other@desk"]), 1, "no session `other` on desk");
    refused(&home.run(["session", "kill", "--grace", "2h", "build@desk"]), 2, "at most 30000");
    refused(&home.run(["session", "attach", "build@desk"]), 2, "takes a terminal");
    home.ok(["session", "kill", "build@desk"]);
    assert_eq!(spoke.session(own)["alive"], false);
    wait_for("its end", || (listed(home, &id)["alive"] == false).then_some(()));
    assert_eq!(home.ok(["session", "resume", "-d", "build@desk"]), format!("{id}\n"));
    assert_eq!(home.ok(["session", "restart", "-d", "--machine", "desk", own]), format!("{id}\n"));
    assert_eq!(spoke.session(own)["runs"], 3);
    wait_for("it to run", || (listed(home, &id)["alive"] == true).then_some(()));
    refused(&home.run(["session", "dismiss", &id]), 2, "dismiss --yes");
    assert_eq!(home.ok(["session", "dismiss", "--yes", &id]), format!("dismissed {id}\n"));
    assert_eq!(spoke.get(&format!("/v1/sessions/{own}")).status, 404);
}

/// How a session is ended is said through the hub as well.
#[test]
fn a_signal_and_a_grace_reach_a_session_there() {
    let script = "trap 'echo got int' INT; trap '' TERM HUP; echo ready; while :; do sleep 0.1; done";
    let (hub, spoke, id) = pair(script);
    let (home, own) = (&hub.home, id.strip_suffix("@desk").unwrap());
    wait_for("its output", || home.ok(["session", "tail", &id]).contains("ready").then_some(()));
    home.ok(["session", "kill", "--signal", "INT", &id]);
    wait_for("the signal", || home.ok(["session", "tail", &id]).contains("got int").then_some(()));
    assert_eq!(spoke.session(own)["alive"], true);
    // Its own grace is 5 s, in which it would ignore everything.
    let began = std::time::Instant::now();
    home.ok(["session", "kill", "--now", &id]);
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(spoke.session(own)["alive"], false);
    let bad = spoke.post(&format!("/v1/sessions/{own}/kill?signal=NOPE"), &json!({}));
    assert_eq!(bad.status, 400);
    let ended = spoke.post(&format!("/v1/sessions/{own}/kill?signal=INT"), &json!({}));
    assert_eq!((ended.status, ended.json()["error"]["code"].as_str()), (400, Some("no_socket")));
}

#[test]
fn a_session_is_started_there_followed_and_ends_with_its_status() {
    let (hub, spoke, _) = pair("exec cat");
    let home = &hub.home;
    let script = "echo one; echo two; exit 5";
    let output = home.run(["session", "new", "--machine", "desk", "--", "sh", "-c", script]);
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (b"one\ntwo\n".as_slice(), Some(5)),
        "{}",
        describe(&output)
    );
    let slow = "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; kill -9 $$";
    let id = home.ok(["session", "new", "-d", "--machine", "desk", "--name", "slow", "--", "sh", "-c", slow]);
    let id = id.trim();
    assert!(id.ends_with("@desk"), "{id}");
    wait_for("it in the list", || (listed(home, id)["name"] == "slow").then_some(()));
    let output = home.run(["session", "tail", "-f", id]);
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (b"1\n2\n3\n4\n5\n".as_slice(), Some(137)),
        "{}",
        describe(&output)
    );
    let lines = home.ok(["session", "tail", "--json", id]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["from"], &lines.last().unwrap()["session"]["id"]), (&json!(0), &json!(id)));
    let output = home.run(["session", "wait", id]);
    assert_eq!(output.status.code(), Some(137), "{}", describe(&output));
    // On this machine nothing was started.
    assert_eq!(home.json(["session", "ls", "--all", "--json"])["sessions"], json!([]));
    drop(spoke);
    refused(&home.run(["session", "new", "--machine", "desk", "true"]), 3, "connection refused");
}

#[test]
fn lists_show_every_machine_and_who_waits_there() {
    let (hub, mut spoke, id) = pair("printf '\\033]0;far away\\007'; exec cat");
    let home = &hub.home;
    let here = home.ok(["session", "new", "-d", "--", "cat"]);
    let table = home.ok(["session", "ls"]);
    let head = table.lines().next().unwrap();
    assert!(head.contains("MACHINE"), "{table}");
    let row =
        |start: &str| table.lines().find(|line| line.starts_with(start)).map(str::to_owned).expect("a row");
    assert!(row(here.trim()).contains(" hub "), "{table}");
    assert!(row(&id).contains(" desk "), "what a list calls it names it: {table}");
    let own = id.strip_suffix("@desk").unwrap();
    refused(&home.run(["session", "tail", own]), 1, &format!("did you mean `{id}`?"));
    let only = home.ok(["session", "ls", "--machine", "desk"]);
    assert!(!only.contains(here.trim()), "{only}");
    for verb in [&["session", "ls"][..], &["inbox"]] {
        let typo = home.command(crate::support::BIN).args(verb).args(["--machine", "dsk"]).output().unwrap();
        refused(&typo, 2, "no machine `dsk` is known here (did you mean `desk`?); there are hub, desk");
        assert!(typo.stdout.is_empty(), "{}", describe(&typo));
    }
    refused(&home.run(["session", "send", &id, "--machine", "hub", "x"]), 2, "name two machines");
    let own = home.json(["session", "ls", "--machine", "hub", "--json"]);
    assert_eq!((own["sessions"].as_array().unwrap().len(), &own["remote"]), (1, &json!([])));
    // Without peers there is no column for them.
    assert!(!spoke.home.ok(["session", "ls"]).contains("MACHINE"));

    let own = id.strip_suffix("@desk").unwrap();
    let side = AgentSide::new(&spoke.home.darkmux().join("sessions").join(own).join("host.sock"));
    let asks = SessionReport { needs_you: Some("A or B?".to_owned()), ..SessionReport::default() };
    side.put("/status", &asks).unwrap();
    let waiting = wait_for("the question", || {
        let inbox = home.json(["inbox", "--json"]);
        inbox["waiting"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&waiting["id"], &waiting["question"]), (&json!(id), &json!("A or B?")));
    assert!(home.ok(["inbox"]).contains(&id));
    assert_eq!(home.json(["inbox", "--machine", "hub", "--json"])["waiting"], json!([]));

    spoke.daemon.process.kill();
    hub.peer_is("desk", "disconnected");
    assert!(home.ok(["session", "ls"]).contains("away"), "marked");
    assert!(home.ok(["session", "ls", "--machine", "desk"]).contains("away"), "what is known of it");
    refused(&home.run(["session", "send", &id, "x"]), 3, "connection refused");
}

#[test]
fn a_list_says_the_same_of_a_session_here_and_there() {
    let (hub, spoke, id) = pair("exec cat");
    let own = id.strip_suffix("@desk").unwrap();
    spoke.home.ok(["session", "rename", own, "build"]);
    let what = |home: &Home| {
        let table = home.ok(["session", "ls"]);
        let row = table.lines().find(|line| line.starts_with(own)).map(str::to_owned).expect("a row");
        row.split_once("  build  ").map(|(_, what)| what.trim().to_owned())
    };
    let there = what(&spoke.home).expect("the name");
    assert!(there.starts_with("sh -c"), "{there}");
    wait_for("the name", || (what(&hub.home).as_ref() == Some(&there)).then_some(()));
}

#[tokio::test]
async fn a_terminal_shows_a_session_of_another_machine_and_types_into_it() {
    let (hub, _spoke, id) = pair("echo ready; exec cat");
    let mut tty = Tty::start(&hub.home, ["session", "attach", &id]);
    tty.expect("ready").await;
    tty.press("typed here\r").await;
    tty.expect("typed here").await;
    tty.press("\x1c").await;
    assert!(tty.wait().await.is_success());
    assert!(tty.rest().contains(&format!("left session {id}, which runs on")), "{}", tty.rest());
    assert_eq!(hub.session(&id)["alive"], true);
    let mut tty = Tty::start(&hub.home, ["session", "attach", &id]);
    tty.expect("typed here").await;
    tty.press("\x04").await;
    assert!(tty.wait().await.is_success());
    assert!(tty.rest().contains(&format!("session {id} ended, exit code 0")), "{}", tty.rest());
}
