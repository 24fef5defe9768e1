//! What a dispatch to the queue becomes: the two documents of its job, the machines that get a head start, and the
//! record of where it goes. The command line and the daemon build them here, so a job is the same from both.
//!
//! Not here: publishing it, and asking who is alive.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Facts, Presence, meets};
use crate::crew::{BadMessage, Crew, check_message};
use crate::model::{
    Category, FlowRecord, Level, MachineId, OnLoss, Priority, Requirement, RoleId, Runtime, SessionId, Stage,
    Tier,
};
use crate::util::{clock, visible_line};
use crate::wire::{JOB_MESSAGE_MAX, JOB_SCHEMA, JobSpec, Lane, WORK_TIMEOUT_MAX, WorkJob};
use crate::work::NOT_AFTER;

/// Longest key of a caller, in bytes.
const KEY_MAX: usize = 200;

/// Most machines that get a head start by what is preferred.
const FIRST_MAX: usize = 16;

/// Why it can be no job.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No role takes this message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// It is too large for the queue.
    #[error(
        "the message has more than {JOB_MESSAGE_MAX} bytes; put the data where its machine can read it, and name it"
    )]
    TooLarge,
    /// Something else does not fit.
    #[error("the job: {0}")]
    Invalid(String),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// The job's id.
    pub id: SessionId,
    /// The role.
    pub role: RoleId,
    /// What it is told.
    pub message: String,
    /// The name the user gave.
    pub name: Option<String>,
    /// The machine that gets a head start.
    pub target: Option<MachineId>,
    /// Which runners may run it.
    pub lane: Lane,
    /// What machines with a head start have.
    pub prefer: Vec<Requirement>,
    /// The machines with a head start.
    pub first: Vec<MachineId>,
    /// Its folder, absolute, on the machine that runs it.
    pub workdir: Option<String>,
    /// The container image that its agent's commands run in.
    pub image: Option<String>,
    /// Its time limit.
    pub timeout: Option<Duration>,
    /// How often it is tried again.
    pub retries: Option<u32>,
    /// When it may start at the earliest.
    pub delay: Duration,
    /// The caller's key.
    pub key: Option<String>,
}

/// Who publishes it, and when.
#[derive(Debug, Clone)]
pub struct Publisher<'a> {
    /// The machine.
    pub machine: &'a MachineId,
    /// What drives it.
    pub orchestrator: Option<String>,
    /// What time the queue has, in Unix milliseconds: until when the job may start is counted from there.
    pub now_ms: u64,
}

/// The key that a caller gives a job, under which it is published once.
pub fn parse_key(text: &str) -> Result<String, String> {
    let fits = (1..=KEY_MAX).contains(&text.len()) && visible_line(text) == text;
    if fits { Ok(text.to_owned()) } else { Err(format!("a key has 1 to {KEY_MAX} printable bytes")) }
}

impl Order {
    /// The documents of the job.
    pub fn documents(self, by: Publisher<'_>) -> Result<(WorkJob, JobSpec), OrderError> {
        let limit = self.timeout.map_or(WORK_TIMEOUT_MAX, |limit| {
            let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
            u32::try_from(seconds).unwrap_or(u32::MAX).min(WORK_TIMEOUT_MAX)
        });
        let on_loss = if self.workdir.is_none() || self.retries.is_some_and(|retries| retries > 0) {
            // What it left in a folder of its own is nobody's.
            OnLoss::Rerun
        } else {
            OnLoss::Stop
        };
        let work = WorkJob {
            target_machine: self.target.as_ref().or(self.lane.pin.as_ref()).map(MachineId::to_string),
            role_id: self.role,
            message: self.message,
            session_id: self.id.to_string(),
            deliver: None,
            workdir: self.workdir,
            sprint_id: None,
            runtime: "internal".to_owned(),
            image: self.image,
            timeout_seconds: limit,
            published_at_unix_ms: by.now_ms,
            published_by_machine: Some(by.machine.to_string()),
            published_by_orchestrator: by.orchestrator,
            attempt: 1,
        };
        check(&work)?;
        let spec = JobSpec {
            schema: JOB_SCHEMA,
            id: self.id,
            name: self.name,
            lane: self.lane,
            first: self.first,
            prefer: self.prefer.iter().map(Requirement::to_string).collect(),
            timeout_ms: self.timeout.map(clock::whole_ms),
            retries: self.retries.unwrap_or(0),
            on_loss,
            delay_ms: clock::whole_ms(self.delay),
            key: self.key,
            not_after_ms: by.now_ms.saturating_add(clock::whole_ms(self.delay + NOT_AFTER)),
            published_by: Some(by.machine.clone()),
            legacy_session: None,
            workspace: None,
        };
        Ok((work, spec))
    }
}

fn check(work: &WorkJob) -> Result<(), OrderError> {
    check_message(&work.message)?;
    if work.message.len() > JOB_MESSAGE_MAX {
        return Err(OrderError::TooLarge);
    }
    let invalid = OrderError::Invalid;
    let record = serde_json::to_vec(work).map_err(|error| invalid(error.to_string()))?;
    WorkJob::parse(&record).map(|_| ()).map_err(invalid)
}

/// Whether this machine is alive.
pub fn is_alive(presence: &Presence, machine: &MachineId) -> bool {
    presence.machines.iter().any(|seen| seen.beat.name() == machine.as_str())
}

/// The machines that are alive and meet all of these.
pub fn preferred(presence: &Presence, prefer: &[Requirement]) -> Vec<MachineId> {
    let facts = presence.machines.iter().filter_map(|seen| Facts::of_beat(&seen.beat));
    let all = |facts: &Facts| prefer.iter().all(|requirement| meets(facts, requirement).is_ok());
    facts.filter(all).map(|facts| facts.machine_id).take(FIRST_MAX).collect()
}

/// Whether machines must accept this role by name. A role that is unknown here is judged by its runner.
pub fn needs_accept(crew: &Crew, role: &RoleId) -> bool {
    crew.get(role).is_ok_and(|role| !matches!(role.manifest.runtime, Runtime::AgentCli | Runtime::Agent))
}

/// The record of where a published job goes.
pub fn route_of(work: &WorkJob, spec: &JobSpec) -> FlowRecord {
    let mut payload = Map::new();
    let mut say = |key: &str, value: Value| payload.insert(key.to_owned(), value);
    say("decision", json!(if work.target_machine.is_some() { "pinned" } else { "queued" }));
    if let Some(target) = &work.target_machine {
        say("target_machine", json!(target));
    }
    if let Some(pin) = &spec.lane.pin {
        say("pin", json!(pin));
    }
    for (key, list) in [("require", &spec.lane.require), ("prefer", &spec.prefer)] {
        if !list.is_empty() {
            say(key, json!(list));
        }
    }
    if spec.lane.priority != Priority::Normal {
        say("priority", json!(spec.lane.priority));
    }
    route(&work.role_id, &spec.id, payload.into())
}

/// The record of where a job goes, by a payload.
pub fn route(role: &RoleId, id: &SessionId, payload: Value) -> FlowRecord {
    let class = (Level::Info, Category::Work, Tier::Local, Stage::Dispatch);
    let mut record = FlowRecord::new(class, "dispatch route", role.as_str());
    record.session_id = Some(id.to_string());
    record.source = Some("crew_dispatch".to_owned());
    record.payload = Some(payload);
    record
}
