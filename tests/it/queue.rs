//! The work queue: publish, claim, finish and what may happen in between, against a real Redis.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, MachineId, Priority, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::util::Clock;
use darkmux::wire::Lane;
use darkmux::work::{
    Beat, Cancelled, Change, Doorbell, Finish, FleetKey, Foreign, Hint, Offer, Outcome, Published, Queue,
    Ran, Reconciler, Retried, adopted_spec,
};

use crate::support::RedisServer;
use crate::support::queue::{claim_now, job, machine, numbers, publish, queue, result, seat, take};

async fn state(queue: &Queue, id: &SessionId) -> JobState {
    queue.job(id).await.unwrap().unwrap().state
}

fn reconciler(queue: &Queue) -> Reconciler {
    Reconciler::new(queue.clone(), Clock::System, ("darkmux:flow".into(), uuid::Uuid::new_v4().to_string()))
}

async fn look_until(reconciler: &mut Reconciler, wanted: &Change) {
    let began = Instant::now();
    while !reconciler.look().await.unwrap().contains(wanted) {
        assert!(began.elapsed() < Duration::from_secs(10), "waited for {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_job_is_published_claimed_and_finished_once() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let (again, spec) = job("job-1", "other");
    assert_eq!(queue.publish(&again, &spec).await.unwrap(), Published::Before(id.clone()));
    let me = seat("studio");
    let claim = take(&queue, &me).await;
    assert_eq!((&claim.id, claim.attempt, claim.job.message.as_str()), (&id, 1, "true"));
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Held));
    for _ in 0..2 {
        let told = queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
        assert_eq!(told, Finish::Accepted);
    }
    let other = queue.finish(&id, "1-other", Outcome::Failed, (&result(), 0)).await.unwrap();
    assert_eq!(other, Finish::Fenced);
    let view = queue.job(&id).await.unwrap().unwrap();
    assert_eq!((view.state, view.machine.as_deref()), (JobState::Done, Some("studio")));
    assert_eq!(view.attempts.len(), 1);
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "0");
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
    assert!(matches!(claim_now(&queue, &me).await, Offer::Nothing { wait_ms: 0, .. }));
    assert!(server.cli(&["TTL", "darkmux:job:job-1"]).parse::<i64>().unwrap() > 500);
}

#[tokio::test]
async fn an_entry_has_the_shape_of_1_9() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, "job-1").await;
    let entry = server.cli(&["XRANGE", "darkmux:work", "-", "+"]);
    let lines: Vec<&str> = entry.lines().skip(1).collect();
    let record = r#"{"role_id":"shell","message":"true","session_id":"job-1","runtime":"internal","timeout_seconds":3600,"published_at_unix_ms":1,"published_by_machine":"tester","attempt":1}"#;
    assert_eq!(lines, ["schema", "3", "record", record, "job", "job-1"]);
}

#[tokio::test]
async fn a_job_whose_runner_is_gone_is_run_again_and_the_late_result_refused() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let first = take(&queue, &seat("studio")).await;
    let mut observer = reconciler(&queue);
    look_until(&mut observer, &Change::Requeued(id.clone())).await;
    let second = take(&queue, &seat("laptop")).await;
    assert_eq!((second.attempt, &second.id), (2, &id));
    assert_eq!(queue.beat(&id, &first.token).await.unwrap(), Some(Beat::Lost));
    let late = queue.finish(&id, &first.token, Outcome::Done, (&result(), 0)).await.unwrap();
    assert_eq!(late, Finish::Fenced);
    queue.finish(&id, &second.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let view = queue.job(&id).await.unwrap().unwrap();
    let ended: Vec<_> = view.attempts.iter().map(|one| (one.number, one.ended.as_str())).collect();
    assert_eq!(ended, [(1, "lost"), (2, "done")]);
}

#[tokio::test]
async fn an_observer_that_is_slow_finds_the_lost_and_one_that_stood_still_takes_nobody_for_lost() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let _never_heard_of = take(&queue, &seat("gone")).await;
    let mut observer = reconciler(&queue);
    // Longer than the lease, and than three times the time between two looks.
    let pause = numbers().reconcile * 3 + Duration::from_millis(1300);
    let mut looks = 0;
    while !observer.look().await.unwrap().contains(&Change::Requeued(id.clone())) {
        looks += 1;
        assert!(looks < 8, "never found");
        tokio::time::sleep(pause).await;
    }
    assert!(looks > 2, "after one pause its runner may only have stood still as well");
}

#[tokio::test]
async fn what_is_broken_in_a_lane_keeps_nobody_from_what_is_behind_it() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    // No id of a job, as somebody may have written it.
    server.cli(&["HSET", "darkmux:job:not an id", "state", "queued", "lane", "darkmux:work", "record", "{}"]);
    let entry = server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", "{}", "job", "not an id"]);
    server.cli(&["HSET", "darkmux:job:not an id", "entry", &entry]);
    // More than one claim looks at.
    for _ in 0..16 {
        server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", "{}", "job", "job-1"]);
    }
    let id = publish(&queue, "job-1").await;
    assert!(matches!(claim_now(&queue, &me).await, Offer::Refused { id: None, .. }));
    assert_eq!(server.cli(&["HGET", "darkmux:job:not an id", "state"]), "dead");
    let Offer::Nothing { wait_ms: 1, .. } = claim_now(&queue, &me).await else {
        panic!("it waits for the bell")
    };
    assert_eq!(take(&queue, &me).await.id, id);
}

#[tokio::test]
async fn a_job_that_may_not_run_twice_ends_dead_when_its_runner_is_gone() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let (job, mut spec) = job("once", "true");
    spec.on_loss = darkmux::model::OnLoss::Stop;
    queue.publish(&job, &spec).await.unwrap();
    let _claim = take(&queue, &seat("studio")).await;
    look_until(&mut reconciler(&queue), &Change::Dead(spec.id.clone(), "its runner was lost".to_owned()))
        .await;
    let dead = queue.dead(10).await.unwrap();
    assert_eq!((dead[0].job.as_ref(), dead[0].why.as_str()), (Some(&spec.id), "lease-lost"));
    assert_eq!(queue.retry(&spec.id).await.unwrap(), Retried::Queued);
    assert_eq!(take(&queue, &seat("laptop")).await.attempt, 2);
}

#[tokio::test]
async fn a_living_runner_keeps_its_job_for_many_leases() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "long").await;
    let claim = take(&queue, &seat("studio")).await;
    let mut observer = reconciler(&queue);
    let began = Instant::now();
    while began.elapsed() < numbers().lease * 4 {
        assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Held));
        assert_eq!(observer.look().await.unwrap(), []);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_outage_of_redis_is_no_death() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, "job-1").await;
    let claim = take(&queue, &seat("studio")).await;
    let mut observer = reconciler(&queue);
    observer.look().await.unwrap();
    server.freeze();
    tokio::time::sleep(numbers().lease * 2).await;
    assert!(observer.look().await.is_err());
    server.thaw();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(observer.look().await.unwrap(), []);
    assert_eq!(queue.beat(&claim.id, &claim.token).await.unwrap(), Some(Beat::Held));
}

#[tokio::test]
async fn what_falls_out_of_its_stream_is_put_back() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let mut observer = reconciler(&queue);
    for fault in [
        &["XTRIM", "darkmux:work", "MAXLEN", "0"][..],
        &["XGROUP", "DESTROY", "darkmux:work", "darkmux-runners"],
        &["DEL", "darkmux:work"],
    ] {
        server.cli(fault);
        if fault[0] != "XGROUP" {
            look_until(&mut observer, &Change::Restored(id.clone())).await;
        }
    }
    // Somebody else reads and acknowledges it; that says nothing about the job.
    observer.look().await.unwrap();
    server.cli(&["XREADGROUP", "GROUP", "darkmux-runners", "stray:1", "STREAMS", "darkmux:work", ">"]);
    let entry = server.cli(&["HGET", "darkmux:job:job-1", "entry"]);
    server.cli(&["XACK", "darkmux:work", "darkmux-runners", &entry]);
    look_until(&mut observer, &Change::Restored(id.clone())).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(take(&queue, &seat("m")).await.id, id);
}

#[tokio::test]
async fn a_pinned_job_reaches_its_machine_alone_and_priorities_go_first() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, "normal").await;
    for (id, lane) in [
        ("low", Lane { priority: Priority::Low, ..Lane::default() }),
        ("pinned", Lane { pin: MachineId::new("studio").ok(), ..Lane::default() }),
        ("high", Lane { priority: Priority::High, ..Lane::default() }),
    ] {
        let (job, mut spec) = job(id, "true");
        spec.lane = lane;
        queue.publish(&job, &spec).await.unwrap();
    }
    let me = seat("studio");
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(take(&queue, &me).await.id.to_string());
    }
    assert_eq!(order, ["high", "pinned", "normal", "low"]);
    let lanes = queue.lanes().await.unwrap();
    let pinned = lanes.iter().find(|(_, lane)| lane.pin.is_some()).unwrap();
    assert!(pinned.1.admits("laptop", "laptop:1", |_| Ok(())).is_err());
}

#[tokio::test]
async fn the_machine_a_job_is_meant_for_has_a_head_start_and_no_more() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let publish = async |id: &str| {
        let (job, mut spec) = job(id, "true");
        spec.first = vec![machine("studio")];
        queue.publish(&job, &spec).await.unwrap();
    };
    publish("one").await;
    let (studio, laptop) = (seat("studio"), seat("laptop"));
    let Offer::Nothing { wait_ms, .. } = claim_now(&queue, &laptop).await else { panic!("too early") };
    assert!((1..=300).contains(&wait_ms), "{wait_ms}");
    assert_eq!(take(&queue, &studio).await.id.as_str(), "one");
    publish("two").await;
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(take(&queue, &laptop).await.id.as_str(), "two");
}

#[tokio::test]
async fn a_job_given_back_is_not_offered_again() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, "job-1").await;
    let (first, second) = (seat("first"), seat("second"));
    let claim = take(&queue, &first).await;
    queue.decline(&first, &claim, "no such role").await.unwrap();
    let lanes = queue.lanes().await.unwrap();
    let (stream, lane) = lanes.iter().find(|(_, lane)| !lane.not.is_empty()).unwrap();
    assert!(lane.admits("first", &first.consumer, |_| Ok(())).is_err());
    let Offer::Job(claim) = queue.claim(&second, std::slice::from_ref(stream), "n", false).await.unwrap()
    else {
        panic!("not offered")
    };
    assert_eq!(claim.attempt, 1);
    let view = queue.job(&claim.id).await.unwrap().unwrap();
    assert_eq!(view.declined["first"], "no such role");
}

#[tokio::test]
async fn cancel_and_pause_and_drain() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let waiting = publish(&queue, "waiting").await;
    assert_eq!(queue.cancel(&waiting, "no longer needed").await.unwrap(), Cancelled::Now);
    assert_eq!(queue.cancel(&waiting, "").await.unwrap(), Cancelled::Ended(JobState::Cancelled));
    let running = publish(&queue, "running").await;
    let me = seat("studio");
    queue.set_paused(true).await.unwrap();
    assert_eq!(claim_now(&queue, &me).await, Offer::Paused);
    queue.set_drained(&me.machine, true).await.unwrap();
    assert_eq!(claim_now(&queue, &me).await, Offer::Drained);
    queue.set_paused(false).await.unwrap();
    assert_eq!(claim_now(&queue, &me).await, Offer::Drained);
    queue.set_drained(&me.machine, false).await.unwrap();
    let mut bell = Doorbell::hang(&queue).await.unwrap();
    let claim = take(&queue, &me).await;
    assert_eq!(queue.cancel(&running, "enough").await.unwrap(), Cancelled::Asked);
    let hint = bell.wait(&[], &[], Duration::from_secs(2)).await.unwrap();
    assert!(matches!(&hint, Hint::Cancelled(id, _) if *id == running), "{hint:?}");
    assert_eq!(queue.beat(&running, &claim.token).await.unwrap(), Some(Beat::Cancel("enough".into())));
    queue.finish(&running, &claim.token, Outcome::Cancelled, (&result(), 0)).await.unwrap();
    assert_eq!(state(&queue, &running).await, JobState::Cancelled);
}

#[tokio::test]
async fn the_bell_rings_for_work_and_claims_nothing() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    let streams = vec!["darkmux:work".to_owned()];
    let Offer::Nothing { marks, .. } = queue.claim(&me, &streams, "n", false).await.unwrap() else {
        panic!()
    };
    let mut bell = Doorbell::hang(&queue).await.unwrap();
    publish(&queue, "job-1").await;
    assert_eq!(bell.wait(&streams, &marks, Duration::from_secs(2)).await.unwrap(), Hint::Work);
    assert_eq!(state(&queue, &SessionId::new("job-1").unwrap()).await, JobState::Queued);
    let Offer::Job(_) = queue.claim(&me, &streams, "n", false).await.unwrap() else { panic!() };
    let Offer::Nothing { marks, .. } = queue.claim(&me, &streams, "n2", false).await.unwrap() else {
        panic!()
    };
    assert_eq!(bell.wait(&streams, &marks, Duration::from_millis(50)).await.unwrap(), Hint::Quiet);
}

#[tokio::test]
async fn a_failed_job_is_tried_as_often_as_was_asked() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let claim = take(&queue, &seat("m")).await;
    let told = queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 1)).await.unwrap();
    assert_eq!(told, Finish::Again);
    assert_eq!(state(&queue, &id).await, JobState::Waiting);
    server.cli(&["HSET", "darkmux:job:job-1", "due", "1"]);
    reconciler(&queue).look().await.unwrap();
    let claim = take(&queue, &seat("m")).await;
    let told = queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 1)).await.unwrap();
    assert_eq!((told, state(&queue, &id).await), (Finish::Accepted, JobState::Failed));
}

#[tokio::test]
async fn the_queue_says_when_it_is_full_and_when_memory_is_out() {
    let server = RedisServer::start();
    let mut few = numbers();
    few.max = 1;
    let queue = Queue::new(Redis::new(RedisTarget::parse(&server.url()).unwrap()), few, None);
    let id = publish(&queue, "job-1").await;
    let (second, spec) = job("job-2", "true");
    assert!(queue.publish(&second, &spec).await.unwrap_err().to_string().contains("full"));
    let claim = take(&queue, &seat("m")).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Held));
    queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let refused = queue.publish(&second, &spec).await.unwrap_err().to_string();
    assert!(refused.contains("maxmemory"), "{refused}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(queue.publish(&second, &spec).await.unwrap(), Published::New);
}

#[tokio::test]
async fn jobs_of_1_9_are_adopted_and_garbage_is_a_dead_letter() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let record = r#"{"role_id":"coder","message":"m","session_id":"crew-dispatch-coder-1-0","timeout_seconds":9,"published_at_unix_ms":0,"published_by_machine":"laptop","attempt":1}"#;
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", record]);
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", "{garbage"]);
    let me = seat("studio");
    let foreign = |offer| match offer {
        Offer::Foreign(foreign) => foreign,
        other => panic!("{other:?}"),
    };
    let entry: Foreign = foreign(claim_now(&queue, &me).await);
    let adopted = adopted_spec(&entry, 1).unwrap();
    let claim = queue.adopt(&me, &entry, "n", adopted).await.unwrap().unwrap();
    assert_eq!(claim.spec.legacy_session.as_deref(), Some("crew-dispatch-coder-1-0"));
    queue.finish(&claim.id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let entry = foreign(claim_now(&queue, &me).await);
    let why = adopted_spec(&entry, 1).unwrap_err();
    queue.reject(&entry, &why).await.unwrap();
    let dead = queue.dead(10).await.unwrap();
    assert_eq!(dead[0].raw.as_deref(), Some("{garbage"));
    assert!(dead[0].why.contains("no job"), "{dead:?}");
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "0");
}

#[tokio::test]
async fn a_job_that_a_1_9_runner_took_ends_as_its_record_says() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    server.cli(&["XREADGROUP", "GROUP", "darkmux-runners", "oldmac", "STREAMS", "darkmux:work", ">"]);
    let mut observer = reconciler(&queue);
    observer.look().await.unwrap();
    assert_eq!(queue.job(&id).await.unwrap().unwrap().legacy_runner.as_deref(), Some("oldmac"));
    let entry = server.cli(&["HGET", "darkmux:job:job-1", "entry"]);
    server.cli(&["XACK", "darkmux:work", "darkmux-runners", &entry]);
    assert_eq!(observer.look().await.unwrap(), []);
    let record = r#"{"ts":"2026-11-22T00:00:00Z","action":"dispatch complete","session_id":"job-1","machine_id":"oldmac","payload":{"exit_code":0,"result_class":"ok","wall_ms":7}}"#;
    server.cli(&["XADD", "darkmux:flow", "*", "schema", "1.14.0", "record", record]);
    look_until(&mut observer, &Change::Settled(id.clone(), JobState::Done)).await;
    let view = queue.job(&id).await.unwrap().unwrap();
    assert_eq!(view.result.unwrap().wall_ms, Some(7));
}

#[tokio::test]
async fn a_job_whose_1_9_runner_died_with_it_ends_dead_when_nothing_is_heard_of_the_machine() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let (mut job, spec) = job("job-1", "true");
    job.timeout_seconds = 1;
    queue.publish(&job, &spec).await.unwrap();
    server.cli(&["XREADGROUP", "GROUP", "darkmux-runners", "oldmac", "STREAMS", "darkmux:work", ">"]);
    let entry = server.cli(&["HGET", "darkmux:job:job-1", "entry"]);
    let idle = |ms: &str| {
        server.cli(&[
            "XCLAIM",
            "darkmux:work",
            "darkmux-runners",
            "oldmac",
            "0",
            &entry,
            "IDLE",
            ms,
            "JUSTID",
        ]);
    };
    let mut observer = reconciler(&queue);
    // It may still run.
    idle("50000");
    assert_eq!(observer.look().await.unwrap(), []);
    // Its time is over, and the machine lives.
    idle("70000");
    let record = r#"{"action":"machine.online","machine_id":"oldmac"}"#;
    server.cli(&["XADD", "darkmux:flow", "*", "schema", "1.14.0", "record", record]);
    assert_eq!(observer.look().await.unwrap(), []);
    assert_eq!(state(&queue, &spec.id).await, JobState::Queued);
    // What was heard of it is old, and what is new is of others.
    let time: u64 = server.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    server.cli(&["DEL", "darkmux:flow"]);
    let old = format!("{}-0", (time - 65) * 1000);
    server.cli(&["XADD", "darkmux:flow", &old, "schema", "1.14.0", "record", record]);
    let other = record.replace("oldmac", "studio");
    server.cli(&["XADD", "darkmux:flow", "*", "schema", "1.14.0", "record", &other]);
    let [Change::Dead(id, why)] = &observer.look().await.unwrap()[..] else { panic!("it lives") };
    assert_eq!(*id, spec.id);
    assert!(why.contains("`oldmac` took it"), "{why}");
    let view = queue.job(&spec.id).await.unwrap().unwrap();
    assert_eq!(view.why.as_ref(), Some(why), "{:?}", view.result);
    assert_eq!(queue.dead(1).await.unwrap()[0].job, Some(spec.id));
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "0");
}

#[tokio::test]
async fn unsigned_and_forged_jobs_end_dead_where_a_key_exists() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet-key");
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let key = FleetKey::read(&path).unwrap();
    let signed = Queue::new(Redis::new(RedisTarget::parse(&server.url()).unwrap()), numbers(), key);
    let unsigned = queue(&server.url());
    publish(&signed, "good").await;
    publish(&unsigned, "unsigned").await;
    publish(&signed, "forged").await;
    let forged = r#"{"role_id":"shell","message":"rm -rf /","session_id":"forged","runtime":"internal","timeout_seconds":3600,"published_at_unix_ms":1,"attempt":1}"#;
    server.cli(&["HSET", "darkmux:job:forged", "record", forged]);
    let me = seat("m");
    assert_eq!(take(&signed, &me).await.id.as_str(), "good");
    for (name, word) in [("unsigned", "not signed"), ("forged", "signature is wrong")] {
        let Offer::Refused { id: Some(id), why } = claim_now(&signed, &me).await else {
            panic!("{name} was offered")
        };
        assert_eq!(id.as_str(), name);
        assert!(why.contains(word), "{why}");
        assert_eq!(state(&signed, &id).await, JobState::Dead);
    }
}

#[tokio::test]
async fn an_emptied_redis_is_told_again() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let dir = tempfile::tempdir().unwrap();
    let journal = darkmux::work::Journal::new(dir.path(), Clock::System);
    let me = seat("studio");
    for id in ["ended", "running", "waiting"] {
        let (job, spec) = job(id, "true");
        queue.publish(&job, &spec).await.unwrap();
        journal.published(&job, &spec).unwrap();
    }
    let epoch = queue.epoch().await.unwrap();
    let ended = take(&queue, &me).await;
    journal.running(&ended).unwrap();
    let ran = Ran::of(&ended);
    journal.ended(&ran, Outcome::Done, &result()).unwrap();
    journal.answered(&ran.spec.id, &ran.token).unwrap();
    queue.finish(&ended.id, &ended.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let running = take(&queue, &me).await;
    journal.running(&running).unwrap();
    server.cli(&["FLUSHALL"]);
    assert_ne!(queue.epoch().await.unwrap(), epoch);
    assert_eq!(queue.beat(&running.id, &running.token).await.unwrap(), None);
    // Nobody is given it before: what runs is told first, then what ended, then what waited.
    journal.resume_running(&queue, &me).await.unwrap();
    assert_eq!(queue.beat(&running.id, &running.token).await.unwrap(), Some(Beat::Held));
    let mut told = Vec::new();
    journal.reassert(&queue, &me, &mut told).await.unwrap();
    journal.republish(&queue, &mut told).await.unwrap();
    told.sort();
    let names: Vec<_> = told.iter().map(SessionId::as_str).collect();
    assert_eq!(names, ["ended", "waiting"]);
    assert_eq!(state(&queue, &ended.id).await, JobState::Done);
    assert_eq!(take(&queue, &me).await.id.as_str(), "waiting");
    queue.finish(&running.id, &running.token, Outcome::Done, (&result(), 0)).await.unwrap();
    assert_eq!(state(&queue, &running.id).await, JobState::Done);
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "1");
}

#[tokio::test]
async fn who_waits_for_silent_output_waits() {
    use darkmux::work::LogPart;
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    queue.watch_log(&id).await.unwrap();
    let mut reader = queue.log_reader(&id).await.unwrap();
    let parts = reader.next("0-0").await.unwrap();
    let [(entry, LogPart::Other)] = parts.as_slice() else { panic!("{parts:?}") };
    // Not at once with the same entry again, for that would be asked without end.
    assert_eq!(reader.next(entry).await.unwrap(), []);
    assert_eq!(queue.log_after(&id, entry, 10).await.unwrap(), []);
}

#[tokio::test]
async fn output_is_kept_bounded_in_order_and_ends() {
    use darkmux::work::{JobLog, LogPart};
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "job-1").await;
    let claim = take(&queue, &seat("m")).await;
    let mut log = JobLog::open(&queue, &id, 1, 100_000).await.unwrap();
    let text: Vec<u8> = (0..40_000_u32).flat_map(|n| format!("{n:09}\n").into_bytes()).collect();
    for chunk in text.chunks(30_000) {
        log.append(log.end(), chunk).await.unwrap();
    }
    assert_eq!(JobLog::open(&queue, &id, 1, 100_000).await.unwrap().end(), text.len() as u64);
    queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let mut reader = queue.log_reader(&id).await.unwrap();
    let (mut after, mut read, mut from, mut end) = ("0-0".to_owned(), Vec::new(), None, None);
    while end.is_none() {
        for (entry, part) in reader.next(&after).await.unwrap() {
            after = entry;
            match part {
                LogPart::Output { offset, bytes, .. } => {
                    from.get_or_insert(offset);
                    read.extend(bytes);
                }
                LogPart::End(state) => end = Some(state),
                LogPart::Other => {}
            }
        }
    }
    assert_eq!(end, Some(JobState::Done));
    let from = usize::try_from(from.unwrap()).unwrap();
    assert!((60_000..=110_000).contains(&read.len()), "{}", read.len());
    assert_eq!(read, text[from..]);
}
