//! The session that a text names. A job of the fleet has its session where it runs: who names one that runs elsewhere is
//! told where, and nothing is done there.

use std::time::Duration;

use tokio::time::timeout;

use crate::cli::link::queue_of;
use crate::cli::remote;
use crate::cli::{Cx, Exit, Failure, block_on};
use crate::model::JobState;
use crate::session::{FindError, Table};
use crate::util::visible_line;
use crate::wire::SessionStatus;
use crate::work::JobView;

/// How long the queue may take to say what it knows of a text that names no session.
const PATIENCE: Duration = Duration::from_millis(800);

/// The session of this machine that the user named, to do `verb` with it.
pub fn find(cx: &Cx, table: &Table, text: &str, verb: &str) -> Result<SessionStatus, Failure> {
    match table.find(text) {
        Err(error @ FindError::None(_)) => {
            let job = job(cx, text)
                .and_then(|job| of_job(&job, cx.config().ok()?.machine_id().ok()?.as_str(), verb));
            let known = || {
                let id = remote::elsewhere(cx, text, PATIENCE)?;
                Some(format!("{error}; did you mean `{}`?", visible_line(&id)))
            };
            let words = job.or_else(known);
            Err(words.map_or_else(|| error.into(), |words| Failure::new(Exit::Failed, words)))
        }
        found => Ok(found?),
    }
}

/// The job of the fleet that a text names, where the queue says so in time.
fn job(cx: &Cx, text: &str) -> Option<JobView> {
    let queue = queue_of(cx.config().ok()?).ok()??;
    let asked = async {
        let found = queue.find(text).await.ok()?;
        let [id] = &found[..] else { return None };
        queue.job(id).await.ok()?
    };
    block_on(async { Ok(timeout(PATIENCE, asked).await.ok().flatten()) }).ok().flatten()
}

/// What to do with a job in the place of `session VERB`; `None` where nothing better is known.
fn of_job(job: &JobView, own: &str, verb: &str) -> Option<String> {
    let id = &job.id;
    let none = format!("no session `{id}` on this machine");
    let machine = job.machine.as_deref().map(visible_line);
    Some(match (job.state, machine) {
        (JobState::Queued | JobState::Waiting, _) => {
            format!("{none}: the job waits for a machine; `darkmux job explain {id}` says why")
        }
        (JobState::Running, Some(machine)) if machine != own => {
            let what = match verb {
                "kill" | "dismiss" => format!("`darkmux job cancel {id}` ends it"),
                "resume" | "restart" => format!("`darkmux session attach {id}@{machine}` goes into it"),
                verb => format!("`darkmux session {verb} {id}@{machine}`"),
            };
            format!("{none}: the job runs on {machine}; {what}")
        }
        (state, machine) if state.is_final() => {
            let place = machine.map(|machine| format!(" on {machine}")).unwrap_or_default();
            let what = match verb {
                "resume" | "restart" => format!("`darkmux job retry {id}` runs it again"),
                _ => format!("`darkmux job logs {id}` shows its output"),
            };
            format!("{none}: the job ended{place}; {what}")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::fixture::job;

    #[test]
    fn who_names_a_job_is_told_where_it_is() {
        let on = |state, machine: Option<&str>| JobView {
            state,
            machine: machine.map(str::to_owned),
            ..job("j-1")
        };
        let said = |job: &JobView, verb| of_job(job, "own", verb).unwrap_or_default();
        let running = on(JobState::Running, Some("desk"));
        for (verb, words) in [
            ("attach", "runs on desk; `darkmux session attach j-1@desk`"),
            ("send", "`darkmux session send j-1@desk`"),
            ("kill", "`darkmux job cancel j-1`"),
            ("restart", "`darkmux session attach j-1@desk`"),
        ] {
            assert!(said(&running, verb).contains(words), "{}", said(&running, verb));
        }
        let ended = on(JobState::Failed, Some("desk"));
        assert!(said(&ended, "tail").contains("ended on desk; `darkmux job logs j-1`"));
        assert!(said(&ended, "resume").contains("`darkmux job retry j-1`"));
        assert!(said(&on(JobState::Queued, None), "attach").contains("`darkmux job explain j-1`"));
        assert_eq!(said(&on(JobState::Running, Some("own")), "attach"), "", "it is just beginning here");
    }
}
