//! `darkmux session dismiss`.

use std::collections::HashSet;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::again::failure;
use crate::cli::{Cx, Exit, Failure, Outcome, completions};
use crate::flow::Flow;
use crate::model::SessionId;
use crate::session::life::{self, LifeError};
use crate::session::{self, Table};
use crate::work::Journal;

/// Remove sessions with all that they left: output, files, their place in lists.
///
/// What the flow says of them stays. One that runs is ended first, with --yes.
#[derive(Debug, Args)]
pub struct DismissArgs {
    /// Sessions: ids, beginnings of ids, ends of ids (4 characters or more), or names
    #[arg(add = ArgValueCompleter::new(completions::sessions), required_unless_present = "ended")]
    sessions: Vec<String>,
    /// All that have ended, beside those that are named; with --yes
    #[arg(long, requires = "yes")]
    ended: bool,
    /// Yes, remove what runs, and all that has ended
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &DismissArgs, cx: &Cx) -> Outcome {
    let table = super::table(cx)?;
    let config = cx.config()?;
    // What was lost is told before it goes.
    session::settle(&table, &cx.clock, || Some(Flow::new(config.flow().ok()?, cx.clock.clone())))?;
    let ids = chosen(args, cx, &table)?;
    let journal = journal(cx)?;
    super::block_on(async {
        let mut failed = None;
        for id in ids {
            match life::dismiss(&table, &journal, &id).await {
                Ok(()) => cx.printer.line(&format!("dismissed {id}"))?,
                // Somebody else did it.
                Err(LifeError::None(_)) => {}
                Err(error) => {
                    let error = failure(error);
                    cx.printer.error(&crate::util::visible(error.words()));
                    failed = Some(error.exit());
                }
            }
        }
        // All was said already.
        failed.map_or(Ok(Exit::Ok), |exit| Err(Failure::silent(exit)))
    })
}

/// What the runner has still to tell.
fn journal(cx: &Cx) -> Result<Journal, Failure> {
    Ok(Journal::new(&cx.config()?.paths.queue(), cx.clock.clone()))
}

/// The sessions to remove, each once. Refuses all when one of them may not be.
fn chosen(args: &DismissArgs, cx: &Cx, table: &Table) -> Result<Vec<SessionId>, Failure> {
    let mut ids: Vec<SessionId> = Vec::new();
    for text in &args.sessions {
        let session = super::find(table, text)?;
        super::not_itself(cx, &session)?;
        if !session.state.is_final() && !args.yes {
            let id = &session.id;
            let words =
                format!("session {id} runs; `darkmux session dismiss --yes {id}` ends and removes it");
            return Err(Failure::new(Exit::Usage, words));
        }
        ids.push(session.id);
    }
    if args.ended {
        let untold = journal(cx)?.untold()?;
        let ended = table.list()?.into_iter().filter(|session| session.state.is_final());
        ids.extend(ended.map(|session| session.id).filter(|id| !untold.contains(id)));
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    Ok(ids)
}
