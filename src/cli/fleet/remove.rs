//! `darkmux fleet remove`.

use clap::Args;

use crate::cli::dry::DryRun;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::fleet::RosterFile;
use crate::fleet::join::PeerFiles;
use crate::model::MachineId;
use crate::serve::auth::NamedTokens;
use crate::util::visible_line;

/// Take a machine out of the roster; one that joined loses its token, too.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its name, as `fleet list` shows it
    #[arg(add = clap_complete::engine::ArgValueCompleter::new(crate::cli::completions::machines))]
    id: String,
    #[command(flatten)]
    dry: DryRun,
}

/// Runs the verb. A machine that is not there is 2, as in darkmux 1.9.
pub fn run(args: &RemoveArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let file = RosterFile::new(config.fleet_file());
    let tokens = NamedTokens::new(config.paths.machine_tokens());
    let joined = PeerFiles::new(config.paths.peers(), file.clone());
    if args.dry.dry_run {
        return would(args, (&file, &tokens, &joined), cx);
    }
    // What it joined with ends here as well; `fleet leave` tells it, too.
    let revoked = tokens.remove(&args.id)?;
    let forgotten = match MachineId::new(&args.id) {
        Ok(id) => joined.forget(&id)?,
        Err(_) => false,
    };
    if file.remove(&args.id)? || revoked || forgotten {
        block_on(async {
            super::tell_daemon(&config.paths).await;
            Ok(())
        })?;
        cx.printer.note(&format!("removed {}", visible_line(&args.id)));
        return Ok(Exit::Ok);
    }
    Err(not_there(args, &file)?)
}

/// Says what would go.
fn would(
    args: &RemoveArgs,
    (file, tokens, joined): (&RosterFile, &NamedTokens, &PeerFiles),
    cx: &Cx,
) -> Outcome {
    let is_joined = MachineId::new(&args.id).ok().map(|id| joined.find(&id)).transpose()?.flatten().is_some();
    let parts = [
        (file.read()?.get(&args.id).is_some(), "its place in the roster"),
        (tokens.read()?.iter().any(|token| token.name == args.id), "the token it has here"),
        (is_joined, "what it was joined with"),
    ];
    let parts: Vec<&str> = parts.into_iter().filter_map(|(there, what)| there.then_some(what)).collect();
    if parts.is_empty() {
        return Err(not_there(args, file)?);
    }
    cx.printer.note(&format!("would remove {}: {}", visible_line(&args.id), parts.join(", ")));
    Ok(Exit::Ok)
}

fn not_there(args: &RemoveArgs, file: &RosterFile) -> Result<Failure, Failure> {
    let roster = file.read()?;
    let near = crate::util::closest(&args.id, roster.peers.iter().map(|peer| peer.id.as_str()));
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let id: String = visible_line(&args.id).chars().take(80).collect();
    let words = format!("{id} is not in the roster{near} (`darkmux fleet list` shows it)");
    Ok(Failure::new(Exit::Usage, words))
}
