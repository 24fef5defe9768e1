//! What typing means for what a program said of itself: its question is answered, and it is at work.

use std::time::Duration;

use darkmux::session::AgentSide;
use darkmux::wire::SessionReport;

use crate::session_cli::{new, session, tail};
use crate::support::{Home, describe, wait_for};

/// A shell's marks around a prompt and a command.
const MARKS: &str = "stty -echo; while printf '\\033]133;A\\007'; read x; do printf '\\033]133;C\\007'; \
                     [ -n \"$x\" ] && sleep 1; echo \"did $x\"; printf '\\033]133;D\\007'; done";

fn side(home: &Home, id: &str) -> AgentSide {
    AgentSide::new(&home.darkmux().join("sessions").join(id).join("host.sock"))
}

fn asking(home: &Home) -> usize {
    home.json(["inbox", "--json"])["waiting"].as_array().unwrap().len()
}

#[test]
fn who_types_and_waits_waits_for_what_comes_of_it() {
    let home = Home::new();
    let id = new(&home, MARKS);
    wait_for("its prompt", || (!session(&home, &id)["report"].is_null()).then_some(()));
    home.ok(["session", "wait", "--idle", "--timeout", "20", &id]);
    for word in ["one", "two"] {
        home.ok(["session", "send", &id, word]);
        home.ok(["session", "wait", "--idle", "--timeout", "20", &id]);
        assert!(tail(&home, &id).contains(&format!("did {word}")), "{}", tail(&home, &id));
    }

    // An agent that says a moment later that it works, and then that it does not.
    let agent = new(&home, "stty -echo; exec cat");
    let idle = SessionReport { label: "idle".to_owned(), ..SessionReport::default() };
    let works = SessionReport { working: true, ..SessionReport::default() };
    side(&home, &agent).put("/status", &idle).unwrap();
    home.ok(["session", "wait", "--idle", &agent]);
    home.ok(["session", "send", &agent, "do it"]);
    let waiting = home.cmd(["session", "wait", "--idle", "--timeout", "100ms", &agent]).output().unwrap();
    assert_eq!(waiting.status.code(), Some(124), "{}", describe(&waiting));
    side(&home, &agent).put("/status", &works).unwrap();
    std::thread::sleep(Duration::from_millis(2300));
    let still = session(&home, &agent);
    assert_eq!(still["report"]["working"], true, "it was confirmed: {still}");
    side(&home, &agent).put("/status", &idle).unwrap();
    home.ok(["session", "wait", "--idle", "--timeout", "20", &agent]);
}

#[test]
fn what_is_not_confirmed_is_taken_back() {
    let home = Home::new();
    let id = new(&home, "stty -echo; exec cat");
    let idle = SessionReport { label: "resting".to_owned(), ..SessionReport::default() };
    side(&home, &id).put("/status", &idle).unwrap();
    home.ok(["session", "send", &id, "hello"]);
    let waiting = home.cmd(["session", "wait", "--idle", "--timeout", "100ms", &id]).output().unwrap();
    assert_eq!(waiting.status.code(), Some(124), "{}", describe(&waiting));
    home.ok(["session", "wait", "--idle", "--timeout", "20", &id]);
    wait_for("what it said", || (session(&home, &id)["report"]["label"] == "resting").then_some(()));
}

#[test]
fn a_question_of_any_program_is_answered_by_the_return_key() {
    let home = Home::new();
    let id = new(&home, "stty -echo; exec cat");
    let question = Some("deploy?".to_owned());
    let asks = SessionReport { needs_you: question, ..SessionReport::default() };
    side(&home, &id).put("/status", &asks).unwrap();
    wait_for("the question", || (asking(&home) == 1).then_some(()));
    home.ok(["session", "send", "--no-enter", &id, "ye"]);
    home.ok(["session", "send", "--key", "up", &id]);
    assert_eq!(asking(&home), 1, "that is no answer");
    home.ok(["session", "send", &id, "s"]);
    wait_for("nobody to ask", || (asking(&home) == 0).then_some(()));
    wait_for("nothing said", || session(&home, &id)["report"].is_null().then_some(()));
    side(&home, &id).put("/status", &asks).unwrap();
    wait_for("it asks once more", || (asking(&home) == 1).then_some(()));
}
