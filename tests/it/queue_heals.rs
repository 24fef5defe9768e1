//! What the reconciler and the scripts mend: lanes nobody registered, entries nobody came back for, results of
//! an earlier life, hashes that somebody broke.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, MachineId, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::util::Clock;
use darkmux::wire::{JobResult, JobSpec, Lane, WorkJob};
use darkmux::work::{
    Beat, Cancelled, Change, Claim, Finish, FleetKey, JobLog, JobView, Journal, Offer, Outcome, Published,
    Queue, Ran, Reconciler, Retried, adopted_spec,
};

use crate::support::RedisServer;
use crate::support::queue::{claim_now, job, numbers, queue, seat, take};

fn result() -> JobResult {
    JobResult { schema: 1, attempt: 1, exit_code: Some(1), ..JobResult::default() }
}

async fn publish(queue: &Queue, (job, spec): (WorkJob, JobSpec)) -> SessionId {
    assert_eq!(queue.publish(&job, &spec).await.unwrap(), Published::New);
    spec.id
}

async fn state(queue: &Queue, id: &SessionId) -> JobState {
    queue.job(id).await.unwrap().unwrap().state
}

fn reconciler(queue: &Queue, name: &str) -> Reconciler {
    Reconciler::new(queue.clone(), Clock::System, ("darkmux:flow".into(), name.into()))
}

async fn look_until<T>(observer: &mut Reconciler, what: &str, mut is: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        observer.look().await.unwrap();
        if let Some(value) = is().await {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_lane_that_lost_its_registration_is_found_again() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let (work, mut spec) = job("pinned", "true");
    spec.lane = Lane { pin: MachineId::new("studio").ok(), ..Lane::default() };
    let lane = spec.lane.clone();
    publish(&queue, (work, spec)).await;
    server.cli(&["DEL", "darkmux:lanes"]);
    assert!(!queue.lanes().await.unwrap().iter().any(|(_, known)| *known == lane));
    let mut observer = reconciler(&queue, "one");
    look_until(&mut observer, "the lane", async || {
        queue.lanes().await.unwrap().iter().any(|(_, known)| *known == lane).then_some(())
    })
    .await;
    assert_eq!(take(&queue, &seat("studio")).await.id.as_str(), "pinned");
}

#[tokio::test]
async fn a_lane_is_swept_when_it_holds_nothing_and_comes_back_with_its_next_job() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let mut observer = reconciler(&queue, "one");
    // Somebody else's names in the registry lead to nobody's data.
    server.cli(&["HSET", "darkmux:lanes", "somebodys:stream", "{}"]);
    server.cli(&["XADD", "somebodys:stream", "MAXLEN", "0", "*", "k", "v"]);
    for round in 0..2 {
        let (work, mut spec) = job(&format!("pinned-{round}"), "true");
        spec.lane = Lane { pin: MachineId::new("studio").ok(), ..Lane::default() };
        let stream = spec.lane.stream().unwrap();
        publish(&queue, (work, spec)).await;
        observer.look().await.unwrap();
        let claim = take(&queue, &seat("studio")).await;
        observer.look().await.unwrap();
        assert_eq!(server.cli(&["EXISTS", &stream]), "1", "a running job's lane stays");
        queue.finish(&claim.id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
        look_until(&mut observer, "the lane to go", async || {
            (server.cli(&["EXISTS", &stream]) == "0").then_some(())
        })
        .await;
        assert!(!server.cli(&["HKEYS", "darkmux:lanes"]).contains(&stream));
    }
    assert_eq!(server.cli(&["EXISTS", "somebodys:stream"]), "1");
}

#[tokio::test]
async fn a_retried_job_is_not_ended_by_what_its_earlier_life_told() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, job("job-1", "true")).await;
    let me = seat("studio");
    let claim = take(&queue, &me).await;
    queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 0)).await.unwrap();
    assert_eq!(queue.retry(&id).await.unwrap(), Retried::Queued);
    let told =
        queue.reassert((&claim.job, &claim.spec), &claim.token, Outcome::Failed, &result()).await.unwrap();
    assert!(!told);
    let resumed = queue.resume(&me, &claim).await.unwrap();
    assert_eq!(resumed, Beat::Lost);
    assert_eq!(state(&queue, &id).await, JobState::Queued);
    assert_eq!(take(&queue, &me).await.attempt, 2);
}

#[tokio::test]
async fn a_failure_told_twice_and_from_the_journal_takes_one_try_and_no_more() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path(), Clock::System);
    let (work, mut spec) = job("job-1", "true");
    spec.retries = 1;
    let id = publish(&queue, (work, spec)).await;
    let me = seat("studio");
    let claim = take(&queue, &me).await;
    journal.running(&claim).unwrap();
    let ran = Ran::of(&claim);
    journal.ended(&ran, Outcome::Failed, &result()).unwrap();
    journal.answered(&id, &ran.token).unwrap();
    let mut again = Vec::new();
    for _ in 0..2 {
        let told = queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 1)).await.unwrap();
        assert_eq!(told, Finish::Again);
        journal.reassert(&queue, &me, &mut again).await.unwrap();
        assert_eq!(again, []);
    }
    let told =
        queue.reassert((&claim.job, &claim.spec), &claim.token, Outcome::Failed, &result()).await.unwrap();
    assert!(told, "it is known");
    assert_eq!(state(&queue, &id).await, JobState::Waiting);
    assert_eq!(server.cli(&["HGET", "darkmux:job:job-1", "fails"]), "1");
    // A Redis that went back to before the result hears of it, and still has a try left.
    server.cli(&["HSET", "darkmux:job:job-1", "state", "running", "fails", "0"]);
    journal.reassert(&queue, &me, &mut again).await.unwrap();
    assert_eq!(state(&queue, &id).await, JobState::Waiting);
}

#[tokio::test]
async fn a_forgotten_job_has_the_tries_left_that_it_had() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    let (work, mut spec) = job("job-1", "true");
    spec.retries = 1;
    let id = publish(&queue, (work, spec)).await;
    let fail = async |claim: &Claim| {
        let told = queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 1)).await.unwrap();
        assert_eq!(told, Finish::Forgotten);
        queue.finish_forgotten(&me, claim, Outcome::Failed, &result()).await.unwrap()
    };
    let first = take(&queue, &me).await;
    server.cli(&["FLUSHALL"]);
    assert_eq!(fail(&first).await, Finish::Again);
    server.cli(&["HSET", "darkmux:job:job-1", "due", "1"]);
    let mut observer = reconciler(&queue, "observer");
    let second = look_until(&mut observer, "its second try", async || match claim_now(&queue, &me).await {
        Offer::Job(claim) => Some(*claim),
        _ => None,
    })
    .await;
    assert_eq!((second.attempt, second.before.fails), (2, 1));
    server.cli(&["FLUSHALL"]);
    assert_eq!(fail(&second).await, Finish::Accepted);
    assert_eq!(state(&queue, &id).await, JobState::Failed);
    // The first one's end, told late, changes nothing.
    let late = queue.finish_forgotten(&me, &first, Outcome::Failed, &result()).await.unwrap();
    assert_eq!(late, Finish::Fenced);
}

#[tokio::test]
async fn a_forgotten_job_that_is_told_again_still_has_its_key() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    let keyed = |id| {
        let (work, mut spec) = job(id, "true");
        spec.key = Some("nightly".to_owned());
        (work, spec)
    };
    let id = publish(&queue, keyed("job-1")).await;
    let claim = take(&queue, &me).await;
    server.cli(&["FLUSHALL"]);
    assert_eq!(queue.resume(&me, &claim).await.unwrap(), Beat::Held);
    let (work, spec) = keyed("job-2");
    assert_eq!(queue.publish(&work, &spec).await.unwrap(), Published::Before(id.clone()));
    server.cli(&["FLUSHALL"]);
    let told = queue.reassert((&claim.job, &claim.spec), &claim.token, Outcome::Done, &result()).await;
    assert!(told.unwrap());
    assert_eq!(queue.publish(&work, &spec).await.unwrap(), Published::Before(id));
}

#[tokio::test]
async fn an_attempt_that_is_over_is_not_begun_again_by_telling_of_it() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    let id = publish(&queue, job("job-1", "true")).await;
    let given_back = take(&queue, &me).await;
    queue.decline(&me, &given_back, "not here").await.unwrap();
    assert_eq!(queue.resume(&me, &given_back).await.unwrap(), Beat::Lost);
    let other = seat("laptop");
    let lost = take(&queue, &other).await;
    assert_eq!(queue.lose(&lost).await.unwrap(), Finish::Again);
    assert_eq!(queue.resume(&other, &lost).await.unwrap(), Beat::Lost);
    assert_eq!(state(&queue, &id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_left_a_1_9_runner_is_put_back_like_any_other() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, job("job-1", "true")).await;
    server.cli(&["XREADGROUP", "GROUP", "darkmux-runners", "oldmac", "STREAMS", "darkmux:work", ">"]);
    let mut observer = reconciler(&queue, "one");
    observer.look().await.unwrap();
    let by = async || queue.job(&id).await.unwrap().unwrap().legacy_runner;
    assert_eq!(by().await.as_deref(), Some("oldmac"));
    // Somebody removes the group; one made anew delivers the entry to a runner of ours, which dies.
    server.cli(&["XGROUP", "DESTROY", "darkmux:work", "darkmux-runners"]);
    let claim = take(&queue, &seat("studio")).await;
    assert_eq!(queue.lose(&claim).await.unwrap(), Finish::Again);
    assert_eq!(by().await, None);
    let entry = server.cli(&["HGET", "darkmux:job:job-1", "entry"]);
    server.cli(&["XDEL", "darkmux:work", &entry]);
    let began = Instant::now();
    while !observer.look().await.unwrap().contains(&Change::Restored(id.clone())) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(take(&queue, &seat("studio")).await.attempt, 2);
}

#[tokio::test]
async fn a_refusal_says_what_became_of_it_however_often_it_is_told() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    let id = publish(&queue, job("job-1", "true")).await;
    let lost = take(&queue, &me).await;
    assert_eq!(queue.lose(&lost).await.unwrap(), Finish::Again);
    assert_eq!(queue.refuse(&id, &lost.token, "never").await.unwrap(), Finish::Fenced);
    assert_eq!(state(&queue, &id).await, JobState::Queued);
    let claim = take(&queue, &me).await;
    server.cli(&["FLUSHALL"]);
    assert_eq!(queue.refuse(&id, &claim.token, "never").await.unwrap(), Finish::Forgotten);
    assert_eq!(queue.resume(&me, &claim).await.unwrap(), Beat::Held);
    // Its answer may be lost.
    for _ in 0..2 {
        assert_eq!(queue.refuse(&id, &claim.token, "never").await.unwrap(), Finish::Accepted);
    }
    assert_eq!(state(&queue, &id).await, JobState::Dead);
    assert_eq!(queue.dead(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_entry_of_1_9_whose_claimer_died_is_delivered_again() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let record = r#"{"role_id":"coder","message":"m","session_id":"s-1","timeout_seconds":9,"published_at_unix_ms":0,"attempt":1}"#;
    server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", record]);
    let (dead, alive) = (seat("dead"), seat("alive"));
    assert!(matches!(claim_now(&queue, &dead).await, Offer::Foreign(_)));
    let mut observer = reconciler(&queue, "one");
    let offer = look_until(&mut observer, "the entry", async || match claim_now(&queue, &alive).await {
        Offer::Foreign(foreign) => Some(foreign),
        Offer::Nothing { .. } => None,
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(offer.fields["record"], record.as_bytes());
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "1");
}

#[tokio::test]
async fn garbage_among_the_live_jobs_stops_nobody() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    server.cli(&["SADD", "darkmux:live", "no id at all \u{1b}", "no-due"]);
    server.cli(&["HSET", "darkmux:job:no-due", "state", "waiting", "lane", "darkmux:work"]);
    let id = publish(&queue, job("job-1", "true")).await;
    let _claim = take(&queue, &seat("studio")).await;
    let mut observer = reconciler(&queue, "one");
    let began = Instant::now();
    while !observer.look().await.unwrap().contains(&Change::Requeued(id.clone())) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(queue.status().await.unwrap().depth["queued"], 1);
}

#[tokio::test]
async fn a_machine_that_gave_a_job_back_twice_is_left_out_of_both_lanes() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, job("job-1", "true")).await;
    let (one, two, three) = (seat("one"), seat("two"), seat("three"));
    for seat in [&one, &two] {
        let claim = take(&queue, seat).await;
        queue.decline(seat, &claim, "no such role").await.unwrap();
    }
    let lanes = queue.lanes().await.unwrap();
    let (_, lane) = lanes.iter().find(|(_, lane)| lane.not.len() == 2).unwrap();
    for (seat, admitted) in [(&one, false), (&two, false), (&three, true)] {
        assert_eq!(lane.admits(seat.machine.as_str(), &seat.consumer, |_| Ok(())).is_ok(), admitted);
    }
}

#[tokio::test]
async fn a_job_that_was_given_back_is_offered_again_ever_more_rarely() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, job("job-1", "true")).await;
    let (me, own) = (seat("studio"), Lane::default());
    assert!(!queue.offer_again(&id, &own, true).await.unwrap(), "nobody refused it");
    let first = queue.job(&id).await.unwrap().unwrap().queued_ms;
    let pause = u64::try_from(queue.config().lease.as_millis()).unwrap() * 2;
    for pauses in [1, 2, 4, 8, 16, 16] {
        let claim = take(&queue, &me).await;
        queue.decline(&me, &claim, "no room").await.unwrap();
        let view = queue.job(&id).await.unwrap().unwrap();
        assert_eq!(view.queued_ms, first, "it waits since it was published");
        let left = view.offered_again_ms.unwrap() - queue.now_ms().await.unwrap();
        assert!((pause * pauses - 1000..=pause * pauses).contains(&left), "{left} of {pauses}");
        assert!(!queue.offer_again(&id, &own, false).await.unwrap(), "{pauses}");
        server.cli(&["HINCRBY", "darkmux:job:job-1", "offer_due", &format!("-{}", pause * pauses)]);
        assert!(queue.offer_again(&id, &own, false).await.unwrap(), "{pauses}");
        assert_eq!(queue.lane_now(&id).await.unwrap(), Some(own.clone()));
    }
    let claim = take(&queue, &me).await;
    queue.decline(&me, &claim, "no room").await.unwrap();
    // Redis' clock was set back.
    server.cli(&["HINCRBY", "darkmux:job:job-1", "offer_due", "3600000000"]);
    assert!(queue.offer_again(&id, &own, false).await.unwrap());
    let claim = take(&queue, &me).await;
    assert!(!queue.offer_again(&id, &own, true).await.unwrap(), "it runs");
    queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    assert_eq!(queue.retry(&id).await.unwrap(), Retried::Queued);
    let offers = server.cli(&["HGET", "darkmux:job:job-1", "offers"]);
    assert_eq!(offers.trim(), "", "a new life");
}

#[tokio::test]
async fn a_claim_that_redis_lost_is_told_again_and_nobody_runs_the_job_twice() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    // What a server knows that went back to before the claim.
    let go_back = |id: &SessionId| {
        let key = format!("darkmux:job:{id}");
        let entry =
            server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "record", "{}", "job", id.as_str()]);
        server.cli(&["HDEL", &key, "tok", "owner", "machine", "started"]);
        server.cli(&["HSET", &key, "state", "queued", "attempt", "0", "entry", &entry]);
    };
    let id = publish(&queue, job("job-1", "true")).await;
    let claim = take(&queue, &me).await;
    go_back(&id);
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), None);
    assert_eq!(queue.lose(&claim).await.unwrap(), Finish::Forgotten);
    let resumed = queue.resume(&me, &claim).await.unwrap();
    assert_eq!(resumed, Beat::Held);
    assert!(matches!(claim_now(&queue, &seat("laptop")).await, Offer::Nothing { .. }));
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Held));
    go_back(&id);
    let told = queue.finish(&id, &claim.token, Outcome::Failed, (&result(), 0)).await.unwrap();
    assert_eq!(told, Finish::Forgotten);
    let documents = (&claim.job, &claim.spec);
    assert!(queue.reassert(documents, &claim.token, Outcome::Failed, &result()).await.unwrap());
    assert_eq!(state(&queue, &id).await, JobState::Failed);
    assert!(matches!(claim_now(&queue, &me).await, Offer::Nothing { .. }));
    // What an earlier life of the job says stays refused.
    assert_eq!(queue.retry(&id).await.unwrap(), Retried::Queued);
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Lost));
    let late = queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    assert_eq!(late, Finish::Fenced);
    assert_eq!(state(&queue, &id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_runs_is_not_queued_again_by_its_runner() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("studio");
    for (name, outcome) in [("declined", None), ("failed", Some(Outcome::Failed))] {
        let id = publish(&queue, job(name, "true")).await;
        let claim = take(&queue, &me).await;
        assert_eq!(queue.cancel(&id, "enough").await.unwrap(), Cancelled::Asked);
        match outcome {
            None => queue.decline(&me, &claim, "no such role").await.unwrap(),
            Some(outcome) => {
                for _ in 0..2 {
                    let told = queue.finish(&id, &claim.token, outcome, (&result(), 3)).await.unwrap();
                    assert_eq!(told, Finish::Accepted, "{name}");
                }
            }
        }
        let view = queue.job(&id).await.unwrap().unwrap();
        assert_eq!((view.state, view.why.as_deref()), (JobState::Cancelled, Some("enough")), "{name}");
        assert!(server.cli(&["TTL", &format!("darkmux:job:{name}")]).parse::<i64>().unwrap() > 500);
    }
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "0");
    assert_eq!(server.cli(&["XLEN", "darkmux:work"]), "0");
}

#[tokio::test]
async fn a_retried_job_begins_where_it_was_published_with_a_time_of_its_own() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet-key");
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let redis = Redis::new(RedisTarget::parse(&server.url()).unwrap());
    let signed = Queue::new(redis.clone(), numbers(), FleetKey::read(&path).unwrap());
    let unsigned = Queue::new(redis, numbers(), None);
    let (one, two) = (seat("one"), seat("two"));
    let (work, mut spec) = job("job-1", "true");
    let id = publish(&signed, (work.clone(), spec.clone())).await;
    let claim = take(&signed, &one).await;
    signed.decline(&one, &claim, "no such role").await.unwrap();
    let claim = take(&signed, &two).await;
    signed.finish(&id, &claim.token, Outcome::Failed, (&result(), 0)).await.unwrap();
    server.cli(&["HSET", "darkmux:job:job-1", "parked", "nobody can run it"]);
    // Meanwhile its time is over: what the publisher would have signed.
    let elsewhere = RedisServer::start();
    let other = Redis::new(RedisTarget::parse(&elsewhere.url()).unwrap());
    spec.not_after_ms = 1;
    publish(&Queue::new(other, numbers(), FleetKey::read(&path).unwrap()), (work, spec)).await;
    let late = elsewhere.cli(&["HGET", "darkmux:job:job-1", "spec"]);
    server.cli(&["HSET", "darkmux:job:job-1", "spec", &late]);
    // Who cannot sign does not make a job that nobody may run.
    let refused = unsigned.retry(&id).await.unwrap_err().to_string();
    assert!(refused.contains("fleet key"), "{refused}");
    assert_eq!(state(&signed, &id).await, JobState::Failed);
    assert_eq!(signed.retry(&id).await.unwrap(), Retried::Queued);
    let view = signed.job(&id).await.unwrap().unwrap();
    assert_eq!((view.declined.len(), view.parked, view.attempts.len()), (0, None, 1));
    assert_eq!(signed.lane_now(&id).await.unwrap(), Some(Lane::default()));
    // `take` checks the signature.
    let claim = take(&signed, &one).await;
    let now = darkmux::util::clock::unix_ms(Clock::System.now());
    let days = |days: u64| days * 24 * 3_600_000;
    assert!((now + days(6)..now + days(8)).contains(&claim.spec.not_after_ms), "{:?}", claim.spec);
}

#[tokio::test]
async fn a_forged_job_is_not_signed_by_its_retry() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet-key");
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let redis = Redis::new(RedisTarget::parse(&server.url()).unwrap());
    let signed = Queue::new(redis, numbers(), FleetKey::read(&path).unwrap());
    let (work, mut spec) = job("job-1", "true");
    spec.not_after_ms = 1;
    let id = publish(&queue(&server.url()), (work, spec)).await;
    let me = seat("studio");
    assert!(matches!(claim_now(&signed, &me).await, Offer::Refused { .. }));
    assert_eq!(state(&signed, &id).await, JobState::Dead);
    let refused = signed.retry(&id).await.unwrap_err().to_string();
    assert!(refused.contains("it is not signed"), "{refused}");
    assert_eq!(state(&signed, &id).await, JobState::Dead);
}

#[tokio::test]
async fn a_signed_job_is_run_from_the_lane_that_was_signed_and_no_other() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fleet-key");
    std::fs::write(&path, "5a".repeat(32)).unwrap();
    let redis = Redis::new(RedisTarget::parse(&server.url()).unwrap());
    let signed = Queue::new(redis, numbers(), FleetKey::read(&path).unwrap());
    let (work, mut spec) = job("job-1", "true");
    spec.lane.require = vec!["gpu".to_owned()];
    let id = publish(&signed, (work, spec)).await;
    // Who has given it back is left out of the lane besides; that is no other lane.
    let (one, two) = (seat("studio"), seat("laptop"));
    let claim = take(&signed, &one).await;
    signed.decline(&one, &claim, "no model").await.unwrap();
    let claim = take(&signed, &two).await;
    signed.decline(&two, &claim, "no model").await.unwrap();
    // Somebody moves it to where machines without a GPU read.
    let entry = server.cli(&["XADD", "darkmux:work", "*", "schema", "3", "job", "job-1"]);
    server.cli(&["HSET", "darkmux:job:job-1", "lane", "darkmux:work", "lanedoc", "", "entry", entry.trim()]);
    let streams = ["darkmux:work".to_owned()];
    let offer = signed.claim(&seat("hub"), &streams, "n1", false).await.unwrap();
    let Offer::Refused { why, .. } = offer else { panic!("{offer:?}") };
    assert!(why.contains("another lane"), "{why}");
    assert_eq!(state(&signed, &id).await, JobState::Dead);
}

#[tokio::test]
async fn a_job_that_ends_dead_in_its_lane_is_kept_as_long_as_the_dead_are() {
    let server = RedisServer::start();
    let mut config = numbers();
    config.dead_ttl = Duration::from_hours(2);
    let queue = Queue::new(Redis::new(RedisTarget::parse(&server.url()).unwrap()), config, None);
    for (name, end, kept) in [("dead", JobState::Dead, 3600..7201), ("done", JobState::Done, 500..601)] {
        let id = publish(&queue, job(name, "true")).await;
        assert!(queue.end_queued(&id, end, &result(), "why").await.unwrap());
        let ttl = server.cli(&["TTL", &format!("darkmux:job:{name}")]).parse::<i64>().unwrap();
        assert!(kept.contains(&ttl), "{name}: {ttl}");
    }
}

#[tokio::test]
async fn one_broken_key_hides_no_other_job() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let raw = async |words: &[&[u8]]| {
        let mut command = redis::cmd(std::str::from_utf8(words[0]).unwrap());
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        queue.redis().query::<redis::Value>(&command).await.unwrap();
    };
    // A job that is a list, bytes that are no text in ids, names and values, and an entry without a job.
    for id in ["a-list", "b-list"] {
        publish(&queue, job(id, "true")).await;
        server.cli(&["DEL", &format!("darkmux:job:{id}")]);
        server.cli(&["RPUSH", &format!("darkmux:job:{id}"), "1"]);
    }
    raw(&[b"SADD", b"darkmux:live", b"\xff\xfe"]).await;
    raw(&[b"ZADD", b"darkmux:jobs", b"9", b"\xff\xfe"]).await;
    raw(&[b"SADD", b"darkmux:drained", b"\xff"]).await;
    raw(&[b"HSET", b"darkmux:lanes", b"\xff", b"\xff"]).await;
    raw(&[b"XADD", b"darkmux:work", b"*", b"\xff\xfe", b"x"]).await;
    let id = publish(&queue, job("job-1", "true")).await;
    raw(&[b"HSET", b"darkmux:job:job-1", b"\xff", b"\xff", b"parked", b"\xff"]).await;
    assert_eq!(queue.status().await.unwrap().depth["queued"], 1);
    assert_eq!(queue.position(&id).await.unwrap(), Some(0));
    assert_eq!(queue.position(&SessionId::new("a-list").unwrap()).await.unwrap(), None);
    let ids = |jobs: Vec<JobView>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let only = std::slice::from_ref(&id);
    assert_eq!(ids(queue.jobs(10).await.unwrap()), only);
    assert_eq!(queue.find("job-").await.unwrap(), only);
    let me = seat("studio");
    for _ in ["a-list", "b-list"] {
        // It looks like a job of 1.9, and there is no place for it.
        let Offer::Foreign(foreign) = claim_now(&queue, &me).await else { panic!("no entry") };
        let adopted = adopted_spec(&foreign, 1).unwrap();
        let error = queue.adopt(&me, &foreign, "n", adopted).await.unwrap_err();
        assert!(error.is_of_the_data(), "{error}");
        queue.reject(&foreign, &error.to_string()).await.unwrap();
        assert!(queue.dead(10).await.unwrap()[0].why.contains("something else uses the keys"));
    }
    let Offer::Foreign(foreign) = claim_now(&queue, &me).await else { panic!("no entry") };
    let why = adopted_spec(&foreign, 1).unwrap_err();
    queue.reject(&foreign, &why).await.unwrap();
    assert!(queue.dead(10).await.unwrap()[0].why.contains("no record"));
    assert_eq!(take(&queue, &me).await.id, id);
    let mut observer = reconciler(&queue, "one");
    let began = Instant::now();
    while !observer.look().await.unwrap().contains(&Change::Requeued(id.clone())) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_list_of_ids_forgets_jobs_that_are_gone_and_no_others() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    publish(&queue, job("old", "true")).await;
    publish(&queue, job("new", "true")).await;
    server.cli(&["ZADD", "darkmux:jobs", "1", "gone", "1", "old"]);
    let mut observer = reconciler(&queue, "one");
    look_until(&mut observer, "the list", async || {
        (server.cli(&["ZCARD", "darkmux:jobs"]) == "2").then_some(())
    })
    .await;
    // What is young may only just be coming.
    let now = server.cli(&["TIME"]).lines().next().unwrap().to_owned() + "000";
    server.cli(&["ZADD", "darkmux:jobs", &now, "coming"]);
    observer.look().await.unwrap();
    assert_eq!(server.cli(&["ZCARD", "darkmux:jobs"]), "3");
}

#[tokio::test]
async fn a_leader_of_before_the_clock_was_set_back_is_followed_no_longer() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let mut observer = reconciler(&queue, "one");
    let leader = || server.cli(&["GET", "darkmux:reconciler"]);
    for mark in
        [&["SET", "darkmux:reconciler", "gone", "PX", "3600000"][..], &["SET", "darkmux:reconciler", "gone"]]
    {
        server.cli(mark);
        observer.look().await.unwrap();
        assert_eq!(leader(), "one");
    }
    // One that may live is followed; its mark does not stay long enough for every look of a busy machine.
    let began = Instant::now();
    while leader() != "other" {
        assert!(began.elapsed() < Duration::from_secs(10));
        server.cli(&["SET", "darkmux:reconciler", "other", "PX", "195"]);
        observer.look().await.unwrap();
    }
}

#[tokio::test]
async fn a_head_start_that_a_clock_made_long_keeps_nobody_waiting() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let laptop = seat("laptop");
    let seconds: u64 = server.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let late = (seconds * 1000 + 3_600_000).to_string();
    let long_ago = (seconds * 1000 - 6000).to_string();
    for (name, queued) in [("ahead", &late), ("behind", &long_ago)] {
        let (work, mut spec) = job(name, "true");
        spec.first = vec![MachineId::new("studio").unwrap()];
        let id = publish(&queue, (work, spec)).await;
        server.cli(&["SET", "darkmux:hinted", "1"]);
        server.cli(&["HSET", &format!("darkmux:job:{name}"), "hint_until", &late, "queued", queued]);
        assert_eq!(take(&queue, &laptop).await.id, id);
    }
}

#[tokio::test]
async fn however_many_narrow_lanes_there_are_the_open_ones_are_read() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let mut register = redis::cmd("HSET");
    register.arg("darkmux:lanes");
    for number in 0..600 {
        let lane = Lane { require: vec![format!("tag-{number}")], ..Lane::default() };
        register.arg(lane.stream().unwrap()).arg(lane.to_json().unwrap());
    }
    queue.redis().query::<u64>(&register).await.unwrap();
    let lanes = queue.lanes().await.unwrap();
    assert_eq!(lanes.len(), 512);
    assert_eq!(lanes.iter().filter(|(_, lane)| lane.require.is_empty()).count(), 3);
}

#[tokio::test]
async fn an_offset_that_no_output_has_overflows_nothing() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = SessionId::new("job-1").unwrap();
    let most = u64::MAX.to_string();
    server.cli(&["XADD", "darkmux:log:job-1", "*", "a", "1", "o", &most, "d", "text"]);
    let mut log = JobLog::open(&queue, &id, 1, 1000).await.unwrap();
    assert_eq!(log.end(), u64::MAX);
    log.append(log.end(), b"more").await.unwrap();
}
