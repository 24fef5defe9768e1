//! `darkmux hub down`.

use clap::Args;

use crate::cli::printer::{BOLD, GOOD};
use crate::cli::service::{failure, show_removal};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::client;
use crate::service::hub::{self, HubFiles};
use crate::service::{Kind, Services};
use crate::util::visible_line;

/// Stop the Redis that this machine keeps, and work without it.
///
/// Its data and passwords stay, and `darkmux hub up` goes on with them: machines that joined find it again. Until then they
/// can't hand out jobs.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Delete its data and its passwords as well: jobs, results and the shared flow; day files and the fleet's key stay
    #[arg(long)]
    purge: bool,
    /// Do delete them
    #[arg(long, short, requires = "purge")]
    yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub fn run(args: &DownArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let files = HubFiles::new(&config.paths);
    let Some(hub) = files.read().map_err(failure)? else {
        cx.printer.note("this machine is no hub");
        return Ok(Exit::Ok);
    };
    let dir = visible_line(&files.dir().to_string_lossy()).into_owned();
    if args.purge && !args.yes && !args.dry_run {
        let words = format!(
            "--purge deletes {dir} with all jobs, results and the shared flow in it: say --yes, or --dry-run"
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    block_on(async {
        let services = Services::at_work(config).await.map_err(failure)?;
        let removal = services.plan_removal(Kind::Redis).await.map_err(failure)?;
        show_removal(&removal, cx)?;
        if args.purge {
            cx.printer.line(&format!("{BOLD}-{BOLD:#} {dir}"))?;
        }
        if args.dry_run {
            return Ok(Exit::Ok);
        }
        services.remove(&removal).await.map_err(failure)?;
        // One that no manager runs, or that outlived its own.
        hub::shut_down(&files, &hub).await.map_err(failure)?;
        let given_back = hub::give_back(config, &files, &hub).map_err(failure)?;
        if args.purge {
            files.purge().map_err(failure)?;
        }
        let kept = if args.purge { String::new() } else { format!("; its data stays in {dir}") };
        cx.printer.line(&format!("{GOOD}down{GOOD:#}{kept}"))?;
        if let Some(daemon) = client::find(&config.paths).ok().flatten().filter(|_| given_back) {
            cx.printer.note(&format!(
                "this machine works alone once its daemon (pid {}) is started anew",
                daemon.pid
            ));
        }
        Ok(Exit::Ok)
    })
}
