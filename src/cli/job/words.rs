//! How a job is put into words: its state, its end, its times, and the exit status that stands for it.

use std::time::Duration;

use crate::cli::Exit;
use crate::cli::printer::{BAD, DIM, GOOD, WARN};
use crate::cli::table::Cell;
use crate::model::{EndReason, JobState};
use crate::util::{human, visible_line};
use crate::work::JobView;

/// The exit status of a command that waited for this job: the job's own; 130 for one that was cancelled, 126 for
/// one that a machine refused, 125 for one that was lost.
pub fn exit_of(job: &JobView) -> Exit {
    let code = job.result.as_ref().and_then(|result| result.exit_code);
    let timed_out = job.result.as_ref().is_some_and(|result| result.reason == Some(EndReason::Timeout));
    match job.state {
        JobState::Cancelled => Exit::Interrupted,
        JobState::Dead if was_lost(job) => Exit::Internal,
        JobState::Dead => Exit::CannotRun,
        JobState::Done | JobState::Failed if timed_out => Exit::TimeLimit,
        JobState::Done => Exit::of_shell_code(code.unwrap_or(0)),
        JobState::Failed => code.map_or(Exit::Internal, Exit::of_shell_code),
        JobState::Queued | JobState::Waiting | JobState::Running => Exit::Internal,
    }
}

/// Whether its last runner went away without a word.
pub fn was_lost(job: &JobView) -> bool {
    match job.attempts.last() {
        Some(attempt) => attempt.ended == "lost",
        // One that darkmux 1.9 took and never spoke of.
        None => job.legacy_runner.is_some(),
    }
}

/// How it ended, such as `ended with exit code 3`.
pub fn end(job: &JobView) -> String {
    let result = job.result.as_ref();
    let timed_out = result.is_some_and(|result| result.reason == Some(EndReason::Timeout));
    match (job.state, result.and_then(|result| result.exit_code)) {
        (JobState::Done | JobState::Failed, _) if timed_out => "reached its time limit".to_owned(),
        (JobState::Done, _) => "ended well".to_owned(),
        (JobState::Failed, Some(code)) if (129..=192).contains(&code) => {
            format!("ended by signal {}", code - 128)
        }
        (JobState::Failed, Some(code)) => format!("ended with exit code {code}"),
        (JobState::Failed, None) => "failed".to_owned(),
        (JobState::Cancelled, _) => "was cancelled".to_owned(),
        (JobState::Dead, _) if was_lost(job) => "was lost with its runner".to_owned(),
        (JobState::Dead, _) => "was refused".to_owned(),
        (_, _) => format!("is {}", state(job)),
    }
}

/// Why it ended so, where somebody said it; safe to print.
pub fn why(job: &JobView) -> Option<String> {
    let said = job.result.as_ref().and_then(|result| result.error.as_deref());
    let cancelled = job.cancel.as_deref().filter(|_| job.state == JobState::Cancelled);
    let why = said.or(job.why.as_deref()).or(cancelled)?;
    Some(visible_line(why).chars().take(500).collect())
}

/// Where it is in its life, in the one word that every verb has for it.
pub fn state(job: &JobView) -> &'static str {
    let parked = job.state == JobState::Queued && job.parked.is_some();
    if parked { "parked" } else { job.state.as_str() }
}

/// The cell of a table.
pub fn state_cell(job: &JobView) -> Cell {
    let style = match job.state {
        JobState::Running => GOOD,
        JobState::Queued | JobState::Waiting => WARN,
        JobState::Done => DIM,
        JobState::Failed | JobState::Cancelled | JobState::Dead => BAD,
    };
    Cell::styled(state(job), style)
}

/// Its last exit code, or what stands in the place of one.
pub fn code_cell(job: &JobView) -> Cell {
    match job.result.as_ref() {
        Some(result) if result.reason == Some(EndReason::Timeout) => Cell::styled("timeout", BAD),
        Some(result) => match result.exit_code {
            Some(0) => Cell::styled("0", DIM),
            Some(code) => Cell::styled(code.to_string(), BAD),
            None => Cell::from("-"),
        },
        None => Cell::from(""),
    }
}

/// How long its last attempt waited for a runner, until now where it still does.
pub fn waited(job: &JobView, now_ms: u64) -> Option<Duration> {
    let from = job.queued_ms?;
    let until = match job.state {
        JobState::Queued => now_ms,
        JobState::Waiting => return None,
        // Cancelled before anybody took it.
        _ => job.started_ms.or(job.finished_ms)?,
    };
    // Asked for again while it ran: the clock of the queue is that of the newest round.
    until.checked_sub(from).map(Duration::from_millis)
}

/// How long its last attempt ran, until now where it still does.
pub fn ran(job: &JobView, now_ms: u64) -> Option<Duration> {
    let until = match job.state {
        JobState::Running => now_ms,
        JobState::Queued | JobState::Waiting => {
            let last = job.attempts.last()?;
            return last.ended_ms.checked_sub(last.started_ms).map(Duration::from_millis);
        }
        _ => job.finished_ms?,
    };
    until.checked_sub(job.started_ms?).map(Duration::from_millis)
}

/// A span for a cell; empty where it is not known.
pub fn span(span: Option<Duration>) -> String {
    span.map(human::duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::JobResult;
    use crate::work::Attempt;
    use crate::work::fixture::job;

    fn ended(state: JobState, exit_code: Option<i32>, reason: Option<EndReason>) -> JobView {
        let result = JobResult { exit_code, reason, ..JobResult::default() };
        JobView { state, result: Some(result), ..job("j") }
    }

    #[test]
    fn the_exit_status_is_the_jobs_or_says_what_became_of_it() {
        let attempt = |ended: &str| Attempt {
            number: 1,
            machine: "m".into(),
            started_ms: 1,
            started_at: String::new(),
            ended_ms: 2,
            ended_at: String::new(),
            ended: ended.into(),
        };
        let dead = |how: &str| JobView { state: JobState::Dead, attempts: vec![attempt(how)], ..job("j") };
        for (job, code, words) in [
            (ended(JobState::Done, Some(0), None), 0, "ended well"),
            (ended(JobState::Failed, Some(3), None), 3, "ended with exit code 3"),
            (ended(JobState::Failed, Some(143), None), 143, "ended by signal 15"),
            (ended(JobState::Failed, Some(143), Some(EndReason::Timeout)), 124, "reached its time limit"),
            (ended(JobState::Failed, None, None), 125, "failed"),
            (ended(JobState::Cancelled, Some(143), None), 130, "was cancelled"),
            (dead("lost"), 125, "was lost with its runner"),
            (dead("refused"), 126, "was refused"),
            (
                JobView { state: JobState::Dead, legacy_runner: Some("old".into()), ..job("j") },
                125,
                "was lost with its runner",
            ),
        ] {
            assert_eq!((exit_of(&job).code(), end(&job).as_str()), (code, words));
        }
    }

    #[test]
    fn times_are_those_of_the_last_attempt() {
        let running =
            JobView { state: JobState::Running, queued_ms: Some(1000), started_ms: Some(3000), ..job("j") };
        assert_eq!(waited(&running, 9000), Some(Duration::from_secs(2)));
        assert_eq!(ran(&running, 9000), Some(Duration::from_secs(6)));
        let queued = JobView { state: JobState::Queued, queued_ms: Some(1000), ..job("j") };
        assert_eq!((waited(&queued, 9000), ran(&queued, 9000)), (Some(Duration::from_secs(8)), None));
        let parked = JobView { parked: Some("nobody".into()), ..queued.clone() };
        assert_eq!((end(&queued).as_str(), end(&parked).as_str()), ("is queued", "is parked"));
        // Nobody took it.
        let (state, finished_ms) = (JobState::Cancelled, Some(4000));
        let cancelled = JobView { state, finished_ms, ..queued.clone() };
        assert_eq!((waited(&cancelled, 9000), ran(&cancelled, 9000)), (Some(Duration::from_secs(3)), None));
        // Another machine's clock may be behind.
        assert_eq!(waited(&queued, 500), None);
    }
}
