//! A queue of a test's own, with numbers that suit tests.

use std::time::Duration;

use darkmux::config::QueueConfig;
use darkmux::model::{MachineId, OnLoss, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::wire::{JobResult, JobSpec, Lane, WorkJob};
use darkmux::work::{Claim, Offer, Published, Queue, Seat};

/// Numbers that let a lost job show within two seconds.
pub fn numbers() -> QueueConfig {
    QueueConfig {
        lease: Duration::from_millis(600),
        beat: Duration::from_millis(150),
        reconcile: Duration::from_millis(100),
        head_start: Duration::from_millis(300),
        max: 5000,
        result_ttl: Duration::from_mins(10),
        dead_ttl: Duration::from_mins(10),
    }
}

pub fn queue(url: &str) -> Queue {
    Queue::new(Redis::new(RedisTarget::parse(url).expect("a URL")), numbers(), None)
}

pub fn machine(name: &str) -> MachineId {
    MachineId::new(name).expect("a machine id")
}

pub fn seat(name: &str) -> Seat {
    Seat::new(machine(name))
}

/// A job of this id that runs `message` in the role `shell`, and is run again when its runner is lost.
pub fn job(id: &str, message: &str) -> (WorkJob, JobSpec) {
    let job = WorkJob {
        target_machine: None,
        role_id: "shell".parse().expect("a role"),
        message: message.to_owned(),
        session_id: id.to_owned(),
        deliver: None,
        workdir: None,
        sprint_id: None,
        runtime: "internal".to_owned(),
        image: None,
        timeout_seconds: 3600,
        published_at_unix_ms: 1,
        published_by_machine: Some("tester".to_owned()),
        published_by_orchestrator: None,
        attempt: 1,
    };
    let spec = JobSpec {
        schema: 1,
        id: SessionId::new(id).expect("an id"),
        name: None,
        lane: Lane::default(),
        first: Vec::new(),
        prefer: Vec::new(),
        timeout_ms: None,
        retries: 0,
        on_loss: OnLoss::Rerun,
        delay_ms: 0,
        key: None,
        not_after_ms: u64::MAX,
        published_by: None,
        legacy_session: None,
        workspace: None,
    };
    (job, spec)
}

/// Claims once from every lane without requirements.
pub async fn claim_now(queue: &Queue, seat: &Seat) -> Offer {
    let streams: Vec<String> =
        queue.lanes().await.expect("lanes").into_iter().map(|(stream, _)| stream).collect();
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    queue.claim(seat, &streams, &nonce, false).await.expect("a claim's answer")
}

/// Claims a job that must be there.
pub async fn take(queue: &Queue, seat: &Seat) -> Claim {
    match claim_now(queue, seat).await {
        Offer::Job(claim) => *claim,
        other => panic!("no job but {other:?}"),
    }
}

/// How an attempt ended that went well.
pub fn result() -> JobResult {
    JobResult { schema: 1, attempt: 1, exit_code: Some(0), ..JobResult::default() }
}

/// Publishes a job of this id that is not there yet.
pub async fn publish(queue: &Queue, id: &str) -> SessionId {
    let (job, spec) = job(id, "true");
    assert_eq!(queue.publish(&job, &spec).await.expect("an answer"), Published::New);
    spec.id
}
