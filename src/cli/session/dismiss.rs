//! `darkmux session dismiss`.

use std::collections::HashSet;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::again::failure;
use crate::cli::remote::{self, On, Place, Remote, Way};
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
    #[command(flatten)]
    on: On,
}

/// Runs the verb.
pub fn run(args: &DismissArgs, cx: &Cx) -> Outcome {
    let table = super::table(cx)?;
    let config = cx.config()?;
    // What was lost is told before it goes.
    session::settle(&table, &cx.clock, || Some(Flow::new(config.flow().ok()?, cx.clock.clone())))?;
    let (here, there) = places(args, cx)?;
    let ids = chosen(args, cx, &table, &here)?;
    let journal = journal(cx)?;
    crate::cli::block_on(async {
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
        for way in there {
            let gone = async { remote::dismiss(cx, Remote::find(cx, &way).await?, args.yes).await };
            if let Err(error) = gone.await {
                cx.printer.error(&crate::util::visible(error.words()));
                failed = Some(error.exit());
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

/// The sessions that are named, of this machine and of others.
fn places(args: &DismissArgs, cx: &Cx) -> Result<(Vec<String>, Vec<Way>), Failure> {
    if args.ended && remote::machine(cx, &args.on)?.is_some() {
        let words = "--ended is for this machine; name the sessions of another one";
        return Err(Failure::new(Exit::Usage, words));
    }
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for text in &args.sessions {
        match remote::place(cx, text, &args.on)? {
            Place::Here(text) => here.push(text),
            Place::There(way) if there.contains(&way) => {}
            Place::There(way) => there.push(way),
        }
    }
    Ok((here, there))
}

/// The sessions to remove, each once. Refuses all when one of them may not be.
fn chosen(args: &DismissArgs, cx: &Cx, table: &Table, named: &[String]) -> Result<Vec<SessionId>, Failure> {
    let mut ids: Vec<SessionId> = Vec::new();
    for text in named {
        let session = super::find(cx, table, text, "dismiss")?;
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
