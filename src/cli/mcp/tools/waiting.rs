//! Waiting for jobs and sessions, and their output.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::super::call::Call;
use super::outcome::{Outcome, job_in_words, job_output, session_in_words, session_output};
use super::target::{Spot, Target, find, table};
use super::{Action, Effect, there};
use crate::cli::job::{self, Delivery, Follow, Followed, Interrupts};
use crate::cli::remote::WaitFor;
use crate::cli::session::{Keys, Screen, Seen, Waited, Watch, until_happens, watch};
use crate::cli::{Exit, Failure};
use crate::session::{Table, question};
use crate::util::visible_line;
use crate::wire::SessionStatus;
use crate::work::{JobView, Queue};

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars", inline)]
pub enum Until {
    // No documentation: as a plain list of words the schema is read by every client.
    #[default]
    End,
    Idle,
}

/// Arguments of `wait`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Waiting {
    /// Job or session: an id, a part of one, or a name; with `@machine` behind it for a session of another machine
    id: String,
    /// What to wait for; `end` is the default. `idle`, for sessions: until its agent or its shell's prompt says that nothing is at work, or it asks something
    #[serde(default)]
    until: Until,
    /// Wait for a line that fits this regular expression instead; for sessions
    text: Option<String>,
    /// How long, such as 90s or 10m. The default is 50s, or 10m for a client that asks for progress. When it is over nothing is ended
    wait_for: Option<String>,
    /// Most bytes of output in the answer; its end counts. 16384 is the default, 262144 the most
    output_bytes: Option<u32>,
}

impl Action for Waiting {
    const NAME: &'static str = "wait";
    const TITLE: &'static str = "Wait for a job or a session";
    const ABOUT: &'static str = "Wait for a job's or a session's end and return its exit code and the end of its output; or \
        wait until a session is idle or shows a line. When the time to wait is over, `reason` is `time_over` and it goes on.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Outcome;

    fn run(self, call: &Call) -> Result<(Outcome, String), Failure> {
        let until = call.until(self.wait_for.as_ref())?;
        call.block_on(async {
            match find(call, &self.id).await? {
                Target::Job(queue, job) => self.job(call, (&queue, &job), until).await,
                Target::Session(Spot::Here(table, session)) => {
                    self.session(call, (&table, &session), until).await
                }
                Target::Session(Spot::There(there)) => {
                    there::wait(call, &there, (&self.what(), until), self.output_bytes).await
                }
            }
        })
    }
}

impl Waiting {
    /// For the end of something that was started.
    pub fn for_end(id: String, wait_for: Option<String>, output_bytes: Option<u32>) -> Self {
        Self { id, until: Until::End, text: None, wait_for, output_bytes }
    }

    fn is_for_end(&self) -> bool {
        self.text.is_none() && self.until == Until::End
    }

    fn what(&self) -> WaitFor {
        match (&self.text, self.until) {
            (Some(text), _) => WaitFor::Text(text.clone()),
            (None, Until::Idle) => WaitFor::Idle,
            (None, Until::End) => WaitFor::Exit,
        }
    }

    async fn job(
        &self,
        call: &Call,
        (queue, job): (&Queue, &JobView),
        until: Instant,
    ) -> Result<(Outcome, String), Failure> {
        if !self.is_for_end() {
            let table = table(call)?;
            let Some(session) = table.get(&job.id)? else {
                let machine = job.machine.as_deref().unwrap_or("MACHINE");
                let words = format!(
                    "job {} does not run on this machine: wait for its end, or for session {}@{machine}",
                    job.id, job.id
                );
                return Err(Failure::new(Exit::Usage, words));
            };
            return self.session(call, (&table, &session), until).await;
        }
        let (cx, id) = (&call.cx, &job.id);
        let interrupts = Interrupts::Leave;
        let how = Follow {
            cx,
            queue,
            id,
            tells: true,
            is_told: false,
            target: None,
            interrupts,
            until: Some(until),
        };
        match job::follow(&how, None).await? {
            Followed::Ended(job) | Followed::Cancelled(job) => {
                let output = job_output(call, queue, &job, self.output_bytes).await?;
                let ended = Outcome::of_job(&job, "ended").with_output(output);
                let back = if call.read_only { None } else { Delivery::of_job(cx, queue, &job).await };
                Ok(ended.with_workspace(call, back).told(call, &job_in_words(&job)))
            }
            Followed::Left(_) => Err(left()),
            Followed::TimeOver => {
                let now = job::find_view(queue, id.as_str()).await?;
                let words = format!("{}; the time to wait is over and it goes on", job_in_words(&now));
                Ok(Outcome::of_job(&now, "time_over").told(call, &words))
            }
        }
    }

    async fn session(
        &self,
        call: &Call,
        (table, session): (&Table, &SessionStatus),
        until: Instant,
    ) -> Result<(Outcome, String), Failure> {
        if self.is_for_end() {
            return match end_of(call, table, session, until).await? {
                Some(status) => self.ended(call, table, &status).await,
                None => time_over(call, table, session),
            };
        }
        let waits = until_happens(table, &session.id, self.text.as_deref());
        let (status, line) = match tokio::time::timeout_at(until, waits).await {
            Err(_) => return time_over(call, table, session),
            Ok(waited) => match waited? {
                Waited::Ended(status) => return self.ended(call, table, &status).await,
                Waited::Happened(status, line) => (status, line),
            },
        };
        let reason = if self.text.is_some() { "text" } else { "idle" };
        let line = line.or_else(|| question(&status).map(str::to_owned));
        Ok(Outcome { line, ..Outcome::of_session(&status, reason) }.told(call, &session_in_words(&status)))
    }

    async fn ended(
        &self,
        call: &Call,
        table: &Table,
        status: &SessionStatus,
    ) -> Result<(Outcome, String), Failure> {
        let output = session_output(call, table, status, self.output_bytes)?;
        let ended = Outcome::of_session(status, "ended").with_output(output).with_agent(table, status);
        let back = if call.read_only { None } else { Delivery::of_session(&call.cx, &status.id).await };
        Ok(ended.with_workspace(call, back).told(call, &session_in_words(status)))
    }
}

/// The session once it has ended; nothing when the time to wait for it is over.
pub async fn end_of(
    call: &Call,
    table: &Table,
    session: &SessionStatus,
    until: Instant,
) -> Result<Option<SessionStatus>, Failure> {
    let mut unseen = Vec::new();
    let how = Watch { from: None, hold: false, keys: Keys::Ignored, until: Some(until), screen: false };
    match watch(&call.cx, table, &session.id, &how, Screen::collect(&mut unseen)).await? {
        Seen::Ended(status) | Seen::Cancelled(status) => Ok(Some(*status)),
        Seen::TimeOver => Ok(None),
        Seen::Left(_) => Err(left()),
    }
}

fn time_over(call: &Call, table: &Table, session: &SessionStatus) -> Result<(Outcome, String), Failure> {
    let now = table.get(&session.id)?;
    let now = now.as_ref().unwrap_or(session);
    let words = format!("{}; the time to wait is over and it goes on", session_in_words(now));
    Ok(Outcome::of_session(now, "time_over").told(call, &words))
}

fn left() -> Failure {
    Failure::new(Exit::Interrupted, "this server is being ended; what was started goes on")
}

/// Arguments of `logs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Logs {
    /// Job or session: an id, a part of one, or a name; with `@machine` behind it for a session of another machine
    id: String,
    /// Most bytes of output; its end counts. 16384 is the default, 262144 the most
    output_bytes: Option<u32>,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct ReadSoFar {
    /// Whose it is
    id: String,
    /// Its state
    state: &'static str,
    /// The end of its output, of its newest attempt, as plain text
    output: String,
    /// Whether there is more than that
    output_truncated: bool,
}

impl Action for Logs {
    const NAME: &'static str = "logs";
    const TITLE: &'static str = "Read output";
    const ABOUT: &'static str = "Read the end of a job's or a session's output so far, as plain text, wherever it runs or ran. \
        For a program that draws on the whole screen, `session_screen` is what a person would see.";
    const EFFECT: Effect = Effect::Looks;
    type Output = ReadSoFar;

    fn run(self, call: &Call) -> Result<(ReadSoFar, String), Failure> {
        let (id, state, (output, output_truncated)) = call.block_on(async {
            Ok(match find(call, &self.id).await? {
                Target::Job(queue, job) => {
                    let output = job_output(call, &queue, &job, self.output_bytes).await?;
                    (job.id.to_string(), job.state.as_str(), output)
                }
                Target::Session(Spot::Here(table, status)) => {
                    let output = session_output(call, &table, &status, self.output_bytes)?;
                    (status.id.to_string(), status.state.as_str(), output)
                }
                Target::Session(Spot::There(there)) => {
                    let output = there::output(&there, self.output_bytes).await?;
                    (there.session.id.clone(), there.session.state().as_str(), output)
                }
            })
        })?;
        let head = if output_truncated { ", the end of its output" } else { "" };
        let text = format!("{} ({state}){head}\n{output}", visible_line(&id));
        Ok((ReadSoFar { id, state, output, output_truncated }, text))
    }
}
