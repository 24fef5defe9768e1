//! Links of a hub: when they are tried, what they take of others, and which of two names stands for a machine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use darkmux::config::{Config, Environment, TokenSource};
use darkmux::peer::{MESSAGE_MAX, Origin, Peers, PeersParts, Wanted};
use darkmux::util::{Clock, Shutdown};
use jiff::SignedDuration;

use crate::support::api::Api;
use crate::support::hub::{PeerLine, hub, machine, set_peers, write_host};
use crate::support::spoke::{Answer, Spoke, health, session, upsert};
use crate::support::ws::{Frame, Ws};
use crate::support::{describe, wait_for};

const NODE: &str = "node-of-the-spoke";

fn at(name: &str, spoke: &Spoke) -> PeerLine {
    PeerLine::at(name, spoke.url())
}

/// Has it answer as a daemon of ours with this session.
fn answers(spoke: &Spoke, id: &str) {
    spoke.on("/v1/health", Answer::Bytes(health(NODE)));
    spoke.on("/v1/events", Answer::Stream(upsert(id, &session(id)).into_bytes()));
}

/// How long the pause after so many tries was.
fn pause(spoke: &Spoke, tries: usize) -> Duration {
    let all = wait_for("the next try", || Some(spoke.tries()).filter(|all| all.len() > tries));
    all[tries] - all[tries - 1]
}

/// Pauses grow for who refuses, and for who ends each stream at once; a link that held for a while begins anew.
#[test]
fn pauses_grow_until_a_link_holds() {
    let (refuses, ends) = (Spoke::start(), Spoke::of("node-that-ends", &[]));
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:\n\n";
    ends.on("/v1/events", Answer::Bytes(head.to_vec()));
    let hub = hub("hub", &[at("refuses", &refuses), at("ends", &ends)]);
    // Steps of 1, 2 and 4 s, of which a half may be left out.
    for spoke in [&refuses, &ends] {
        assert!(pause(spoke, 3) >= Duration::from_millis(1900), "{:?}", pause(spoke, 3));
    }
    answers(&refuses, "x");
    hub.peer_is("refuses", "connected");
    let up = *refuses.tries().last().unwrap();
    wait_for("a link that holds", || (up.elapsed() > Duration::from_millis(3500)).then_some(()));
    let (cut, tries) = (Instant::now(), refuses.tries().len());
    refuses.hang_up();
    pause(&refuses, tries);
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
}

/// Whoever asks for sessions, or for something of one, makes a link that waits try at once.
#[test]
fn a_command_that_looks_or_acts_makes_links_try_at_once() {
    let spoke = Spoke::start();
    let hub = hub("hub", &[at("desk", &spoke)]);
    let at_once = |what: &str, ask: &dyn Fn()| {
        // Looks count once a second, and the next pause is two seconds long at least.
        let last = || spoke.tries().last().copied();
        wait_for("a pause", || {
            (spoke.tries().len() > 2 && last()?.elapsed() > Duration::from_millis(1100)).then_some(())
        });
        let (asked, tries) = (Instant::now(), spoke.tries().len());
        ask();
        wait_for("the next try", || (spoke.tries().len() > tries).then_some(()));
        assert!(asked.elapsed() < Duration::from_millis(900), "{what}: {:?}", asked.elapsed());
    };
    at_once("a list", &|| drop(hub.home.ok(["session", "ls"])));
    at_once("an action", &|| drop(hub.act("x@desk", "kill")));
    answers(&spoke, "x");
    wait_for("the session in the list", || hub.home.ok(["session", "ls"]).contains("x@desk").then_some(()));
}

/// A link that is resumed is told only what changed: what it did not hear of is as it was, and not away any more.
#[test]
fn what_did_not_change_while_it_was_away_is_back_as_well() {
    let spoke = Spoke::of(NODE, &[session("x")]);
    let hub = hub("hub", &[at("desk", &spoke)]);
    hub.shows(&["x@desk"]);
    spoke.on("/v1/events", Answer::Bytes(Vec::new()));
    spoke.hang_up();
    wait_for("the mark", || hub.session("x@desk")["disconnected_since"].is_string().then_some(()));
    spoke.on("/v1/events", Answer::Stream(Vec::new()));
    wait_for("the mark to go", || hub.session("x@desk").get("disconnected_since").is_none().then_some(()));
    hub.shows(&["x@desk"]);
}

/// One machine under two names: the second stands in while the first is away, and takes its place when it is no peer any more.
#[test]
fn the_second_name_of_a_machine_stands_in_and_gives_way() {
    let (first, second) = (Spoke::of(NODE, &[session("x")]), Spoke::of(NODE, &[session("x")]));
    let hub = hub("hub", &[at("first", &first)]);
    hub.shows(&["x@first"]);
    let both = [at("first", &first), at("second", &second)];
    set_peers(&hub.home, &both);
    hub.peer_says("second", "the same machine as first");
    first.on("/v1/events", Answer::Bytes(Vec::new()));
    first.hang_up();
    let look = || drop(hub.home.run(["fleet", "list"]));
    wait_for("the second to stand in", || {
        look();
        (hub.peer("second")["status"] == "connected").then_some(())
    });
    answers(&first, "x");
    wait_for("the first to be back", || {
        look();
        (hub.peer("first")["status"] == "connected").then_some(())
    });
    hub.peer_says("second", "the same machine as first");
    hub.shows(&["x@first"]);
    set_peers(&hub.home, &both[1..]);
    wait_for("the second to be the only one", || {
        look();
        (hub.peer("second")["status"] == "connected").then_some(())
    });
    hub.shows(&["x@second"]);
}

/// A token's command runs again when its token was refused; a roster that is damaged leaves its peers as they were.
#[test]
fn a_refused_command_runs_again_and_a_damaged_roster_changes_nothing() {
    let spoke = Api::of(machine("desk"));
    let id = format!("{}@desk", spoke.launch(&["sleep", "60"]));
    let home = machine("hub");
    let file = home.path().join("desk.token");
    std::fs::write(&file, "wrong-wrong-wrong-wrong").unwrap();
    let (url, shown) = (spoke.daemon.url(""), file.display());
    write_host(
        &home,
        &format!("[[peers]]\nname = \"desk\"\nurl = \"{url}\"\ntoken_command = \"cat {shown}\"\n"),
    );
    let hub = Api::of(home);
    hub.peer_says("desk", "authentication failed");
    std::fs::write(&file, &spoke.token).unwrap();
    hub.shows(&[&id]);

    set_peers(&hub.home, &[]);
    hub.shows(&[]);
    let (address, token) = (url.strip_prefix("http://").unwrap(), spoke.home.darkmux().join("auth-token"));
    hub.home.ok(["fleet", "add", "desk", "--address", address, "--token-file", &token.display().to_string()]);
    hub.shows(&[&id]);
    std::fs::write(hub.home.darkmux().join("fleet.json"), "{").unwrap();
    wait_for("the damage to be noticed", || {
        let log = std::fs::read_to_string(hub.home.path().join("serve.log")).unwrap();
        log.contains("the peers stay as they were").then_some(())
    });
    hub.shows(&[&id]);
    assert_eq!(hub.peer("desk")["status"], "connected");
}

/// Puts a roster in its place that has this length and moment, as one has whose rights alone are others.
fn put_roster(hub: &Api, text: &str, at: std::time::SystemTime) {
    let (file, new) = (hub.home.darkmux().join("fleet.json"), hub.home.darkmux().join("fleet.json.new"));
    std::fs::write(&new, format!("{text:400}")).unwrap();
    std::fs::File::options().write(true).open(&new).unwrap().set_modified(at).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// A roster that can't be read is said once, by `doctor` as well, and counts as soon as it can be read.
#[test]
fn a_roster_that_can_be_read_again_counts_and_its_fault_is_said_once() {
    let spoke = Api::of(machine("desk"));
    let id = format!("{}@desk", spoke.launch(&["sleep", "60"]));
    let hub = hub("hub", &[]);
    let (url, token) = (spoke.daemon.url(""), spoke.home.darkmux().join("auth-token"));
    let address = url.strip_prefix("http://").unwrap();
    hub.home.ok(["fleet", "add", "desk", "--address", address, "--token-file", &token.display().to_string()]);
    hub.shows(&[&id]);
    let good = std::fs::read_to_string(hub.home.darkmux().join("fleet.json")).unwrap();
    let mut none: serde_json::Value = serde_json::from_str(&good).unwrap();
    none["machines"].as_object_mut().expect("machines by name").clear();
    let said = || {
        let log = std::fs::read_to_string(hub.home.path().join("serve.log")).unwrap();
        log.matches("the peers stay as they were").count()
    };
    let now = std::time::SystemTime::now();
    put_roster(&hub, "{", now - Duration::from_mins(1));
    wait_for("the fault to be noticed", || (said() == 1).then_some(()));
    let doctor = describe(&hub.home.run(["doctor"]));
    assert!(doctor.contains("the daemon goes on with those of before"), "{doctor}");
    // Read once more, together with a file that names another peer.
    put_roster(&hub, "{", now);
    let gone = Spoke::start();
    set_peers(&hub.home, &[at("gone", &gone)]);
    wait_for("the other file to be read", || hub.peer("gone").is_object().then_some(()));
    assert_eq!(hub.ids(), [id]);
    put_roster(&hub, &none.to_string(), now);
    hub.shows(&[]);
    assert_eq!(said(), 1);
}

/// A mistake in `host.toml` is said by the lists that people look at.
#[test]
fn lists_of_machines_say_what_is_wrong_in_the_file() {
    let hub = hub("hub", &[]);
    write_host(&hub.home, "[[peers]]\nnme = \"desk\"\n");
    for verb in ["list", "status"] {
        let said = describe(&hub.home.run(["fleet", verb]));
        assert!(said.contains("line 2") && said.contains("did you mean `peers.name`"), "{said}");
    }
}

/// What stands in the environment for other programs gets no token of a peer.
#[test]
fn no_proxy_of_the_environment_is_asked() {
    let (proxy, spoke) = (Spoke::start(), Spoke::of(NODE, &[session("x")]));
    let home = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .into_iter()
        .fold(machine("hub"), |home, name| home.with(name, proxy.url()));
    set_peers(&home, &[at("desk", &spoke)]);
    let hub = Api::of(home);
    hub.shows(&["x@desk"]);
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

/// The peers of a machine whose clock is the test's.
fn peers(home: &crate::support::Home, clock: &Clock, shutdown: &Shutdown) -> Peers {
    let env =
        Environment::of([("HOME", home.path().display().to_string()), ("DARKMUX_MACHINE_ID", "hub".into())]);
    let config = Config::load(env, &[]).unwrap();
    let (flow, clock) = (config.flow().unwrap(), clock.clone());
    let peers =
        Peers::new(PeersParts { config, node_id: "node-of-here".into(), flow, clock }, shutdown).unwrap();
    peers.start();
    peers
}

async fn tried(spoke: &Spoke, tries: usize) {
    let deadline = Instant::now() + crate::support::PATIENCE;
    while spoke.tries().len() < tries {
        assert!(Instant::now() < deadline, "{} tries, not {tries}", spoke.tries().len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// After the machine slept its links are connected to anew, whatever they look like.
#[tokio::test]
async fn links_are_connected_to_anew_after_a_sleep() {
    let (home, spoke) = (machine("hub"), Spoke::of(NODE, &[session("x")]));
    set_peers(&home, &[at("desk", &spoke)]);
    let (clock, shutdown) = (Clock::manual("2026-11-22T00:00:00Z".parse().unwrap()), Shutdown::new());
    let peers = peers(&home, &clock, &shutdown);
    tried(&spoke, 1).await;
    while peers.status("desk").is_none_or(|desk| desk.sessions == 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    peers.look_at_files();
    clock.advance(SignedDuration::from_hours(1));
    peers.look_at_files();
    tried(&spoke, 2).await;
}

/// A device that Tailscale knows to be on again is tried at once.
#[tokio::test]
async fn a_device_that_is_on_again_is_tried_at_once() {
    let (home, spoke) = (machine("hub"), Spoke::start());
    let (clock, shutdown) = (Clock::System, Shutdown::new());
    let peers = peers(&home, &clock, &shutdown);
    let (name, url, token) = ("desk".into(), spoke.url(), TokenSource::None);
    let desk = Wanted { name, url, token, origin: Origin::Tailscale, local: false };
    let off = BTreeSet::from(["desk".into()]);
    peers.set_found(vec![desk.clone()], off);
    // The next pause is two seconds long at least.
    tried(&spoke, 3).await;
    peers.set_found(vec![desk], BTreeSet::new());
    let on = Instant::now();
    tried(&spoke, 4).await;
    assert!(on.elapsed() < Duration::from_millis(1500), "{:?}", on.elapsed());
}

/// A terminal that never opens, that opens as something else, or whose picture is larger than any ends with a code, in time.
#[tokio::test]
async fn a_terminal_that_is_none_ends_with_a_word() {
    let spoke = Spoke::of(NODE, &["mute", "other", "large", "good", "silent"].map(session));
    let other = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: bm9uZQ==\r\n\r\n";
    // A binary frame of so many bytes, with its length in eight.
    let frame = |length: usize| {
        [&[0x82, 127][..], &u64::try_from(length).unwrap().to_be_bytes(), &vec![b'x'; length]].concat()
    };
    spoke.on("/ws/mute", Answer::Mute);
    spoke.on("/ws/other", Answer::Bytes([other.as_bytes(), &frame(70_000)].concat()));
    spoke.on("/ws/silent", Answer::Socket(Vec::new()));
    spoke.on("/ws/large", Answer::Socket(frame(MESSAGE_MAX + 1)));
    spoke.on("/ws/good", Answer::Socket(frame(MESSAGE_MAX)));
    let hub = hub("hub", &[at("desk", &spoke)]);
    hub.shows(&["good@desk", "large@desk", "mute@desk", "other@desk", "silent@desk"]);
    // This one is asked whether it is there, and does not answer.
    let mut silent = Ws::open(&hub, "silent@desk", "").await;
    for id in ["other@desk", "large@desk", "mute@desk"] {
        let mut ws = Ws::open(&hub, id, "").await;
        let end = ws.next().await;
        assert!(matches!(end, Frame::Closed(Some(1011))), "{id}: it ends otherwise");
    }
    let mut ws = Ws::open(&hub, "good@desk", "").await;
    assert_eq!(ws.bytes().await.len(), MESSAGE_MAX);
    let end = silent.next_within(Duration::from_secs(45)).await;
    assert!(matches!(end, Some(Frame::Closed(Some(1011)))), "{end:?}");
}
