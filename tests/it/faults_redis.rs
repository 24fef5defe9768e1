//! What may happen to Redis while jobs run, one test a fault.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, SessionId};
use darkmux::wire::Lane;
use darkmux::work::{JobView, Offer, Published, Queue};

use crate::runner::{ended, output, publish, running, until, wait_for_async};
use crate::support::queue::{job, queue, seat};
use crate::support::runner::member;
use crate::support::{Daemon, Fault, FaultProxy, Home, RedisServer, wait_for};

fn log_of(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("serve.log")).unwrap_or_default()
}

/// A job that ends when the file is there.
fn until_file(path: &std::path::Path) -> String {
    format!("until test -e {}; do sleep 0.05; done", path.display())
}

#[tokio::test]
async fn without_memory_running_jobs_go_on_and_end_and_new_ones_are_refused() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let id = publish(&queue, "job-1", &until_file(&go)).await;
    let waits = publish(&queue, "job-2", "true").await;
    running(&queue, &id).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let (more, spec) = job("more", "true");
    let refused = queue.publish(&more, &spec).await.unwrap_err().to_string();
    assert!(refused.contains("maxmemory"), "{refused}");
    let beats = || server.cli(&["HGET", "darkmux:job:job-1", "hb"]).parse::<u64>().unwrap();
    let before = beats();
    wait_for("heartbeats", || (beats() > before + 2).then_some(()));
    std::fs::write(&go, "").unwrap();
    for id in [&id, &waits] {
        let view = ended(&queue, id).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1));
    }
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(queue.publish(&more, &spec).await.unwrap(), Published::New);
    assert_eq!(ended(&queue, &spec.id).await.state, JobState::Done);
}

#[tokio::test]
async fn a_redis_that_may_forget_jobs_gets_no_runner() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let id = publish(&queue, "job-1", "true").await;
    wait_for("the reason", || log_of(&home).contains("maxmemory-policy to noeviction").then_some(()));
    assert_eq!(queue.job(&id).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(queue.jobs(0).await.unwrap().len(), 1);
    let doctor = home.run(["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("noeviction"));
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let end = async || queue.job(&id).await.ok().flatten().filter(|view| view.state.is_final());
    assert_eq!(wait_for_async(end).await.state, JobState::Done);
}

#[tokio::test]
async fn a_redis_that_cannot_write_to_its_disk_is_named_and_loses_nothing() {
    let server = RedisServer::with(&["--save", "3600 1000000", "--appendonly", "no"]);
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let id = publish(&queue, "job-1", &until_file(&go)).await;
    running(&queue, &id).await;
    // Where its file should come there is a folder, with something in it.
    std::fs::create_dir_all(server.dir().join("dump.rdb/taken")).unwrap();
    server.cli(&["BGSAVE"]);
    wait_for("the save to fail", || {
        server.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err").then_some(())
    });
    let (more, spec) = job("more", "true");
    let refused = queue.publish(&more, &spec).await.unwrap_err().to_string();
    assert!(refused.contains("its disk is full or not writable"), "{refused}");
    std::fs::write(&go, "").unwrap();
    // The result waits, and the job is nobody else's meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(queue.job(&id).await.unwrap().unwrap().state, JobState::Running);
    std::fs::remove_dir_all(server.dir().join("dump.rdb")).unwrap();
    server.cli(&["BGSAVE"]);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 1));
    assert_eq!(queue.publish(&more, &spec).await.unwrap(), Published::New);
    assert_eq!(ended(&queue, &spec.id).await.state, JobState::Done);
}

#[tokio::test]
async fn a_redis_that_is_out_of_reach_for_many_leases_costs_no_job_and_no_second_run() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let direct = queue(&server.url());
    let cut = queue(&proxy.url());
    // Both machines lose sight of it, as when it is Redis' own machine that sleeps.
    let homes = [member("studio", &proxy.url()), member("laptop", &proxy.url())];
    let _daemons = [Daemon::start(&homes[0]), Daemon::start(&homes[1])];
    let go = homes[0].path().join("go");
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(publish(&direct, &format!("job-{number}"), &until_file(&go)).await);
    }
    for id in &ids {
        running(&direct, id).await;
    }
    proxy.set(Fault::BlackHole);
    let (more, spec) = job("more", "true");
    let began = Instant::now();
    let refused = cut.publish(&more, &spec).await.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(refused.contains("does not answer"), "{refused}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    proxy.set(Fault::None);
    std::fs::write(&go, "").unwrap();
    for id in &ids {
        let view = ended(&direct, id).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
    }
    let published = wait_for_async(async || cut.publish(&more, &spec).await.ok()).await;
    assert!(matches!(published, Published::New | Published::Before(_)));
    assert_eq!(ended(&direct, &spec.id).await.state, JobState::Done);
}

#[tokio::test]
async fn an_emptied_redis_hears_everything_again_and_the_flow_says_so() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let done = publish(&queue, "done", "exit 4").await;
    ended(&queue, &done).await;
    let go = home.path().join("go");
    let running_one = publish(&queue, "running", &until_file(&go)).await;
    running(&queue, &running_one).await;
    wait_for("the journal", || home.journal_of("running").map(|_| ()));
    server.cli(&["FLUSHALL"]);
    let back = async |id| wait_for_async(async || queue.job(id).await.ok().flatten()).await;
    let view = back(&done).await;
    assert_eq!((view.state, view.result.unwrap().exit_code), (JobState::Failed, Some(4)));
    back(&running_one).await;
    let view = until(&queue, &running_one, "the runner's word", |view| view.state == JobState::Running).await;
    assert_eq!(view.attempt, 1);
    wait_for("the record", || {
        let records = home.ok(["flow", "tail", "--json"]);
        let told = |line: &str| line.contains("queue.rollback") && line.contains("\"done\"");
        records.lines().any(told).then_some(())
    });
    std::fs::write(&go, "").unwrap();
    let view = ended(&queue, &running_one).await;
    assert_eq!((view.state, view.attempt), (JobState::Done, 1));
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
}

/// The ids of the jobs that a machine publishes; each adds a line when it starts, and ends when the file is there.
fn publish_from(home: &Home, dir: &std::path::Path, count: usize) -> Vec<SessionId> {
    let one = |_| {
        let script = format!(
            "echo $DARKMUX_JOB_ID >> {}; {}",
            dir.join("starts").display(),
            until_file(&dir.join("go"))
        );
        let id = home.ok(["crew", "dispatch", "shell", "--fleet", "--detach", "-m", &script]);
        SessionId::new(id.trim()).unwrap()
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn what_runs_when_redis_loses_everything_runs_once_whoever_tells_of_it_first() {
    let mut server = RedisServer::start();
    let queue = queue(&server.url());
    // Beats come too late to help.
    let home = |name| {
        let slow = member(name, &server.url()).with("DARKMUX_QUEUE_LEASE", "60s");
        slow.with("DARKMUX_QUEUE_BEAT", "20s").with("DARKMUX_RUNNER_SLOTS", "2")
    };
    let homes = [home("studio"), home("laptop"), home("hub")];
    let mut daemons: Vec<Daemon> = homes[..2].iter().map(Daemon::start).collect();
    let dir = tempfile::tempdir().unwrap();
    let ids = publish_from(&homes[2], dir.path(), 4);
    for id in &ids {
        running(&queue, id).await;
    }
    // The one that published them has free slots, and hands out again what Redis does not know.
    daemons.push(Daemon::start(&homes[2]));
    let all_run = async || {
        for id in &ids {
            let view = until_there(&queue, id).await;
            assert_eq!((view.state, view.attempt), (JobState::Running, 1), "{view:?}");
        }
    };
    server.kill();
    server.restart();
    all_run().await;
    server.cli(&["FLUSHALL"]);
    all_run().await;
    std::fs::write(dir.path().join("go"), "").unwrap();
    for id in &ids {
        let view = ended(&queue, id).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
    }
    let starts = std::fs::read_to_string(dir.path().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), ids.len(), "{starts}");
    drop(daemons);
}

async fn until_there(queue: &Queue, id: &SessionId) -> JobView {
    wait_for_async(async || {
        let view = queue.job(id).await.ok().flatten();
        view.filter(|view| view.state == JobState::Running)
    })
    .await
}

#[tokio::test]
async fn a_failed_job_that_redis_forgot_still_has_its_tries() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    // Nobody looks before the job has ended.
    let home = member("studio", &server.url()).with("DARKMUX_QUEUE_LEASE", "30m");
    let home = home.with("DARKMUX_QUEUE_BEAT", "10m").with("DARKMUX_QUEUE_RECONCILE", "10m");
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let (work, mut spec) = job("job-1", &format!("{}; exit 3", until_file(&go)));
    spec.retries = 1;
    queue.publish(&work, &spec).await.unwrap();
    running(&queue, &spec.id).await;
    server.cli(&["FLUSHALL"]);
    std::fs::write(&go, "").unwrap();
    let view = wait_for_async(async || {
        let view = queue.job(&spec.id).await.ok().flatten();
        view.filter(|view| view.state != JobState::Running)
    })
    .await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Waiting, 1), "{view:?}");
    assert_eq!(server.cli(&["HGET", "darkmux:job:job-1", "fails"]), "1");
}

#[tokio::test]
async fn a_job_cancelled_while_it_waited_is_not_published_to_a_redis_that_forgot() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let other = member("laptop", &server.url());
    home.ok(["queue", "pause"]);
    for id in ["wanted", "here", "there"] {
        home.ok(["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", id, "-m", "true"]);
    }
    home.ok(["job", "cancel", "here"]);
    other.ok(["job", "cancel", "there"]);
    let published = home.darkmux().join("queue/published");
    wait_for("the journal", || (std::fs::read_dir(&published).unwrap().count() == 1).then_some(()));
    // By then the queue was looked at.
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.cli(&["FLUSHALL"]);
    let wanted = SessionId::new("wanted").unwrap();
    // What kept it back keeps it back still.
    until(&queue, &wanted, "it to be told", |view| view.state == JobState::Queued).await;
    assert!(queue.status().await.unwrap().paused);
    home.ok(["queue", "resume"]);
    assert_eq!(ended(&queue, &wanted).await.state, JobState::Done);
    for id in ["here", "there"] {
        assert!(queue.job(&SessionId::new(id).unwrap()).await.unwrap().is_none(), "{id}");
    }
}

#[tokio::test]
async fn a_cancel_that_redis_lost_is_told_again_and_a_retry_is_not_undone() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    home.ok(["queue", "pause"]);
    for id in ["cancelled", "retried"] {
        home.ok(["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", id, "-m", "true"]);
    }
    let queued_at = |id: &str| server.cli(&["HGET", &format!("darkmux:job:{id}"), "queued"]);
    let [cancelled, retried] = ["cancelled", "retried"].map(queued_at);
    home.ok(["job", "cancel", "cancelled", "retried"]);
    home.ok(["job", "retry", "retried"]);
    let marks = home.darkmux().join("queue/cancelled");
    let count = || std::fs::read_dir(&marks).map_or(0, Iterator::count);
    wait_for("the journal", || (count() == 2).then_some(()));
    assert!(retried < queued_at("retried"));
    // What a server knows that went back to before the cancel.
    let go_back = "local job=KEYS[1] \
        redis.call('PERSIST',job) redis.call('HDEL',job,'cancel','why','finished') \
        redis.call('HSET',job,'state','queued','queued',ARGV[1],'entry',redis.call('XADD',KEYS[2],'*','job','cancelled')) \
        redis.call('SADD',KEYS[3],'cancelled') redis.call('DEL',KEYS[4])";
    let keys = ["darkmux:job:cancelled", "darkmux:work", "darkmux:live", "darkmux:epoch"];
    server.cli(&[&["EVAL", go_back, "4"], &keys[..], &[&cancelled]].concat());
    let id = SessionId::new("cancelled").unwrap();
    assert_eq!(ended(&queue, &id).await.state, JobState::Cancelled);
    home.ok(["queue", "resume"]);
    let id = SessionId::new("retried").unwrap();
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
}

#[tokio::test]
async fn a_drained_machine_stays_so_when_redis_forgets_it() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    home.ok(["fleet", "drain", "studio"]);
    let epoch = || server.cli(&["GET", "darkmux:epoch"]);
    wait_for("its keeper", || (!epoch().trim().is_empty()).then_some(()));
    // By then the queue was looked at.
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.cli(&["FLUSHALL"]);
    let drained = async || queue.status().await.unwrap().drained.contains(&"studio".to_owned()).then_some(());
    wait_for_async(drained).await;
    let id = publish(&queue, "job-1", "true").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.job(&id).await.unwrap().unwrap().state, JobState::Queued);
    home.ok(["fleet", "undrain", "studio"]);
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
}

#[tokio::test]
async fn what_ended_without_its_runner_is_not_published_to_a_redis_that_forgot() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    home.ok([
        "crew",
        "dispatch",
        "shell",
        "--pin",
        "laptop",
        "-d",
        "--session-id",
        "job-1",
        "--workdir",
        "/tmp",
        "-m",
        "true",
    ]);
    let published = home.darkmux().join("queue/published");
    let count = || std::fs::read_dir(&published).unwrap().count();
    assert_eq!(count(), 1);
    // Its runner takes it and is never heard of again; nor is the hint of that.
    let mut lane = Lane { pin: "laptop".parse().ok(), ..Lane::default() };
    lane.require = queue.job(&SessionId::new("job-1").unwrap()).await.unwrap().unwrap().lane.unwrap().require;
    let offer = queue.claim(&seat("laptop"), &[lane.stream().unwrap()], "n1", false).await.unwrap();
    let Offer::Job(claim) = offer else { panic!("{offer:?}") };
    assert_eq!(ended(&queue, &claim.id).await.state, JobState::Dead);
    wait_for("the journal", || (count() == 0).then_some(()));
    server.cli(&["FLUSHALL"]);
    wait_for("its keeper", || (!server.cli(&["GET", "darkmux:epoch"]).trim().is_empty()).then_some(()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(queue.job(&claim.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_result_that_redis_forgot_is_told_with_where_it_ran_and_how_long() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url());
    let _daemon = Daemon::start(&home);
    let id = publish(&queue, "job-1", "echo kept; sleep 0.3").await;
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    server.cli(&["FLUSHALL"]);
    let view = wait_for_async(async || queue.job(&id).await.ok().flatten()).await;
    let [attempt] = &view.attempts[..] else { panic!("{view:?}") };
    assert_eq!((view.machine.as_deref(), attempt.machine.as_str()), (Some("studio"), "studio"));
    let ran = view.finished_ms.unwrap() - view.started_ms.unwrap();
    assert!((300..5000).contains(&ran), "{view:?}");
    // The machine that ran it has its output; the others say what is missing.
    assert!(home.ok(["job", "logs", "job-1"]).contains("kept"));
    let elsewhere = member("laptop", &server.url()).run(["job", "logs", "job-1"]);
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("no longer kept"), "{elsewhere:?}");
}

#[tokio::test]
async fn a_result_that_redis_has_no_place_for_is_told_and_frees_its_slot() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url()).with("DARKMUX_RUNNER_SLOTS", "1");
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let first = publish(&queue, "job-1", &until_file(&go)).await;
    running(&queue, &first).await;
    server.cli(&["DEL", "darkmux:job:job-1"]);
    server.cli(&["SET", "darkmux:job:job-1", "somebody else's"]);
    std::fs::write(&go, "").unwrap();
    let second = publish(&queue, "job-2", "true").await;
    assert_eq!(ended(&queue, &second).await.state, JobState::Done);
    wait_for("the reason", || {
        let log = log_of(&home);
        (log.contains("cannot be told") && log.contains("give darkmux a database of its own")).then_some(())
    });
    wait_for("the record", || home.ok(["flow", "tail", "--json"]).contains("job.untold").then_some(()));
    // Once the key is mended it is told: it is still in the journal.
    server.cli(&["DEL", "darkmux:job:job-1", "darkmux:epoch"]);
    let view = wait_for_async(async || queue.job(&first).await.ok().flatten()).await;
    assert_eq!(view.state, JobState::Done);
}

#[tokio::test]
async fn a_job_that_prints_while_redis_is_out_of_reach_holds_up_nothing_on_its_machine() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let queue = queue(&server.url());
    let home = member("studio", &proxy.url()).with("DARKMUX_QUEUE_LEASE", "1m");
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let script = format!("until test -e {}; do echo line; sleep 0.03; done", go.display());
    let ids = [publish(&queue, "job-1", &script).await, publish(&queue, "job-2", &script).await];
    for id in &ids {
        running(&queue, id).await;
        wait_for_async(async || output(&queue, id).await.contains("line").then_some(())).await;
    }
    // Beats come while output dials, and output while beats do.
    for fault in [Fault::BlackHole, Fault::Reset, Fault::BlackHole] {
        proxy.set(fault);
        // So long it lasts: two dials that nobody answers.
        tokio::time::sleep(Duration::from_secs(4)).await;
        proxy.set(Fault::None);
        for id in &ids {
            let hb = || server.cli(&["HGET", &format!("darkmux:job:{id}"), "hb"]);
            let before = hb();
            wait_for("a sign of life", || (hb() != before).then_some(()));
        }
    }
    std::fs::write(&go, "").unwrap();
    for id in &ids {
        let view = ended(&queue, id).await;
        assert_eq!((view.state, view.attempt), (JobState::Done, 1), "{view:?}");
    }
}

#[tokio::test]
async fn what_was_published_is_told_again_when_redis_has_no_room_at_first() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("hub", &server.url())
        .with("DARKMUX_RUNNER", "false")
        .with("DARKMUX_LOG", "darkmux::runner=debug");
    let _daemon = Daemon::start(&home);
    let ids = publish_from(&home, home.path(), 3);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    server.cli(&["FLUSHALL"]);
    let refused = |line: &str| line.contains("is not told what ran here") && line.contains("maxmemory");
    wait_for("it to be refused", || log_of(&home).lines().any(refused).then_some(()));
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    for id in &ids {
        until(&queue, id, "what was published here", |view| view.state == JobState::Queued).await;
    }
    wait_for("the records", || {
        let records = home.ok(["flow", "tail", "--json"]);
        let told = |id: &SessionId| {
            records.lines().any(|line| line.contains("queue.rollback") && line.contains(id.as_str()))
        };
        ids.iter().all(told).then_some(())
    });
}

#[tokio::test]
async fn a_result_that_a_broken_field_refuses_holds_no_slot() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let home = member("studio", &server.url()).with("DARKMUX_RUNNER_SLOTS", "1");
    let _daemon = Daemon::start(&home);
    let go = home.path().join("go");
    let (work, mut spec) = job("broken", &format!("{}; exit 3", until_file(&go)));
    spec.on_loss = darkmux::model::OnLoss::Stop;
    queue.publish(&work, &spec).await.unwrap();
    running(&queue, &spec.id).await;
    server.cli(&["HSET", "darkmux:job:broken", "fails", "many"]);
    std::fs::write(&go, "").unwrap();
    let next = publish(&queue, "next", "true").await;
    assert_eq!(ended(&queue, &next).await.state, JobState::Done);
    wait_for("the record", || home.ok(["flow", "tail", "--json"]).contains("job.untold").then_some(()));
    // Its lease ends it.
    assert_eq!(ended(&queue, &spec.id).await.state, JobState::Dead);
}
