//! Following one job of the queue from wherever it runs: its output comes, its changes are told, its end ends it.
//!
//! Invariants: a byte of output is shown once and in order, whatever becomes of Redis meanwhile (it is known by
//! attempt and offset, not by its entry); the hash of the job is the truth about its end; whatever is waited for,
//! the user can leave.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::failure;
use super::news::News;
use crate::cli::printer::DIM;
use crate::cli::session::{Happening, Screen, Terminal, tell_gap};
use crate::cli::{Cx, Exit, Failure, FailureContext};
use crate::model::{MachineId, SessionId};
use crate::util::{Backoff, reached};
use crate::work::{JobView, LogPart, Queue, WorkError};

/// How long after Ctrl-C another one cancels the job.
const SECOND_INTERRUPT: Duration = Duration::from_secs(2);

/// How long telling the queue to cancel may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between looks at a job that runs; its end shows in its output at once.
const LOOK_RUNNING: Duration = Duration::from_secs(2);

/// Time between looks at a job that nobody has claimed yet.
const LOOK_QUEUED: Duration = Duration::from_millis(200);

/// Pauses before Redis is asked again after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How long Redis may be away before waiting is given up.
const GIVE_UP: Duration = Duration::from_mins(15);

/// How long reading the rest of an ended job's output may take.
const REST: Duration = Duration::from_secs(20);

/// Pieces of output read at once.
const PIECES: usize = 64;

/// What Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// It leaves the job running.
    Leave,
    /// It leaves the job running; twice cancels it.
    TwiceCancels,
    /// It cancels the job.
    Cancels,
}

/// What to follow, and how.
pub struct Follow<'a> {
    pub cx: &'a Cx,
    pub queue: &'a Queue,
    pub id: &'a SessionId,
    /// Whether changes are told on stderr.
    pub tells: bool,
    /// Whether it was said already that nobody can take it, and why.
    pub is_told: bool,
    /// The machine it is meant for; told when another one takes it.
    pub target: Option<&'a MachineId>,
    pub interrupts: Interrupts,
    /// Stop following, not the job, at this moment.
    pub until: Option<Instant>,
}

/// How following ended.
#[derive(Debug)]
pub enum Followed {
    /// The job has ended.
    Ended(Box<JobView>),
    /// The user cancelled it and it has ended.
    Cancelled(Box<JobView>),
    /// The user left, by Ctrl-C or another signal, whose status it is; the job goes on.
    Left(Exit),
    /// The time to follow it is over; it goes on.
    TimeOver,
}

/// Follows the job until it has ended or the user leaves. Without a screen its output is not shown.
pub async fn follow(how: &Follow<'_>, screen: Option<Screen<'_>>) -> Result<Followed, Failure> {
    follow_part(how, screen, Part::default()).await
}

/// As [`follow`], with this part of the output alone.
pub async fn follow_part(
    how: &Follow<'_>,
    screen: Option<Screen<'_>>,
    part: Part,
) -> Result<Followed, Failure> {
    let mut terminal = Terminal::open(None).or_exit(Exit::Internal)?;
    let mut output = Output::of(how.cx, screen, part);
    let followed = until_left(how, &mut output, &mut terminal).await;
    if let Some(screen) = &mut output.screen {
        screen.end()?;
        if screen.is_mid_line() {
            how.cx.printer.note("");
        }
    }
    followed
}

async fn until_left(
    how: &Follow<'_>,
    output: &mut Output<'_>,
    terminal: &mut Terminal,
) -> Result<Followed, Failure> {
    let ended = to_end(how, output);
    tokio::pin!(ended);
    let (mut interrupted, mut cancelled): (Option<Instant>, bool) = (None, false);
    loop {
        let leave = interrupted.map(|at: Instant| at + SECOND_INTERRUPT);
        let happening = tokio::select! {
            job = &mut ended => {
                let job = Box::new(job?);
                return Ok(if cancelled { Followed::Cancelled(job) } else { Followed::Ended(job) });
            }
            happening = terminal.next(false) => happening,
            () = reached(leave) => return Ok(Followed::Left(Exit::Interrupted)),
            () = reached(how.until) => return Ok(Followed::TimeOver),
        };
        match (happening, how.interrupts) {
            (Happening::Typed(_) | Happening::Resized(_), _) => {}
            (Happening::End(exit), _) => return Ok(Followed::Left(exit)),
            (Happening::Interrupt, Interrupts::Leave) => return Ok(Followed::Left(Exit::Interrupted)),
            (Happening::Interrupt, _) if cancelled => return Ok(Followed::Left(Exit::Interrupted)),
            (Happening::Interrupt, Interrupts::TwiceCancels) if interrupted.is_none() => {
                interrupted = Some(Instant::now());
                how.cx.printer.note(&format!(
                    "\nleaving job {}, which goes on; Ctrl-C again within 2 s cancels it",
                    how.id
                ));
            }
            (Happening::Interrupt, _) => {
                (interrupted, cancelled) = (None, true);
                cancel(how).await?;
            }
        }
    }
}

async fn cancel(how: &Follow<'_>) -> Result<(), Failure> {
    let (id, printer) = (how.id, &how.cx.printer);
    printer.note(&format!("\ncancelling job {id} …"));
    let asked = tokio::time::timeout(CANCEL_TIMEOUT, how.queue.cancel(id, "interrupted by its user")).await;
    match asked {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let message = format!("job {id} was not cancelled and goes on: {error}");
            Err(Failure::new(super::link::exit_of(&error), message))
        }
        Err(_) => {
            let message = format!("job {id} was not cancelled and goes on: Redis does not answer");
            Err(Failure::new(Exit::Unreachable, message))
        }
    }
}

/// The job once it has ended and all of its output was shown.
async fn to_end(how: &Follow<'_>, output: &mut Output<'_>) -> Result<JobView, Failure> {
    let look_again = Notify::new();
    let job = {
        let pump = pump(how, output, &look_again);
        let look = look(how, &look_again);
        tokio::pin!(pump, look);
        tokio::select! {
            never = &mut pump => match never? {},
            job = &mut look => job?,
        }
    };
    match tokio::time::timeout(REST, output.rest(how)).await {
        Ok(rest) => rest?,
        Err(_) => how.cx.printer.note("the end of the output could not be read; `darkmux job logs` has it"),
    }
    if let Some(result) = &job.result {
        output.tell_missing(result.attempt, result.output_bytes);
    }
    Ok(job)
}

/// Shows output as it comes. Fails only when it cannot be shown.
async fn pump(how: &Follow<'_>, output: &mut Output<'_>, look_again: &Notify) -> Result<Infallible, Failure> {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        if let Ok(mut reader) = how.queue.log_reader(how.id).await {
            let mut quiet = true;
            loop {
                if quiet && how.queue.watch_log(how.id).await.is_ok() {
                    // It may have ended before anybody watched.
                    look_again.notify_one();
                }
                let Ok(parts) = reader.next(&output.after).await else { break };
                backoff.reset();
                quiet = parts.is_empty();
                if output.take(parts)? {
                    look_again.notify_one();
                }
            }
        }
        // What Redis has may be another past than the one that was read: all of it is looked at again.
        OLDEST.clone_into(&mut output.after);
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Looks at the job's hash until it has ended.
async fn look(how: &Follow<'_>, look_again: &Notify) -> Result<JobView, Failure> {
    let news = RefCell::new(News::new(how));
    let forgotten_for = how.queue.config().lease + how.queue.config().beat * 2;
    let (mut away, mut forgotten): (Option<Instant>, Option<Instant>) = (None, None);
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let rest = match how.queue.job(how.id).await {
            Ok(Some(job)) => {
                news.borrow_mut().there(&job);
                (away, forgotten) = (None, None);
                backoff.reset();
                if job.state.is_final() {
                    return Ok(job);
                }
                if job.started_ms.is_some() { LOOK_RUNNING } else { LOOK_QUEUED }
            }
            Ok(None) => {
                away = None;
                let since = *forgotten.get_or_insert_with(Instant::now);
                if since.elapsed() > forgotten_for {
                    return Err(lost(how));
                }
                news.borrow_mut().forgotten();
                LOOK_QUEUED
            }
            Err(WorkError::Redis(fault)) if fault.class().is_transient() => {
                let since = *away.get_or_insert_with(Instant::now);
                if since.elapsed() > GIVE_UP {
                    let message = format!("{fault} (waiting for job {} is given up; it may go on)", how.id);
                    return Err(Failure::new(Exit::Unreachable, message));
                }
                news.borrow_mut().away(&fault);
                backoff.pause()
            }
            Err(error) => return Err(failure(&error)),
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = look_again.notified() => {}
        }
    }
}

fn lost(how: &Follow<'_>) -> Failure {
    let id = how.id;
    Failure::new(
        Exit::Internal,
        format!(
            "Redis does not know job {id} any longer, and no machine told it again; `darkmux session ls` on the \
             machine that ran it shows its session"
        ),
    )
}

/// Before the oldest entry.
const OLDEST: &str = "0-0";

/// Which part of a job's output is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    /// Of no attempt before this one.
    pub first: u32,
    /// Of no attempt after this one.
    pub last: Option<u32>,
    /// From this byte of the first one's.
    pub from: u64,
    /// Where the output of another attempt begins is told, on stderr or as a line of JSON.
    pub marked: bool,
}

impl Part {
    /// One attempt's, from this byte.
    pub fn of_attempt(attempt: u32, from: u64) -> Self {
        Self { first: attempt, last: Some(attempt), from, marked: false }
    }
}

/// What of the output was shown.
pub struct Output<'a> {
    cx: &'a Cx,
    screen: Option<Screen<'a>>,
    /// Whether a part was no longer kept.
    missing: bool,
    /// Whose output is shown, from where, and how it is set off from others'.
    part: Part,
    attempt: u32,
    /// After the last byte of this attempt that was shown.
    at: u64,
    /// The entry that was read last.
    after: String,
}

impl<'a> Output<'a> {
    /// Nothing of this part shown yet.
    pub fn of(cx: &'a Cx, screen: Option<Screen<'a>>, part: Part) -> Self {
        Self { cx, screen, missing: false, part, attempt: 0, at: 0, after: OLDEST.to_owned() }
    }

    /// Whether a part was no longer kept.
    pub fn missing(&self) -> bool {
        self.missing
    }

    /// Shows what of these pieces was not shown yet; whether the job has ended.
    fn take(&mut self, parts: Vec<(String, LogPart)>) -> Result<bool, Failure> {
        let mut ended = false;
        for (entry, part) in parts {
            self.after = entry;
            match part {
                LogPart::End(_) => ended = true,
                LogPart::Other => {}
                LogPart::Output { attempt, offset, bytes } => self.show(attempt, offset, &bytes)?,
            }
        }
        Ok(ended)
    }

    fn show(&mut self, attempt: u32, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let Part { first, last, from, .. } = self.part;
        if attempt < first || last.is_some_and(|last| attempt > last) {
            return Ok(());
        }
        if attempt > self.attempt {
            (self.attempt, self.at) = (attempt, if attempt == first { from } else { 0 });
            self.begin_attempt()?;
        }
        let end = offset.saturating_add(bytes.len() as u64);
        // A lost attempt that writes on, or what was shown before Redis broke.
        if attempt < self.attempt || end <= self.at {
            return Ok(());
        }
        if let Some(screen) = &mut self.screen {
            if offset > self.at {
                self.missing = true;
                tell_gap(self.cx, self.at, offset);
                screen.skip(offset)?;
            }
            let known = usize::try_from(self.at.saturating_sub(offset)).unwrap_or(usize::MAX);
            screen.show(bytes.get(known..).unwrap_or_default())?;
        }
        self.at = end;
        Ok(())
    }

    fn begin_attempt(&mut self) -> Result<(), Failure> {
        let Some(screen) = self.screen.as_mut().filter(|_| self.part.marked) else { return Ok(()) };
        if screen.is_json() {
            screen.begin_attempt(self.attempt, self.at)?;
        } else if self.attempt > 1 {
            let new_line = if screen.is_mid_line() { "\n" } else { "" };
            self.cx.printer.note(&format!("{new_line}{DIM}[attempt {}]{DIM:#}", self.attempt));
        }
        Ok(())
    }

    /// Shows what is there and was not shown, without waiting for more.
    async fn rest(&mut self, how: &Follow<'_>) -> Result<(), Failure> {
        loop {
            match how.queue.log_after(how.id, &self.after, PIECES).await {
                Ok(parts) if parts.is_empty() => return Ok(()),
                Ok(parts) => self.take(parts).map(|_| ())?,
                Err(WorkError::Redis(fault)) if fault.class().is_transient() => {
                    OLDEST.clone_into(&mut self.after);
                    tokio::time::sleep(RETRY.0).await;
                }
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    /// Shows all that is there now.
    pub async fn show_all(&mut self, queue: &Queue, id: &SessionId) -> Result<(), Failure> {
        loop {
            let parts = queue.log_after(id, &self.after, PIECES).await.map_err(|error| failure(&error))?;
            if parts.is_empty() {
                break;
            }
            self.take(parts)?;
        }
        match &mut self.screen {
            Some(screen) => Ok(screen.end()?),
            None => Ok(()),
        }
    }

    /// Says what is missing at the end of an attempt that put out `bytes`.
    pub fn tell_missing(&mut self, attempt: u32, bytes: u64) {
        if attempt < self.part.first || self.part.last.is_some_and(|last| attempt > last) {
            return;
        }
        let shown = if attempt == self.attempt { self.at } else { 0 };
        if self.screen.is_some() && attempt >= self.attempt && bytes > shown {
            tell_gap(self.cx, shown, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::Color;
    use crate::config::Environment;
    use proptest::prelude::*;

    proptest! {
        /// However Redis forgets and is told again, what is shown is the output from its beginning.
        #[test]
        fn output_is_shown_once_and_in_order(cuts in prop::collection::vec((0usize..200, 1usize..50), 0..20)) {
            let text: Vec<u8> = (0..200_u8).collect();
            let cx = Cx::new(Environment::of([("HOME", "/nowhere")]), Color::Never);
            let mut shown = Vec::new();
            let mut output = Output::of(&cx, Some(Screen::collect(&mut shown)), Part::default());
            let mut told = 0;
            for (from, length) in cuts {
                // A writer goes on where Redis stopped, or before it; never after what it told.
                let from = from.min(told);
                let to = (from + length).min(text.len());
                told = told.max(to);
                output.show(1, from as u64, &text[from..to]).unwrap();
            }
            output.show(1, told as u64, &text[told..]).unwrap();
            output.show(0, 500, b"from a lost attempt").unwrap();
            drop(output);
            prop_assert_eq!(shown, text);
        }
    }

    #[test]
    fn another_attempt_begins_anew() {
        let cx = Cx::new(Environment::of([("HOME", "/nowhere")]), Color::Never);
        let mut shown = Vec::new();
        let mut output = Output::of(&cx, Some(Screen::collect(&mut shown)), Part::default());
        output.show(1, 0, b"one").unwrap();
        output.show(2, 0, b"two").unwrap();
        output.show(1, 3, b" more").unwrap();
        output.show(2, 1, b"wo!").unwrap();
        drop(output);
        assert_eq!(shown, b"onetwo!");
    }
}
