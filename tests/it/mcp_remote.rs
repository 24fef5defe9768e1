//! `darkmux mcp` on sessions of other machines, `ID@MACHINE`: two daemons, one the hub of the other.

use darkmux::session::AgentSide;
use darkmux::wire::SessionReport;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::{Mcp, wait_for};

#[test]
fn sessions_of_another_machine_are_seen_answered_awaited_and_ended() {
    let desk = Api::of(machine("desk"));
    let script = "echo ready; read answer; echo \"got $answer\"; exec sleep 600";
    let own = desk.sh(script);
    let hub = hub("hub", &[PeerLine::of("desk", &desk)]);
    let id = format!("{own}@desk");
    hub.shows(&[&id]);
    let home = &hub.home;
    let mut mcp = Mcp::start(home, []);
    let listed = mcp.call("session_list", &json!({}));
    assert_eq!((&listed["sessions"], &listed["remote"][0]["id"]), (&json!([]), &json!(id)));
    assert_eq!(listed["remote"][0]["command"], Value::Null);
    assert_eq!(mcp.call("session_list", &json!({ "machine": "hub" }))["remote"], json!([]));
    assert_eq!(mcp.call("session_list", &json!({ "machine": "desk" }))["remote"][0]["id"], json!(id));

    assert_eq!(mcp.call("wait", &json!({ "id": id, "text": "^ready" }))["line"], "ready");
    mcp.call("session_send", &json!({ "id": id, "text": "it" }));
    let seen = mcp.call("wait", &json!({ "id": id, "text": "got" }));
    assert_eq!(
        (&seen["line"], &seen["reason"], &seen["machine"], &seen["ended"]),
        (&json!("got it"), &json!("text"), &json!("desk"), &json!(false))
    );
    let screen = mcp.call("session_screen", &json!({ "id": id }));
    assert!(screen["screen"].as_str().unwrap().ends_with("got it"), "{screen}");
    let logs = mcp.call("logs", &json!({ "id": id }));
    assert_eq!(
        (&logs["id"], &logs["state"], &logs["output_truncated"]),
        (&json!(id), &json!("running"), &json!(false))
    );
    assert!(logs["output"].as_str().unwrap().starts_with("ready\n"), "{logs}");
    assert_eq!(mcp.call("logs", &json!({ "id": id, "output_bytes": 8 }))["output"], "got it\n");
    let over = mcp.call("wait", &json!({ "id": id, "wait_for": "300ms" }));
    assert_eq!((&over["reason"], &over["ended"]), (&json!("time_over"), &json!(false)));

    let side = AgentSide::new(&desk.home.darkmux().join("sessions").join(&own).join("host.sock"));
    let asks = SessionReport { needs_you: Some("A or B?".to_owned()), ..SessionReport::default() };
    side.put("/status", &asks).unwrap();
    let waiting = wait_for("the question", || {
        mcp.call("inbox", &json!({ "machine": "desk" }))["waiting"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&waiting["id"], &waiting["question"]), (&json!(id), &json!("A or B?")));
    assert_eq!(mcp.call("inbox", &json!({ "machine": "hub" }))["waiting"], json!([]));
    assert_eq!(mcp.call("session_screen", &json!({ "id": id }))["question"], "A or B?");

    // A name without a machine is looked for here alone.
    assert!(mcp.fails("session_kill", &json!({ "id": own })).contains("no session"));
    assert!(mcp.fails("session_kill", &json!({ "id": "other@desk" })).contains("on desk"));
    assert!(
        mcp.fails("session_send", &json!({ "id": "x@nowhere", "text": "y" }))
            .contains("no machine `nowhere`")
    );
    let mut looking = Mcp::start(home, ["--read-only"]);
    assert!(looking.fails("session_send", &json!({ "id": id, "text": "x" })).contains("--read-only"));
    let ended = mcp.call("session_kill", &json!({ "id": id }));
    assert_eq!((&ended["ended"], &ended["id"]), (&json!(true), &json!(id)));
    assert_eq!(desk.session(&own)["alive"], false);
    let last = mcp.call("session_screen", &json!({ "id": id }));
    assert!(last["screen"].as_str().unwrap().contains("got it"), "{last}");
    assert!(mcp.fails("session_send", &json!({ "id": id, "text": "x" })).contains("has ended"));
}

#[test]
fn the_end_of_a_session_of_another_machine_is_awaited_with_its_output() {
    let desk = Api::of(machine("desk"));
    let own = desk.sh("read go; seq 1 50000; exit 7");
    let hub = hub("hub", &[PeerLine::of("desk", &desk)]);
    let id = format!("{own}@desk");
    hub.shows(&[&id]);
    let mut mcp = Mcp::start(&hub.home, []);
    let waits = mcp.begin_call("wait", &json!({ "id": id, "output_bytes": 14 }));
    Mcp::start(&hub.home, []).call("session_send", &json!({ "id": id, "text": "now" }));
    let ended = mcp.answer(waits)["result"]["structuredContent"].clone();
    assert_eq!(
        (&ended["reason"], &ended["exit_code"], &ended["output"], &ended["output_truncated"]),
        (&json!("ended"), &json!(7), &json!("49999\n50000\n"), &json!(true)),
        "{ended}"
    );
    drop(desk);
    hub.peer_is("desk", "disconnected");
    assert!(mcp.fails("session_screen", &json!({ "id": id })).contains("desk"));
}
