//! A hub of twenty machines with fifty sessions each, of which half are killed and a quarter go silent.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::api::{Api, data};
use crate::support::hub::{PeerLine, hub, machine};
use crate::support::ws::Ws;
use crate::support::{Daemon, PATIENCE, freeze, signal, wait_for};

const SPOKES: usize = 20;
const SESSIONS: usize = 50;

/// Actions that are timed before and during the faults.
const ACTIONS: usize = 60;

/// Less than any deadline: who waits for a machine that is gone takes longer.
const UNAFFECTED: Duration = Duration::from_secs(4);

/// A machine with one session that runs, and others that have ended.
fn spoke(number: usize) -> (Api, String) {
    let home = machine(&format!("m{number}"));
    let ended = home.ok(["session", "new", "-d", "--", "true"]).trim().to_owned();
    let folder = home.darkmux().join("sessions");
    wait_for("it to end", || {
        let state = std::fs::read_to_string(folder.join(&ended).join("state.json")).ok()?;
        state.contains("\"state\":\"exited\"").then_some(())
    });
    for copy in 0..SESSIONS - 2 {
        copy_session(&folder, &ended, &format!("sess-{copy:08x}"));
    }
    let spoke = Api::of(home);
    let id = spoke.launch(&["cat"]);
    (spoke, id)
}

/// A session of the same kind under another id.
fn copy_session(folder: &Path, from: &str, to: &str) {
    let target = folder.join(to);
    std::fs::create_dir(&target).unwrap();
    for file in ["state.json", "spec.json"] {
        let text = std::fs::read_to_string(folder.join(from).join(file)).unwrap();
        std::fs::write(target.join(file), text.replace(from, to)).unwrap();
    }
}

/// Each of these does something in turn; the slowest, and the one in the middle.
fn time_actions(hub: &Api, ids: &[String]) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..ACTIONS)
        .map(|number| {
            let began = Instant::now();
            data(&hub.act(&ids[number % ids.len()], "read"));
            began.elapsed()
        })
        .collect();
    times.sort();
    (times[ACTIONS - 1], times[ACTIONS / 2])
}

fn spokes() -> Vec<(usize, Api, String)> {
    let made: Mutex<Vec<(usize, Api, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let made = &made;
            scope.spawn(move || {
                for number in (lane..SPOKES).step_by(4) {
                    let (api, id) = spoke(number);
                    made.lock().unwrap().push((number, api, id));
                }
            });
        }
    });
    let mut spokes = made.into_inner().unwrap();
    spokes.sort_by_key(|(number, ..)| *number);
    spokes
}

async fn echoes(terminals: &mut [Ws], text: &str) {
    for terminal in terminals {
        let began = Instant::now();
        terminal.type_in(&format!("{text}\r")).await;
        terminal.until(text).await;
        assert!(began.elapsed() < UNAFFECTED, "{:?}", began.elapsed());
    }
}

/// Waits until every session of every machine is there.
fn shows_all(hub: &Api) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while hub.ids().len() != SPOKES * SESSIONS {
        let links: Vec<String> = (0..SPOKES)
            .map(|number| hub.peer(&format!("p{number}")))
            .map(|peer| {
                format!("{} {} {} {}", peer["name"], peer["status"], peer["sessions"], peer["last_error"])
            })
            .collect();
        assert!(Instant::now() < deadline, "{} sessions: {links:#?}", hub.ids().len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The resident memory of a process in KiB.
fn memory(pid: i64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// `kill -9` of ten, silence (`SIGSTOP`) of five: actions and terminals of the other five go on, and
/// all are back without a touch.
#[tokio::test]
async fn half_of_twenty_machines_die_and_a_quarter_go_silent() {
    let mut spokes = spokes();
    let lines: Vec<PeerLine> =
        spokes.iter().map(|(number, api, _)| PeerLine::of(&format!("p{number}"), api)).collect();
    let hub = hub("hub", &lines);
    shows_all(&hub);
    let grown = memory(hub.daemon.process.pid());
    assert!(grown < 160 * 1024, "{grown} KiB");
    let living: Vec<String> = spokes[15..].iter().map(|(number, _, id)| format!("{id}@p{number}")).collect();
    let mut terminals = Vec::new();
    for id in &living {
        let mut terminal = Ws::open(&hub, id, "").await;
        terminal.bytes().await;
        terminals.push(terminal);
    }
    echoes(&mut terminals, "before").await;
    let before = time_actions(&hub, &living);

    for (_, api, _) in &spokes[10..15] {
        freeze(api.daemon.process.pid());
    }
    for (_, api, _) in &mut spokes[..10] {
        api.daemon.process.kill();
    }
    // Requests at the silent ones wait for their time, and nobody waits for them.
    std::thread::scope(|scope| {
        let silent: Vec<_> = spokes[10..15].iter().map(|(number, _, id)| format!("{id}@p{number}")).collect();
        let hub = &hub;
        let waiting: Vec<_> =
            silent.into_iter().map(|id| scope.spawn(move || hub.act(&id, "read").status)).collect();
        let during = time_actions(hub, &living);
        assert!(during.0 < UNAFFECTED, "before {before:?}, during {during:?}");
        println!(
            "slowest and median of {ACTIONS} actions: before {before:?}, during {during:?}; hub {grown} KiB"
        );
        for asked in waiting {
            assert_eq!(asked.join().unwrap(), 502);
        }
    });
    echoes(&mut terminals, "during").await;
    for number in 0..10 {
        hub.peer_is(&format!("p{number}"), "disconnected");
    }
    assert_eq!(hub.ids().len(), SPOKES * SESSIONS, "marked, and still there");

    for (_, api, _) in &spokes[10..15] {
        signal(api.daemon.process.pid(), "CONT");
    }
    for (_, api, _) in &mut spokes[..10] {
        let port = api.daemon.port.to_string();
        api.daemon = Daemon::start_with(&api.home, ["serve", "--port", &port]);
    }
    for number in 0..SPOKES {
        hub.peer_is(&format!("p{number}"), "connected");
    }
    shows_all(&hub);
    wait_for("no mark", || {
        hub.sessions().iter().all(|session| session.get("disconnected_since").is_none()).then_some(())
    });
    echoes(&mut terminals, "after").await;
}
