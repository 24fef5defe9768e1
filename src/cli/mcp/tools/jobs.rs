//! Jobs of the fleet's queue.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::outcome::job_in_words;
use super::{Action, Document, Effect, field, listed, words};
use crate::cli::{Failure, job};

/// Jobs in a list where nobody says how many, and at most.
const JOBS: u32 = 50;
const JOBS_MAX: u32 = 200;

/// Arguments of `job_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct JobList {
    /// Only jobs of these states: queued, waiting, running, done, failed, cancelled, dead
    #[serde(default)]
    state: Vec<String>,
    /// Only jobs that run or ran on this machine
    machine: Option<String>,
    /// Only jobs of this role
    role: Option<String>,
    /// At most so many, the newest; 50 is the default, 200 the most
    limit: Option<u32>,
}

/// Jobs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Jobs {
    /// The jobs as `darkmux job ls --json` has them, the newest first
    jobs: Vec<Document>,
}

impl Action for JobList {
    const NAME: &'static str = "job_list";
    const TITLE: &'static str = "List jobs";
    const ABOUT: &'static str =
        "List jobs of the fleet's queue, wherever they run: those that run and wait, and those that ended.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Jobs;

    fn run(self, call: &Call) -> Result<(Jobs, String), Failure> {
        let mut line = words(["job", "ls", "--json"]);
        line.push(format!("--limit={}", self.limit.unwrap_or(JOBS).min(JOBS_MAX)));
        line.extend(self.state.iter().map(|state| format!("--state={state}")));
        line.extend(self.machine.map(|machine| format!("--machine={machine}")));
        line.extend(self.role.map(|role| format!("--role={role}")));
        let found: Jobs = call.verb(&line)?;
        let row = |job: &Document| {
            let [id, state, role, machine, title] =
                ["id", "state", "role", "machine", "title"].map(|name| field(job, name));
            format!("{id} {state} {role} on {machine}: {title}")
        };
        let text = listed(found.jobs.iter().map(row), "no jobs");
        Ok((found, text))
    }
}

/// Arguments of `job_show`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct JobShow {
    /// Job: an id, a part of one, or a name
    id: String,
}

/// One job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Job {
    /// The job as `darkmux job show --json` has it
    job: Document,
}

impl Action for JobShow {
    const NAME: &'static str = "job_show";
    const TITLE: &'static str = "Show a job";
    const ABOUT: &'static str = "Show one job of the fleet's queue: its state, why it waits, its attempts and how each ended, its times.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Job;

    fn run(self, call: &Call) -> Result<(Job, String), Failure> {
        let queue = job::queue(&call.cx, "showing a job")?;
        let job = call.block_on(job::find_view(&queue, &self.id))?;
        let parked = job.parked.as_deref().map(|why| format!("; it waits because {why}")).unwrap_or_default();
        let text = format!("job {} {}{parked}", job.id, job_in_words(&job));
        let serde_json::Value::Object(job) = serde_json::to_value(&job)? else { return Err(no_object()) };
        Ok((Job { job }, text))
    }
}

fn no_object() -> Failure {
    Failure::new(crate::cli::Exit::Internal, "a job is no object; please report this")
}

/// Arguments of `job_cancel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct JobCancel {
    /// Job: an id, a part of one, or a name
    id: String,
    /// Why, for whoever looks at it later
    reason: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Cancelled {
    /// In words
    said: Vec<String>,
}

impl Action for JobCancel {
    const NAME: &'static str = "job_cancel";
    const TITLE: &'static str = "Cancel a job";
    const ABOUT: &'static str = "Cancel a job of the fleet's queue: at once where it has not started, else its runner ends it. \
        A session that is no job is ended by `session_kill`.";
    const EFFECT: Effect = Effect::Destroys;
    type Output = Cancelled;

    fn run(self, call: &Call) -> Result<(Cancelled, String), Failure> {
        let mut line = words(["job", "cancel"]);
        line.extend(self.reason.map(|reason| format!("--reason={reason}")));
        line.extend(["--".to_owned(), self.id]);
        let said = call.notes(&line)?;
        let text = said.join("\n");
        Ok((Cancelled { said }, text))
    }
}
