//! What happens to a job that somebody waits for, told on stderr: each change once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Follow, words};
use crate::cli::Cx;
use crate::model::{JobState, MachineId, SessionId};
use crate::store::RedisFault;
use crate::util::{human, visible_line};
use crate::work::JobView;

/// How long a job may wait for a runner before that is said.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells changes.
pub struct News<'a> {
    cx: &'a Cx,
    id: &'a SessionId,
    target: Option<&'a MachineId>,
    tells: bool,
    began: Instant,
    /// State, attempt and machine that were told last.
    last: Option<(JobState, u32, Option<String>)>,
    /// Whether it was said that nobody takes it.
    waits: bool,
    /// It was said before that nobody can take it, with everybody's reason.
    is_told: bool,
    /// What machines said that gave it back.
    refused: BTreeMap<String, String>,
    redis: Standing,
}

/// What Redis says of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Knows,
    Away,
    Forgot,
}

impl<'a> News<'a> {
    /// Nothing told yet.
    pub fn new(how: &Follow<'a>) -> Self {
        let Follow { cx, id, target, tells, is_told: waits, .. } = *how;
        let (began, refused, redis) = (Instant::now(), BTreeMap::new(), Standing::Knows);
        Self { cx, id, target, tells, began, last: None, waits, is_told: waits, refused, redis }
    }

    fn tell(&self, words: &str) {
        if self.tells {
            self.cx.printer.note(words);
        }
    }

    /// Redis answered, and this is the job.
    pub fn there(&mut self, job: &JobView) {
        match std::mem::replace(&mut self.redis, Standing::Knows) {
            Standing::Knows => {}
            Standing::Away => self.tell("Redis answers again"),
            Standing::Forgot => self.tell(&format!("job {} was told again", self.id)),
        }
        self.refusals(job);
        let now = (job.state, job.attempt, job.machine.clone());
        if self.last.as_ref() == Some(&now) {
            self.look_at_the_time(job);
            return;
        }
        let change = self.change(job);
        self.last = Some(now);
        if let Some(change) = change {
            self.tell(&change);
        }
    }

    /// Says of each machine that gave it back why, once, however quickly that was.
    fn refusals(&mut self, job: &JobView) {
        if self.is_told || job.state != JobState::Queued {
            return;
        }
        for (machine, why) in &job.declined {
            if self.refused.get(machine) != Some(why) {
                self.refused.insert(machine.clone(), why.clone());
                let (machine, why) = (visible_line(machine), visible_line(why));
                self.tell(&format!("{machine} refused job {}: {why}", self.id));
            }
        }
    }

    fn change(&self, job: &JobView) -> Option<String> {
        let id = self.id;
        match job.state {
            JobState::Running => Some(self.attempt(job, "runs")),
            JobState::Waiting => {
                let ended = job.attempts.last().map(|last| visible_line(&last.ended).into_owned());
                let ended = ended.map(|ended| format!(" after attempt {}: {ended}", job.attempt));
                Some(format!("job {id} waits for its time{}", ended.unwrap_or_default()))
            }
            JobState::Queued => None,
            // It was over before it was seen to run.
            _ => {
                let told = self.last.as_ref().is_some_and(|(_, attempt, _)| *attempt >= job.attempt);
                (!told && job.machine.is_some()).then(|| self.attempt(job, "ran"))
            }
        }
    }

    /// Where an attempt runs, and what became of the one before it.
    fn attempt(&self, job: &JobView, verb: &str) -> String {
        let machine = job.machine.as_deref().map(visible_line).unwrap_or_default();
        let before = job.attempts.iter().find(|before| before.number + 1 == job.attempt);
        let before = before.map(|before| {
            let (was_on, ended) = (visible_line(&before.machine), visible_line(&before.ended));
            format!(" as attempt {} (attempt {} on {was_on}: {ended})", job.attempt, before.number)
        });
        let other = self.target.filter(|target| *machine != *target.as_str());
        let other = other.map(|target| format!(", not on {target}, which did not take it in its head start"));
        format!(
            "job {} {verb} on {machine}{}{}",
            self.id,
            before.unwrap_or_default(),
            other.unwrap_or_default()
        )
    }

    /// Says once that nobody takes it.
    fn look_at_the_time(&mut self, job: &JobView) {
        if job.state != JobState::Queued || self.waits || self.began.elapsed() < PATIENCE {
            return;
        }
        self.waits = true;
        if let Some(runner) = &job.legacy_runner {
            let runner = visible_line(runner);
            self.tell(&format!(
                "{runner}, which runs darkmux 1.9, has job {}; its output stays there",
                self.id
            ));
            return;
        }
        let waited = words::span(Some(self.began.elapsed()));
        self.tell(&format!(
            "no machine has taken job {id} for {waited}; `darkmux job explain {id}` says why",
            id = self.id
        ));
    }

    /// Redis failed, in a way that passes.
    pub fn away(&mut self, fault: &RedisFault) {
        if std::mem::replace(&mut self.redis, Standing::Away) != Standing::Away {
            self.tell(&format!("{fault} (job {} is not touched by that; waiting goes on)", self.id));
        }
    }

    /// Redis answered that there is no such job.
    pub fn forgotten(&mut self) {
        if std::mem::replace(&mut self.redis, Standing::Forgot) != Standing::Forgot {
            let since = human::duration(self.began.elapsed());
            self.tell(&format!(
                "Redis has forgotten job {} ({since} after waiting began); its runner tells it again",
                self.id
            ));
        }
    }
}
