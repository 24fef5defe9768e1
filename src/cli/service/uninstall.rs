//! `darkmux service uninstall`.

use clap::Args;

use super::{failure, show_removal};
use crate::cli::printer::GOOD;
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::service::{Kind, Manager, ServiceError, Services};

/// Stop the daemon that the system runs, and have it run no more.
///
/// Sessions and running jobs go on; `darkmux serve` finds them. Logs and everything else in darkmux's folder stay, and so
/// does the hub's Redis (`darkmux hub down`).
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Show what would be removed, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub fn run(args: &UninstallArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    block_on(async {
        let services = Services::at_work(config).await.map_err(failure)?;
        if services.manager() == Manager::None {
            return Err(failure(ServiceError::NoManager));
        }
        let mut removals = Vec::new();
        for kind in [Kind::Integrity, Kind::Serve] {
            removals.push(services.plan_removal(kind).await.map_err(failure)?);
        }
        if removals.iter().all(crate::service::Removal::is_done) {
            cx.printer.note("no service is installed");
            return Ok(Exit::Ok);
        }
        for removal in &removals {
            show_removal(removal, cx)?;
        }
        if args.dry_run {
            return Ok(Exit::Ok);
        }
        for removal in &removals {
            services.remove(removal).await.map_err(failure)?;
        }
        cx.printer.line(&format!("{GOOD}removed{GOOD:#}; sessions go on, and `darkmux serve` finds them"))?;
        Ok(Exit::Ok)
    })
}
