//! `darkmux job diff`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::apply::file;
use super::delivery::{self, Back};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::session::Table;
use crate::util::visible;
use crate::workspace::{Where, WorkspaceError};

/// Show what a job changed in the repository that it was dispatched from.
///
/// Prints a patch for `git apply`, from the state that the job began with (what was not committed then is no part of it).
/// The result is taken into that repository first, as the branch `darkmux/<job>`; no file changes. Of a
/// session of this machine that still runs, it shows what is changed by now.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Print only how many lines of which files it changed
    #[arg(long, conflicts_with = "json")]
    stat: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &DiffArgs, cx: &Cx) -> Outcome {
    let failed = |error: WorkspaceError| Failure::new(Exit::Failed, error);
    block_on(async {
        let (record, fleet) = delivery::find(cx, &args.job).await?;
        let runs = matches!(record.runs, Where::Here(_)) && {
            let session = Table::new(cx.config()?.session().dir).get(&record.id)?;
            session.is_some_and(|session| !session.state.is_final())
        };
        let view = fleet.as_ref().map(|(queue, job)| (queue, job));
        let back = delivery::take_in(cx, view, &record, !runs).await?;
        if let Some(note) = &back.note {
            cx.printer.warn(note);
        }
        let Back { source, state, commit, .. } = &back;
        if args.json {
            let changes = source.changes(state, commit).await.map_err(failed)?;
            let files: Vec<_> = changes.iter().map(file).collect();
            let mut document = back.document();
            document["files"] = json!(files);
            document["base"] = json!(record.base);
            cx.printer.json(&json!({ "schema": 1, "job": record.id, "workspace": document }))?;
        } else if state == commit {
            cx.printer.note("it changed nothing in the repository");
        } else if args.stat {
            let stat = source.stat(state, commit).await.map_err(failed)?;
            cx.printer.line(&visible(&stat))?;
        } else {
            let patch = source.patch(state, commit).await.map_err(failed)?;
            // A terminal gets no control characters of a file; a pipe gets the patch as it is.
            if crate::pty::window_size(std::io::stdout()).is_some() {
                cx.printer.bytes(visible(&String::from_utf8_lossy(&patch)).as_bytes())?;
            } else {
                cx.printer.bytes(&patch)?;
            }
        }
        Ok(Exit::Ok)
    })
}
