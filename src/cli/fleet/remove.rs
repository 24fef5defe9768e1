//! `darkmux fleet remove`.

use clap::Args;

use crate::cli::{Cx, Exit, Failure, Outcome};
use crate::fleet::RosterFile;
use crate::util::visible_line;

/// Take a machine out of the roster.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its name, as `fleet list` shows it
    #[arg(add = clap_complete::engine::ArgValueCompleter::new(crate::cli::completions::machines))]
    id: String,
}

/// Runs the verb. A machine that is not there is 2, as in darkmux 1.9.
pub fn run(args: &RemoveArgs, cx: &Cx) -> Outcome {
    let file = RosterFile::new(cx.config()?.fleet_file());
    if file.remove(&args.id)? {
        cx.printer.note(&format!("removed {}", visible_line(&args.id)));
        return Ok(Exit::Ok);
    }
    let roster = file.read()?;
    let near = crate::util::closest(&args.id, roster.peers.iter().map(|peer| peer.id.as_str()));
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let id: String = visible_line(&args.id).chars().take(80).collect();
    let words = format!("{id} is not in the roster{near} (`darkmux fleet list` shows it)");
    Err(Failure::new(Exit::Usage, words))
}
