//! Hub and spokes, of real daemons: sessions of all machines in one place, as they are, once, and no longer than they
//! are there. The names in brackets are those of the scenarios in gmux' notes on its wire.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http_raw::{Event, Events};
use crate::support::api::{Api, data};
use crate::support::hub::{PeerLine, hub, machine, set_peers, write_host};
use crate::support::{Daemon, is_alive, signal, wait_for};

fn json_of(event: &Event) -> Value {
    serde_json::from_str(&event.data).expect("JSON on one line")
}

/// The ids in the first part of a stream.
fn first_part(stream: &mut Events) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    wait_for("the first part", || {
        stream.fill();
        for event in stream.take() {
            let data = json_of(&event);
            if event.name == "session-upsert" {
                ids.insert(data["id"].as_str().unwrap().to_owned());
            }
            if event.name == "session-snapshot" {
                let all = data["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
                assert_eq!(all.collect::<BTreeSet<_>>(), ids);
                return Some(());
            }
        }
        None
    });
    ids
}

/// Waits for an event of this name whose data is so.
fn event(stream: &mut Events, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    wait_for(name, || {
        stream.fill();
        stream.take().iter().filter(|event| event.name == name).map(json_of).find(&is_it)
    })
}

/// The actions of the hub's records about peers.
fn records(api: &Api) -> Vec<(String, String)> {
    let folder = std::fs::read_dir(api.home.darkmux().join("flows")).into_iter().flatten().flatten();
    let lines: Vec<String> = folder
        .flat_map(|day| {
            let text = std::fs::read_to_string(day.path()).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let records = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_peers = records.filter(|record| record["source"] == "peer");
    of_peers
        .map(|record| {
            (record["action"].as_str().unwrap().to_owned(), record["handle"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// P1: sessions of a spoke appear as the spoke says them.
#[test]
fn a_spokes_sessions_appear_as_their_owner_says_them() {
    let spoke = Api::of(machine("desk"));
    let ids = [spoke.launch(&["sleep", "60"]), spoke.sh("exit 3")];
    spoke.ended(&ids[1]);
    let hub = hub("hub", &[PeerLine::of("desktop", &spoke)]);
    let remote: Vec<String> = ids.iter().map(|id| format!("{id}@desktop")).collect();
    hub.shows(&[&remote[0], &remote[1]]);
    let node = data(&spoke.get("/v1/health"))["node_id"].clone();
    for (id, remote) in ids.iter().zip(&remote) {
        let (mut theirs, mut ours) = (spoke.session(id), hub.session(remote));
        assert_eq!((&ours["peer"], &ours["node_id"]), (&json!("desktop"), &node));
        assert!(ours.get("socket_path").is_none() && ours.get("disconnected_since").is_none(), "{ours}");
        for key in ["id", "peer", "socket_path", "node_id", "node_path"] {
            theirs.as_object_mut().unwrap().remove(key);
            ours.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(ours, theirs);
    }
    let peer = hub.peer_is("desktop", "connected");
    assert_eq!(
        (&peer["session_count"], &peer["sessions"], &peer["machine_id"]),
        (&json!(1), &json!(2), &json!("desk"))
    );
    assert!(!peer["launchers"].as_array().unwrap().is_empty());
    let counts = data(&hub.get("/v1/health"))["sessions"].clone();
    assert_eq!((&counts["remote_alive"], &counts["local_alive"]), (&json!(1), &json!(0)));
    // Everybody on this machine may see that they are there, and not what they say.
    let lines = hub.get("/sessions").json()["remote"].clone();
    let line =
        lines.as_array().unwrap().iter().find(|line| line["id"] == remote[0].as_str()).unwrap().clone();
    assert_eq!(
        (&line["peer"], &line["machine_id"], &line["alive"]),
        (&json!("desktop"), &json!("desk"), &json!(true))
    );
    assert!(line.get("title").is_none() && line.get("command").is_none(), "{line}");
    // By the beginning of its id, and never without its machine.
    let short: String = ids[0].chars().take(11).collect();
    assert_eq!(hub.session(&format!("{short}@desktop"))["id"], remote[0].as_str());
    assert_eq!(hub.get(&format!("/v1/sessions/{}", ids[0])).status, 404);
    wait_for("a record of the link", || {
        records(&hub).contains(&("peer.connected".into(), "desktop".into())).then_some(())
    });
}

/// P6, P7: a spoke that is down keeps its sessions, marked; what ended meanwhile is no ghost.
#[test]
fn a_spoke_goes_and_comes_back() {
    let mut spoke = Api::of(machine("desk"));
    let (stays, goes) = (spoke.launch(&["sleep", "60"]), spoke.launch(&["sleep", "60"]));
    let hub = hub("hub", &[PeerLine::of("desk", &spoke)]);
    let (stays_here, goes_here) = (format!("{stays}@desk"), format!("{goes}@desk"));
    hub.shows(&[&stays_here, &goes_here]);
    let mut stream = hub.events_with("?scope=all", &[]);
    assert_eq!(first_part(&mut stream).len(), 2);

    let port = spoke.daemon.port.to_string();
    spoke.daemon.process.kill();
    let marked =
        event(&mut stream, "session-upsert", |data| data["session"]["disconnected_since"].is_string());
    assert_eq!(marked["session"]["alive"], true, "as its owner said last");
    event(&mut stream, "peer-status", |data| data["id"] == "desk");
    hub.shows(&[&stays_here, &goes_here]);
    let peer = hub.peer_says("desk", "connection refused");
    assert_eq!(peer["status"], "disconnected");

    spoke.home.ok(["session", "kill", &goes]);
    spoke.home.ok(["session", "dismiss", &goes]);
    spoke.daemon = Daemon::start_with(&spoke.home, ["serve", "--port", &port]);
    hub.peer_is("desk", "connected");
    hub.shows(&[&stays_here]);
    event(&mut stream, "session-remove", |data| data["id"] == goes_here.as_str());
    wait_for("the mark to go", || hub.session(&stays_here).get("disconnected_since").is_none().then_some(()));
    let told = records(&hub);
    assert!(told.contains(&("peer.disconnected".into(), "desk".into())), "{told:?}");
    let report: Value = serde_json::from_slice(&hub.home.run(["doctor", "--json"]).stdout).unwrap();
    let links = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "links").unwrap();
    assert_eq!((&links["state"], &links["finding"]), (&json!("pass"), &json!("1 of 1 peers connected")));
}

/// P9: tokens that are wrong, rotated, in a file, from a command; and a file that is changed while the daemon runs.
#[test]
fn a_token_that_is_wrong_is_said_and_a_good_one_counts_at_once() {
    let spoke = Api::of(machine("desk"));
    let id = format!("{}@desk", spoke.launch(&["sleep", "60"]));
    let hub = hub("hub", &[PeerLine { token: Some("wrong".repeat(13)), ..PeerLine::of("desk", &spoke) }]);
    hub.peer_says("desk", "authentication failed");
    assert_eq!(hub.sessions().len(), 0);
    wait_for("its record", || records(&hub).contains(&("peer.denied".into(), "desk".into())).then_some(()));
    let url = spoke.daemon.url("");
    let file = spoke.home.darkmux().join("auth-token").display().to_string();
    for line in [format!("token_file = \"{file}\""), format!("token_command = \"cat {file}\"")] {
        write_host(&hub.home, &format!("[[peers]]\nname = \"desk\"\nurl = \"{url}\"\n{line}\n"));
        hub.shows(&[&id]);
        // A file with a mistake changes nothing.
        write_host(&hub.home, "[[peers]]\nnme = \"desk\"\n");
        wait_for("the mistake to be noticed", || {
            let log = std::fs::read_to_string(hub.home.path().join("serve.log")).unwrap();
            log.contains("did you mean `peers.name`").then_some(())
        });
        hub.shows(&[&id]);
        set_peers(&hub.home, &[]);
        hub.shows(&[]);
        assert_eq!(hub.peer("desk"), Value::Null);
    }
    // The roster's machines with a token are peers, too.
    let address = url.strip_prefix("http://").unwrap();
    hub.home.ok(["fleet", "add", "desk", "--address", address, "--token-file", &file]);
    hub.shows(&[&id]);
    assert_eq!(hub.peer("desk")["origin"], "roster");
}

/// A token's file that is mended counts before the next try would have been due, and lists of machines show peers that are in
/// no roster.
#[test]
fn a_mended_token_file_counts_at_once_and_lists_name_every_peer() {
    let spoke = Api::of(machine("desk"));
    let id = format!("{}@desk", spoke.launch(&["sleep", "60"]));
    let home = machine("hub");
    let file = home.path().join("desk.token");
    write_private(&file, "wrong-wrong-wrong-wrong");
    let (url, shown) = (spoke.daemon.url(""), file.display());
    write_host(&home, &format!("[[peers]]\nname = \"desk\"\nurl = \"{url}\"\ntoken_file = \"{shown}\"\n"));
    let hub = Api::of(home);
    hub.peer_says("desk", "authentication failed");
    // Looks make the link try, once a second at most, and its next pause longer: in the end it is a quarter of a minute and more.
    let began = std::time::Instant::now();
    let verbs = [["fleet", "status"], ["fleet", "list"]].into_iter().cycle();
    for verb in verbs.take_while(|_| began.elapsed().as_secs() < 8) {
        let output = hub.home.run(verb);
        let said = crate::support::describe(&output);
        assert!(said.contains("desk") && said.contains("host.toml") && said.contains("no link"), "{said}");
    }
    let status = hub.home.json(["fleet", "status", "--json"]);
    assert_eq!(status["peers"][0]["last_error"], "authentication failed");
    let doctor = crate::support::describe(&hub.home.run(["doctor", "--fleet"]));
    assert!(doctor.contains("⚠ desk") && doctor.contains("auth show --print"), "{doctor}");
    write_private(&file, &spoke.token);
    let mended = std::time::Instant::now();
    hub.shows(&[&id]);
    assert!(mended.elapsed().as_secs() < 10, "{:?}", mended.elapsed());
    let output = hub.home.ok(["fleet", "status"]);
    assert!(output.contains("✓ linked"), "{output}");
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A mistake in the file keeps the daemon from starting, and says where it is.
#[test]
fn a_file_with_a_mistake_is_refused_with_its_line() {
    let home = machine("hub");
    write_host(&home, "[[peers]]\nname = \"a\"\nurl = \"http://a\"\ntokn = \"x\"\n");
    let output = home.run(["serve", "--port", "0"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("line 4") && said.contains("`peers.token`"), "{said}");
}

/// P8: a spoke that is stopped says nothing; nobody else waits for it.
#[test]
fn a_spoke_that_hangs_delays_nobody() {
    let (mute, other) = (Api::of(machine("mute")), Api::of(machine("other")));
    let (of_mute, of_other) = (mute.launch(&["sleep", "60"]), other.launch(&["sleep", "60"]));
    let hub = hub("hub", &[PeerLine::of("mute", &mute), PeerLine::of("other", &other)]);
    let (of_mute, of_other) = (format!("{of_mute}@mute"), format!("{of_other}@other"));
    hub.shows(&[&of_mute, &of_other]);
    let pid = mute.daemon.process.pid();
    signal(pid, "STOP");
    let new = format!("{}@other", other.launch(&["sleep", "60"]));
    hub.shows(&[&of_mute, &of_other, &new]);
    signal(pid, "CONT");
    assert!(is_alive(pid));
}

/// P11: mutual peers, a triangle, one machine under two names, itself: each session once.
#[test]
fn no_session_is_shown_twice_whatever_the_ways() {
    let mut all: Vec<Api> = ["a", "b", "c"].map(|name| Api::of(machine(name))).into();
    let own: Vec<String> = all.iter().map(|api| api.launch(&["sleep", "60"])).collect();
    let lines = |names: &[(&str, usize)], all: &[Api]| -> Vec<PeerLine> {
        names.iter().map(|(name, at)| PeerLine::of(name, &all[*at])).collect()
    };
    // Everybody is a peer of everybody, `a` of itself as well, and `b` twice.
    set_peers(&all[0].home, &lines(&[("b", 1), ("c", 2), ("me", 0), ("zb", 1)], &all));
    set_peers(&all[1].home, &lines(&[("a", 0), ("c", 2)], &all));
    set_peers(&all[2].home, &lines(&[("a", 0), ("b", 1)], &all));
    let names = ["a", "b", "c"];
    for (at, api) in all.iter().enumerate() {
        let expected: Vec<String> = (0..3)
            .map(|of| if of == at { own[of].clone() } else { format!("{}@{}", own[of], names[of]) })
            .collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        if at != 0 {
            api.shows(&expected);
        }
    }
    all[0].peer_says("me", "this machine itself");
    // Which of two names comes first is chance; one of them says so.
    let twice = wait_for("the second name", || {
        ["b", "zb"].into_iter().find(|name| {
            all[0].peer(name)["last_error"].as_str().is_some_and(|said| said.contains("the same machine as"))
        })
    });
    let shown = if twice == "b" { "zb" } else { "b" };
    all[0].shows(&[&own[0], &format!("{}@{shown}", own[1]), &format!("{}@c", own[2])]);
    // When the direct way is gone from the list, the way through another machine is shown.
    let a = all.remove(0);
    set_peers(&a.home, &lines(&[("b", 0)], &all));
    a.shows(&[&own[0], &format!("{}@b", own[1]), &format!("{}@c@b", own[2])]);
}

/// P12, P10: changes of sessions reach the hub's viewers and its hubs, through as many machines as there are, to
/// the fourth; hubs of gmux are told of local peers alone.
#[test]
fn changes_travel_through_a_chain() {
    let first = Api::of(machine("m0"));
    let id = first.launch(&["cat"]);
    let mut chain = vec![first];
    for hop in 1..=5 {
        let before = chain.last().unwrap();
        let line = PeerLine::of(&format!("p{}", hop - 1), before);
        chain.push(hub(&format!("m{hop}"), &[if hop == 1 { line.local() } else { line }]));
    }
    let shown = |hops: usize| -> String { (0..hops).fold(id.clone(), |id, hop| format!("{id}@p{hop}")) };
    for (hops, api) in chain.iter().enumerate().skip(1).take(4) {
        api.shows(&[&shown(hops)]);
    }
    let mut stream = chain[4].events_with("?scope=all", &[]);
    assert_eq!(first_part(&mut stream).into_iter().collect::<Vec<_>>(), [shown(4)]);
    data(&chain[0].post(&format!("/v1/sessions/{id}/rename"), &json!({ "name": "new-name" })));
    let told = event(&mut stream, "session-upsert", |data| data["session"]["name"] == "new-name");
    assert_eq!((&told["id"], &told["session"]["machine_id"]), (&json!(shown(4)), &json!("m0")));
    // A fifth machine is too far.
    chain[5].peer_is("p4", "connected");
    assert_eq!(chain[5].sessions().len(), 0);
    // Without saying who it is, a listener gets what a hub of gmux may have.
    assert_eq!(first_part(&mut chain[1].events_with("", &[])).into_iter().collect::<Vec<_>>(), [shown(1)]);
    assert_eq!(first_part(&mut chain[2].events_with("", &[])).len(), 0);
    let node = data(&chain[0].get("/v1/health"))["node_id"].as_str().unwrap().to_owned();
    let via = format!("Darkmux-Via: {node}");
    assert_eq!(first_part(&mut chain[2].events_with("", &[&via])).len(), 0, "its own");
    // The machine in the middle goes: what is behind it is marked, on both sides of it.
    chain[2].daemon.process.kill();
    event(&mut stream, "session-upsert", |data| data["session"]["disconnected_since"].is_string());
    let mut other = chain.remove(2);
    other.again();
}

/// Somebody who comes back gets what was missed of the sessions of all machines, and no more.
#[test]
fn whoever_comes_back_misses_nothing_of_any_machine() {
    let spoke = Api::of(machine("desk"));
    let gone = spoke.launch(&["sleep", "60"]);
    let hub = hub("hub", &[PeerLine::of("desk", &spoke)]);
    hub.shows(&[&format!("{gone}@desk")]);
    let own = hub.launch(&["sleep", "60"]);
    let mut stream = hub.events_with("?scope=all", &[]);
    let mut last = String::new();
    wait_for("the first part", || {
        stream.fill();
        let events = stream.take();
        let end = events.iter().find(|event| event.name == "session-snapshot")?;
        last.clone_from(&end.id);
        Some(())
    });
    drop(stream);
    data(&spoke.act(&gone, "dismiss"));
    let new = format!("{}@desk", spoke.launch(&["sleep", "60"]));
    data(&hub.act(&own, "dismiss"));
    hub.shows(&[&new]);
    let mut stream = hub.events_with("?scope=all", &[&format!("Last-Event-ID: {last}")]);
    let (mut removed, mut upserted) = (BTreeSet::new(), BTreeSet::new());
    wait_for("what was missed", || {
        stream.fill();
        for event in stream.take() {
            assert_ne!(event.name, "session-snapshot", "only what was missed");
            let id = json_of(&event)["id"].as_str().unwrap_or_default().to_owned();
            match event.name.as_str() {
                "session-remove" => drop(removed.insert(id)),
                "session-upsert" => drop(upserted.insert(id)),
                _ => {}
            }
        }
        (removed.contains(&own) && removed.contains(&format!("{gone}@desk")) && upserted.contains(&new))
            .then_some(())
    });
}
