//! Handing work to a role.

use rmcp::schemars::JsonSchema;
use serde::Deserialize;

use super::super::call::Call;
use super::outcome::{Outcome, job_in_words, session_in_words};
use super::target::{Spot, Target, find};
use super::waiting::Waiting;
use super::{Action, Document, Effect, there, words};
use crate::cli::{Exit, Failure};

/// Arguments of `dispatch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[allow(clippy::struct_excessive_bools)] // As the verb has them.
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Dispatch {
    /// Role; the tool `roles` lists them. `shell` runs the message as a shell script
    role: String,
    /// What the role is to do
    message: String,
    /// Machine it is meant for: it gets a head start, then the first free one takes it
    machine: Option<String>,
    /// This machine and no other
    pin: Option<String>,
    /// Only machines that have all of these: os, arch, ram, free_ram, cores, gpu, ac_power, model, role, repo, or a label, each as KEY or KEY=VALUE
    #[serde(default)]
    require: Vec<String>,
    /// Machines that have these get a head start; as `require`
    #[serde(default)]
    prefer: Vec<String>,
    /// Publish it for any machine of the fleet. Without this and machine, pin, require, prefer, retries and key it runs on this machine
    #[serde(default)]
    fleet: bool,
    /// Folder to run in: an absolute path on the machine that runs it. On this machine, the server's own folder by default; for the fleet, a new one
    workdir: Option<String>,
    /// Leave the repository here. Without this and workdir a job of the fleet takes the repository of the server's folder along, and what it changes comes back as a branch
    #[serde(default)]
    no_repo: bool,
    /// Run in a worktree of its own on this machine, also a role that would run in the folder itself; what it changes comes back as a branch
    #[serde(default)]
    worktree: bool,
    /// End it after this time, such as 90s or 10m
    timeout: Option<String>,
    /// Name it, for later
    name: Option<String>,
    /// A dispatch with the same key within 7 days is this one, and is not published again. Makes trying again safe
    key: Option<String>,
    /// Try again as often after a failure
    retries: Option<u32>,
    /// Wait for its end and return its output; true is the default. With false, `wait` waits later
    #[serde(default = "yes")]
    wait: bool,
    /// How long to wait, such as 90s or 10m. The default is 50s, or 10m for a client that asks for progress. When it is over nothing is ended
    wait_for: Option<String>,
    /// Most bytes of output in the answer; its end counts. 16384 is the default, 262144 the most
    output_bytes: Option<u32>,
}

fn yes() -> bool {
    true
}

/// What `crew dispatch --detach --json` prints.
#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    job: Option<Document>,
    #[serde(default)]
    session: Option<Document>,
}

impl Action for Dispatch {
    const NAME: &'static str = "dispatch";
    const TITLE: &'static str = "Dispatch work";
    const ABOUT: &'static str = "Hand a message to a role, which runs it in a terminal session on this machine or, where \
        machine, pin, require, prefer or fleet say so, on another machine of the fleet. Returns its exit code and the end of its \
        output, or with wait=false its id.";
    // A role may do anything that its user may.
    const EFFECT: Effect = Effect::Destroys;
    type Output = Outcome;

    fn run(self, call: &Call) -> Result<(Outcome, String), Failure> {
        // Before anything is started.
        call.until(self.wait_for.as_ref())?;
        let Accepted { job, session } = call.verb(&self.line())?;
        let accepted = job.or(session);
        let Some(id) = accepted.as_ref().and_then(|accepted| accepted.get("id")?.as_str()) else {
            let words = "it was accepted and is gone already; job_list and session_list name what is there";
            return Err(Failure::new(Exit::Failed, words));
        };
        if self.wait {
            let wait = Waiting::for_end(id.to_owned(), self.wait_for, self.output_bytes);
            return wait.run(call).map_err(|failure| {
                Failure::new(
                    failure.exit(),
                    format!("{id} was started, and waiting for it failed: {}", failure.words()),
                )
            });
        }
        call.block_on(async {
            Ok(match find(call, id).await? {
                Target::Job(_, job) => Outcome::of_job(&job, "started").told(call, &job_in_words(&job)),
                Target::Session(Spot::Here(_, status)) => {
                    Outcome::of_session(&status, "started").told(call, &session_in_words(&status))
                }
                Target::Session(Spot::There(away)) => {
                    there::outcome(&away.session, "started").told(call, &there::in_words(&away.session))
                }
            })
        })
    }
}

impl Dispatch {
    /// As the command line has it.
    fn line(&self) -> Vec<String> {
        let mut line = words(["crew", "dispatch", "--detach", "--json"]);
        let mut say = |option: &str, value: Option<&String>| {
            line.extend(value.map(|value| format!("--{option}={value}")));
        };
        say("message", Some(&self.message));
        say("machine", self.machine.as_ref());
        say("pin", self.pin.as_ref());
        self.require.iter().for_each(|wanted| say("require", Some(wanted)));
        self.prefer.iter().for_each(|wanted| say("prefer", Some(wanted)));
        say("workdir", self.workdir.as_ref());
        say("timeout", self.timeout.as_ref());
        say("name", self.name.as_ref());
        say("key", self.key.as_ref());
        say("retries", self.retries.map(|retries| retries.to_string()).as_ref());
        for (option, is_set) in
            [("--fleet", self.fleet), ("--no-repo", self.no_repo), ("--worktree", self.worktree)]
        {
            line.extend(is_set.then(|| option.to_owned()));
        }
        line.extend(["--".to_owned(), self.role.clone()]);
        line
    }
}
