//! `darkmux fleet drain` and `undrain`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::job::{failure, queue};
use crate::cli::session::block_on;
use crate::cli::{Cx, Exit, Outcome, completions};
use crate::model::MachineId;

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
        Ok(Exit::Ok)
    })
}
