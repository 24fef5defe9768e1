//! `darkmux fleet drain` and `undrain`.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::job::{failure, queue};
use crate::cli::session::block_on;
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::fleet::{Presence, PresenceReader};
use crate::model::MachineId;

/// How long signs of life may take to read.
const PATIENCE: Duration = Duration::from_millis(800);

/// Give a machine no more jobs; those that it runs go on
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Machine
    #[arg(add = ArgValueCompleter::new(completions::machines))]
    machine: MachineId,
}

/// Give a machine jobs again
#[derive(Debug, Args)]
pub struct UndrainArgs {
    /// Machine
    #[arg(add = ArgValueCompleter::new(completions::machines))]
    machine: MachineId,
}

/// Runs `drain`.
pub fn drain(args: &DrainArgs, cx: &Cx) -> Outcome {
    let machine = &args.machine;
    set(cx, machine, true)?;
    cx.printer.note(&format!(
        "{machine} gets no more jobs; what it runs goes on (`darkmux job ls --machine {machine} --state running`)"
    ));
    Ok(Exit::Ok)
}

/// Runs `undrain`.
pub fn undrain(args: &UndrainArgs, cx: &Cx) -> Outcome {
    set(cx, &args.machine, false)?;
    cx.printer.note(&format!("{} gets jobs", args.machine));
    Ok(Exit::Ok)
}

fn set(cx: &Cx, machine: &MachineId, drained: bool) -> Outcome {
    let queue = queue(cx, "draining a machine")?;
    block_on(async {
        queue.set_drained(machine, drained).await.map_err(|error| failure(&error))?;
        let reader = PresenceReader::new(queue.redis().clone());
        let seen = tokio::time::timeout(PATIENCE, reader.machines()).await.ok().and_then(Result::ok);
        let known =
            |presence: Presence| presence.machines.iter().any(|one| one.beat.name() == machine.as_str());
        if seen.is_some_and(|presence| !known(presence)) {
            cx.printer.note(&format!(
                "no machine `{machine}` shows signs of life; is the name right (`darkmux fleet list`)?"
            ));
        }
        Ok(Exit::Ok)
    })
}
