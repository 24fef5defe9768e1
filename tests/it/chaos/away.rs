//! Redis away for a while, a minute unless told otherwise, while three machines write records and run jobs.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, SessionId};

use crate::flow_redis::{Writer, notes};
use crate::flow_redis_serve::{Browser, today};
use crate::runner::{running, wait_for_async};
use crate::support::queue::queue;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe, wait_for};

const NAMES: [&str; 3] = ["ada", "bob", "cyd"];

/// Records that each machine writes before, during and after.
const NOTES: [usize; 4] = [0, 10, 60, 70];

#[allow(clippy::too_many_lines)] // One story, told in its order.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as Redis is away; tests/chaos --away runs it"]
async fn redis_away_for_a_minute_costs_no_job_and_no_record() {
    let away = Duration::from_secs(super::setting("AWAY_SECONDS", 60));
    let mut server = RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let homes: Vec<Home> =
        NAMES.iter().map(|name| member(name, &server.url()).with("DARKMUX_RUNNER_SLOTS", "2")).collect();
    let daemons: Vec<Daemon> = homes.iter().map(Daemon::start).collect();
    let mut writers: Vec<Writer> =
        homes.iter().zip(NAMES).map(|(home, name)| Writer::of(home, name)).collect();
    let mut write = |from: usize, to: usize| {
        for n in from..to {
            for (writer, name) in writers.iter_mut().zip(NAMES) {
                writer.write(&format!("{name}{n}"));
            }
        }
    };
    let browse = |daemon| Browser::open(daemon, &format!("{}:000000000000", today()));
    let mut browsers: Vec<Browser<'_>> = daemons.iter().map(browse).collect();
    // Half of the jobs end while Redis is away, half of them after it is back.
    let lines = tempfile::tempdir().unwrap();
    let lines = lines.path().join("lines");
    let jobs: Vec<SessionId> = (0..6)
        .map(|n| {
            let seconds = if n % 2 == 0 { away.as_secs() / 2 } else { away.as_secs() + 5 };
            let say = |what: &str| format!("echo {what} $DARKMUX_JOB_ID >> {}", lines.display());
            let script = format!("{}; echo out; sleep {seconds}; {}", say("start"), say("end"));
            let id = homes[0].ok(["crew", "dispatch", "shell", "--fleet", "--detach", "-m", &script]);
            SessionId::new(id.trim()).unwrap()
        })
        .collect();
    let look = queue(&server.url());
    for id in &jobs {
        running(&look, id).await;
    }
    write(NOTES[0], NOTES[1]);
    server.kill();
    let gone = Instant::now();
    write(NOTES[1], NOTES[2]);
    for home in &homes {
        let began = Instant::now();
        let refused = home.run(["crew", "dispatch", "shell", "--fleet", "-m", "true"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{}", describe(&refused));
        assert!(said.contains("not accepted") && began.elapsed() < Duration::from_secs(3), "{said}");
        // What needs no Redis works.
        assert_eq!(home.ok(["crew", "dispatch", "shell", "-m", "echo local"]), "local\n");
    }
    while gone.elapsed() < away {
        for browser in &mut browsers {
            browser.look();
        }
    }
    server.restart();
    write(NOTES[2], NOTES[3]);
    for browser in &mut browsers {
        browser.until("all records", |browser| browser.notes.len() >= 3 * NOTES[3]);
        browser.check(&NAMES, NOTES[3]);
        assert!(browser.gaps.is_empty(), "{:?}", browser.gaps);
    }
    for id in &jobs {
        let view = wait_for_async(async || {
            let view = look.job(id).await.ok().flatten();
            view.filter(|view| view.state.is_final())
        })
        .await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
        assert_eq!(homes[1].ok(["job", "logs", id.as_str()]), "out\n");
    }
    wait_for("all records in Redis", || {
        (notes(&server).values().map(Vec::len).sum::<usize>() == 3 * NOTES[3]).then_some(())
    });
    let ran = std::fs::read_to_string(&lines).unwrap();
    let count = |what: &str| ran.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("start"), count("end")), (jobs.len(), jobs.len()), "{ran}");
    println!(
        "away: {} s, {} jobs done once each, {} records on {} machines and {} streams, none missing, none twice",
        away.as_secs(),
        jobs.len(),
        3 * NOTES[3],
        homes.len(),
        browsers.len()
    );
}
