//! `darkmux fleet drain` and `undrain`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::job::{failure, known_machines, presence, queue};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::model::MachineId;
use crate::util::{closest, visible_line};

/// Give a machine no more jobs; those that it runs go on
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Machine
    #[arg(add = ArgValueCompleter::new(completions::machines))]
    machine: MachineId,
    /// Also one that nothing is known of, such as one that is off: it counts when it comes
    #[arg(long)]
    force: bool,
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
    set(cx, machine, true, args.force)?;
    cx.printer.note(&format!(
        "{machine} gets no more jobs; what it runs goes on (`darkmux job ls --machine {machine} --state running`)"
    ));
    Ok(Exit::Ok)
}

/// Runs `undrain`.
pub fn undrain(args: &UndrainArgs, cx: &Cx) -> Outcome {
    set(cx, &args.machine, false, false)?;
    cx.printer.note(&format!("{} gets jobs", args.machine));
    Ok(Exit::Ok)
}

fn set(cx: &Cx, machine: &MachineId, drained: bool, any: bool) -> Outcome {
    let queue = queue(cx, "draining a machine")?;
    block_on(async {
        let presence = presence(&queue).await.map_err(|error| failure(&error))?;
        let mut known = known_machines(cx, &queue, presence.as_ref()).await?;
        known.extend(cx.config()?.host().unwrap_or_default().peers.into_iter().map(|peer| peer.name));
        // Without an answer nobody can say that there is no such machine.
        if !any && presence.is_some() && !known.iter().any(|name| name == machine.as_str()) {
            let near = closest(machine.as_str(), known.iter().map(String::as_str));
            let near =
                near.map(|near| format!(" (did you mean `{}`?)", visible_line(near))).unwrap_or_default();
            let words = format!(
                "no machine `{machine}` is known{near}: it shows no sign of life and is not in the roster (`darkmux fleet \
                 list`); --force drains it all the same, when it comes"
            );
            return Err(Failure::new(Exit::Usage, words));
        }
        queue.set_drained(machine, drained).await.map_err(|error| failure(&error))?;
        Ok(Exit::Ok)
    })
}
