//! `darkmux job apply`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use super::delivery::{self, Back};
use crate::cli::{Cx, Exit, Failure, Outcome, block_on, completions};
use crate::model::SessionId;
use crate::util::visible_line;
use crate::workspace::{Applied, Change, Own, WorkspaceError};

/// Take what a job changed into the files of the repository that it was dispatched from.
///
/// All of it or nothing; nothing is staged or committed. Files with changes of yours are named, and a conflict changes no
/// file: then `git merge darkmux/<job>` merges the branch instead.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Job: an id, the beginning or the end of one, or a name
    #[arg(add = ArgValueCompleter::new(completions::jobs))]
    job: String,
    /// Say what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &ApplyArgs, cx: &Cx) -> Outcome {
    let failed = |error: WorkspaceError| Failure::new(Exit::Failed, error);
    block_on(async {
        let (record, fleet) = delivery::find(cx, &args.job).await?;
        let view = fleet.as_ref().map(|(queue, job)| (queue, job));
        let back = delivery::take_in(cx, view, &record, true).await?;
        if let Some(note) = &back.note {
            cx.printer.warn(&visible_line(note));
        }
        let Back { source, state, commit, .. } = &back;
        let changes = source.changes(state, commit).await.map_err(failed)?;
        let applied = if changes.is_empty() {
            Applied::Before
        } else {
            let patch = source.patch(state, commit).await.map_err(failed)?;
            source.apply(&patch, &changes, args.dry_run).await.map_err(failed)?
        };
        if args.json {
            cx.printer.json(&document(&record.id, args.dry_run, &changes, &applied))?;
        } else {
            tell(cx, args, &record.id, (&changes, &applied))?;
        }
        Ok(if matches!(applied, Applied::Conflicts(_)) { Exit::Failed } else { Exit::Ok })
    })
}

/// A changed file, for a document.
pub fn file(change: &Change) -> Value {
    let (what, path, own) = (change.what.to_string(), &change.path, change.own);
    json!({ "what": what, "path": path, "dirty": own != Own::Nothing, "untracked": own == Own::All })
}

fn document(id: &SessionId, dry_run: bool, changes: &[Change], applied: &Applied) -> Value {
    let (word, conflicts) = match applied {
        Applied::Yes if dry_run => ("would_apply", &[][..]),
        Applied::Yes => ("applied", &[][..]),
        Applied::Before => ("applied_before", &[][..]),
        Applied::Conflicts(reasons) => ("conflicts", reasons.as_slice()),
    };
    let files: Vec<Value> = changes.iter().map(file).collect();
    json!({ "schema": 1, "job": id, "dry_run": dry_run, "outcome": word, "files": files, "conflicts": conflicts })
}

fn tell(
    cx: &Cx,
    args: &ApplyArgs,
    id: &SessionId,
    (changes, applied): (&[Change], &Applied),
) -> Result<(), Failure> {
    let printer = &cx.printer;
    match applied {
        Applied::Before if changes.is_empty() => printer.note("it changed nothing in the repository"),
        Applied::Before => printer.note("nothing to do: the files are as the job left them"),
        Applied::Conflicts(reasons) => {
            printer.error("nothing was changed, because it does not fit:");
            for reason in reasons {
                printer.error(&format!("  {reason}"));
            }
            let merge = format!("`git merge {}`", delivery::branch_of(id));
            let advice = if changes.iter().any(|change| change.own != Own::Nothing) {
                format!("commit what is yours, or put it aside (`git stash -u`); then {merge} merges it")
            } else {
                format!("{merge} merges it instead")
            };
            printer.note(&advice);
        }
        Applied::Yes => {
            for change in changes {
                let own = match (change.own, args.dry_run) {
                    (Own::Nothing, _) => "",
                    (Own::Changes, true) => "  (has changes of yours, which stay)",
                    (Own::Changes, false) => "  (had changes of yours, which stayed)",
                    (Own::All, true) => "  (git does not track it: nothing keeps it as it is now)",
                    (Own::All, false) => "  (git does not track it)",
                };
                printer.line(&format!("{} {}{own}", change.what, change.path))?;
            }
            let count = changes.len();
            let files = if count == 1 { "file" } else { "files" };
            printer.note(&if args.dry_run {
                format!("it fits; {count} {files} would change")
            } else {
                format!("{count} {files} changed; nothing is staged")
            });
        }
    }
    Ok(())
}
