//! Machines, roles, and the event log.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::{Action, Document, Effect, field, listed, words};
use crate::cli::Failure;

/// Arguments of `fleet_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct FleetStatus {
    /// Also ask for memory, system, version and models
    #[serde(default)]
    deep: bool,
}

/// The fleet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Fleet {
    /// The machine that this server runs on
    local_machine_id: String,
    /// Machines as `darkmux fleet status --json` has them
    machines: Vec<Document>,
    /// Whether there is a Redis, and whether it answers
    redis: Document,
}

impl Action for FleetStatus {
    const NAME: &'static str = "fleet_status";
    const TITLE: &'static str = "Fleet status";
    const ABOUT: &'static str = "List the machines of the fleet: which answer, what each says of itself, and how many jobs run there.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Fleet;

    fn run(self, call: &Call) -> Result<(Fleet, String), Failure> {
        let mut line = words(["fleet", "status", "--json"]);
        line.extend(self.deep.then(|| "--deep".to_owned()));
        let fleet: Fleet = call.verb(&line)?;
        let row = |machine: &Document| {
            let is = |name: &str| machine.get(name).is_some_and(|value| value == true);
            let beats = machine
                .get("presence")
                .and_then(|beats| beats.as_array())
                .is_some_and(|beats| !beats.is_empty());
            let how = match (is("reachable"), beats) {
                (true, _) => "answers",
                (false, true) => "shows signs of life",
                (false, false) => "does not answer",
            };
            format!("{} {how}", field(machine, "id"))
        };
        let none = format!("no machine but this one ({}) is known", fleet.local_machine_id);
        let text = listed(fleet.machines.iter().map(row), &none);
        Ok((fleet, text))
    }
}

/// Arguments of `roles`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Roles {}

/// Roles.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Crew {
    /// Roles as `darkmux crew roles --json` has them; `state` is about this machine
    roles: Vec<Document>,
}

impl Action for Roles {
    const NAME: &'static str = "roles";
    const TITLE: &'static str = "List roles";
    const ABOUT: &'static str = "List the roles that work can be dispatched to, and whether this machine can run each. Other \
        machines may be able to run more.";
    const EFFECT: Effect = Effect::Looks;
    type Output = Crew;

    fn run(self, call: &Call) -> Result<(Crew, String), Failure> {
        let crew: Crew = call.verb(&words(["crew", "roles", "--json"]))?;
        let row = |role: &Document| {
            format!("{} ({}): {}", field(role, "id"), field(role, "state"), field(role, "description"))
        };
        let text = listed(crew.roles.iter().map(row), "no roles");
        Ok((crew, text))
    }
}

/// Arguments of `flow_note`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct FlowNote {
    /// What you noticed or decided, for whoever reads the event log
    text: String,
    /// Session or job that it belongs to
    session_id: Option<String>,
}

/// Whether it is kept.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Kept {
    /// Always true: it is an error otherwise
    kept: bool,
}

impl Action for FlowNote {
    const NAME: &'static str = "flow_note";
    const TITLE: &'static str = "Write a note";
    const ABOUT: &'static str = "Write what you noticed or decided into the flow, the event log that its user and other machines see.";
    const EFFECT: Effect = Effect::Adds;
    type Output = Kept;

    fn run(self, call: &Call) -> Result<(Kept, String), Failure> {
        let mut line = words(["flow", "note", "--source=mcp"]);
        line.push(format!("--text={}", self.text));
        line.extend(self.session_id.map(|id| format!("--session-id={id}")));
        call.notes(&line)?;
        Ok((Kept { kept: true }, "the note is kept".to_owned()))
    }
}
