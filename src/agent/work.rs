//! The loop: ask, let the tools do what was called, tell the model what they came to, until there is nothing to call.
//!
//! Invariants: after every turn the checkpoint says where the work stands; every way out is an [`Ending`]; without a
//! person nothing is waited for but the model and the tools.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::desk::{Break, Desk};
use super::detect::{Detectors, Kind, Signal};
use super::model::{Answer, AskError, Call, Finish, Message, ModelClient, Style, Usage};
use super::pick::Chosen;
use super::records::Records;
use super::tools::Toolbox;
use super::transcript::Look;
use crate::config::AgentConfig;
use crate::crew::adapter::{blocked_in, clean, question_in};
use crate::model::Escalation;
use crate::util::human;
use crate::wire::{AgentTask, SessionReport};

/// Longest question that is shown to a person in lists, in characters.
pub const QUESTION_MAX: usize = 500;

/// Longest part of an answer that repeated itself that is kept, in bytes.
const CUT_KEPT: usize = 2000;

/// What the model is told once where its role tries again with a hint.
const HINT: &str = "Before you give up: put what blocks you into one sentence, list two ways around it that you have \
                    not tried, and try the better one. If that fails as well, report BLOCKED again.";

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is done; its last message.
    Done(String),
    /// It cannot go on; its last message, and the reason in it.
    Blocked {
        /// The message.
        last: String,
        /// The reason.
        why: String,
    },
    /// A limit was reached: 1.9's word for it, and what it is.
    Limit {
        /// The word.
        word: &'static str,
        /// In words.
        why: String,
    },
    /// The model cannot be asked any longer.
    Failed(String),
    /// A person ended it.
    Interrupted,
    /// The session is ended from outside.
    Terminated,
}

/// What goes on, or how it ended.
pub type Step = ControlFlow<Ending>;

/// A run.
pub struct Work {
    pub(super) task: AgentTask,
    pub(super) limits: AgentConfig,
    pub(super) chosen: Chosen,
    pub(super) client: ModelClient,
    pub(super) tools: Toolbox,
    /// The tools as the API wants them.
    pub(super) specs: Vec<Value>,
    pub(super) at: Checkpoint,
    /// The session's folder.
    pub(super) folder: PathBuf,
    pub(super) detectors: Detectors,
    pub(super) records: Records,
    pub(super) desk: Desk,
    /// Times in a row that the conversation did not fit, although it should have.
    pub(super) overflows: u32,
}

impl Work {
    /// Works until it ends.
    pub async fn run(&mut self) -> Ending {
        let ending = self.steps().await;
        // Whoever goes on with it is to know what was said last.
        self.hear();
        ending
    }

    async fn steps(&mut self) -> Ending {
        if self.at.is_done
            && let ControlFlow::Break(ending) = self.wait(&self.left_with()).await
        {
            return ending;
        }
        loop {
            if let ControlFlow::Break(ending) = self.step().await {
                return ending;
            }
        }
    }

    async fn step(&mut self) -> Step {
        self.hear();
        self.within_limits().await?;
        self.make_room(false).await?;
        match self.ask().await {
            (Ok(answer), None) => {
                self.overflows = 0;
                self.take(answer).await
            }
            (_, Some(broken)) => self.broken(broken).await,
            (Err(error), None) => self.failed(error).await,
        }
    }

    /// Takes what a person said meanwhile.
    fn hear(&mut self) {
        while let Some(line) = self.desk.said() {
            self.told(line);
        }
    }

    /// A person said something.
    fn told(&mut self, line: String) {
        self.count_anew();
        self.detectors.told();
        (self.at.is_done, self.at.hints) = (false, 0);
        self.at.talk.push(Message::User { text: line });
        self.keep();
    }

    /// From here on limits count anew.
    fn count_anew(&mut self) {
        self.at.since = (self.at.totals.total_turns, self.at.totals.total_tokens);
    }

    async fn within_limits(&mut self) -> Step {
        let turns = self.at.totals.total_turns.saturating_sub(self.at.since.0);
        let tokens = self.at.totals.total_tokens.saturating_sub(self.at.since.1);
        let (word, why) = match (self.limits.max_turns, self.limits.max_tokens) {
            (Some(most), _) if turns >= most => {
                ("max_turns", format!("it took {turns} turns, the limit (runtime.max_turns)"))
            }
            (_, Some(most)) if tokens >= most => (
                "escalation_cumulative_tokens_exceeded",
                format!("it took {tokens} tokens, the limit is {most} (runtime.max_tokens)"),
            ),
            _ => return Step::Continue(()),
        };
        // Who goes on with it has as much again.
        self.count_anew();
        self.keep();
        self.limit(word, why).await
    }

    /// A limit was reached: the end, unless a person goes on with it.
    pub(super) async fn limit(&mut self, word: &'static str, why: String) -> Step {
        self.desk.line(Look::Bad, &why);
        if self.task.interactive {
            return self.wait(&why).await;
        }
        Step::Break(Ending::Limit { word, why })
    }

    /// Takes an answer: shows what it cost, does what it calls, and looks whether it is the last.
    async fn take(&mut self, answer: Answer) -> Step {
        self.count(&answer);
        let mut signals: Vec<Signal> = self.detectors.answer(&answer).into_iter().collect();
        let Answer { mut text, calls, broken_calls, finish, .. } = answer;
        if finish == Finish::Cut {
            text.truncate(text.floor_char_boundary(CUT_KEPT));
        }
        if !text.is_empty() || !calls.is_empty() {
            let spoken = if calls.is_empty() {
                [&[text.clone()][..], &broken_calls].concat().join("\n")
            } else {
                text.clone()
            };
            self.at.talk.push(Message::Assistant { text: spoken, calls: calls.clone() });
        } else if !broken_calls.is_empty() {
            self.at.talk.push(Message::Assistant { text: broken_calls.join("\n"), calls: Vec::new() });
        }
        let broken = self.act(&calls, &mut signals).await;
        if !broken_calls.is_empty() {
            self.desk.line(Look::Bad, "a call of a tool in the answer cannot be read; the model is told");
            self.at.talk.push(Message::User { text: unreadable(&broken_calls, &calls) });
        }
        let feedback = self.signal(&signals);
        self.keep();
        if let Some(broken) = broken {
            return self.broken(broken).await;
        }
        feedback?;
        let is_last = calls.is_empty() && broken_calls.is_empty() && signals.is_empty();
        if is_last { self.done(text).await } else { Step::Continue(()) }
    }

    /// Tells the model that it is stuck, or ends the work.
    fn signal(&mut self, signals: &[Signal]) -> Step {
        for signal in signals {
            self.desk.line(Look::Bad, &format!("stuck: {}", signal.detail));
        }
        let last = signals.iter().find(|signal| signal.is_last).cloned();
        let tell = last.is_none() && self.limits.feedback;
        self.records.signals(signals, tell);
        if let Some(signal) = last {
            let word = match signal.kind {
                Kind::Stall => "escalation_intra_turn_stall_exhausted",
                _ => "escalation_stuck",
            };
            return Step::Break(Ending::Limit {
                word,
                why: format!("the model is stuck: {}", signal.detail),
            });
        }
        if tell && !signals.is_empty() {
            let words: Vec<&str> = signals.iter().map(|signal| signal.feedback.as_str()).collect();
            self.at.talk.push(Message::User { text: words.join("\n\n") });
        } else if !signals.is_empty() {
            self.at.talk.push(Message::User { text: "Go on.".to_owned() });
        }
        Step::Continue(())
    }

    /// The model gave its last message, as it thinks.
    async fn done(&mut self, last: String) -> Step {
        if self.desk.has_said() {
            return Step::Continue(());
        }
        let why = blocked_in(&last);
        let may_retry = !self.task.interactive && self.at.hints == 0;
        if may_retry && why.is_some() && self.task.escalation == Some(Escalation::RetryWithHint) {
            self.at.hints += 1;
            self.desk.line(Look::Dim, "blocked; the role tries once more, with a hint");
            self.at.talk.push(Message::User { text: HINT.to_owned() });
            self.keep();
            return Step::Continue(());
        }
        self.at.is_done = true;
        self.keep();
        if self.task.interactive {
            let question = question_in(&last).unwrap_or_default();
            return match self.wait(&question).await {
                Step::Break(Ending::Interrupted) => Step::Break(ending(last, why)),
                step => step,
            };
        }
        Step::Break(ending(last, why))
    }

    /// What a person is asked for who goes on with a run that gave its last message.
    fn left_with(&self) -> String {
        let said = self.at.talk.messages().iter().rev().find_map(|message| match message {
            Message::Assistant { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let last = said.unwrap_or_default();
        let asked = blocked_in(last).map(|why| format!("BLOCKED: {why}")).or_else(|| question_in(last));
        asked.unwrap_or_else(|| "it was done; say what is next".to_owned())
    }

    /// What was going on was broken off.
    async fn broken(&mut self, broken: Break) -> Step {
        match broken {
            Break::Ended => Step::Break(Ending::Interrupted),
            Break::Terminated => Step::Break(Ending::Terminated),
            Break::Stopped => {
                self.keep();
                self.wait("stopped; say what to do instead").await
            }
        }
    }

    /// The model did not answer.
    async fn failed(&mut self, error: AskError) -> Step {
        match &error {
            AskError::TooLong { window, .. } => {
                self.overflows += 1;
                if self.overflows <= 3 {
                    self.desk.line(Look::Dim, &error.to_string());
                    self.at.talk.uncount();
                    self.learn_window(*window);
                    return self.make_room(true).await;
                }
            }
            AskError::NoTools(_) if self.at.style == Style::Native => {
                self.desk.line(Look::Dim, "the model knows no tools; it is told of them in words");
                self.at.style = Style::Text;
                return Step::Continue(());
            }
            _ => {}
        }
        let why = error.to_string();
        self.desk.line(Look::Bad, &why);
        if self.task.interactive {
            return self.wait(&why).await;
        }
        Step::Break(Ending::Failed(why))
    }

    /// Waits for a person, who is told what for.
    pub(super) async fn wait(&mut self, what_for: &str) -> Step {
        let needs_you = (!what_for.is_empty()).then(|| clean(what_for, QUESTION_MAX));
        let label = if needs_you.is_some() { "question" } else { "idle" };
        self.records.report(SessionReport { label: label.to_owned(), needs_you, ..SessionReport::default() });
        self.desk.line(Look::Dim, "waiting for you: type and press Enter; Ctrl-C twice ends it");
        match self.desk.wait().await {
            Ok(line) => {
                self.desk.goes_on();
                self.told(line);
                Step::Continue(())
            }
            Err(Break::Terminated) => Step::Break(Ending::Terminated),
            Err(_) => Step::Break(Ending::Interrupted),
        }
    }

    /// Counts an answer, and shows what it cost.
    fn count(&mut self, answer: &Answer) {
        self.at.totals.total_turns += 1;
        self.records.turn(answer);
        if let Some(usage) = answer.usage {
            self.spend(usage);
            self.at.talk.count(usage);
        }
        let (used, window) = (self.at.talk.tokens(), self.window());
        self.records.context(used, self.known_window());
        let cost = answer.usage.map_or_else(
            || "the server does not count tokens".to_owned(),
            |usage| format!("{} tokens in, {} out", usage.prompt_tokens, usage.completion_tokens),
        );
        let full = used.saturating_mul(100) / window.max(1);
        self.desk.line(
            Look::Dim,
            &format!("· turn {} · {cost} · window {full} % of {window}", self.at.totals.total_turns),
        );
    }

    /// Counts what an answer took.
    pub(super) fn spend(&mut self, usage: Usage) {
        let totals = &mut self.at.totals;
        totals.prompt_tokens = totals.prompt_tokens.saturating_add(usage.prompt_tokens);
        totals.completion_tokens = totals.completion_tokens.saturating_add(usage.completion_tokens);
        totals.total_tokens = totals.total_tokens.saturating_add(usage.total());
    }

    /// Keeps where the work stands. A disk that takes nothing does not end it.
    pub(super) fn keep(&mut self) {
        self.at.plan = self.tools.plan().to_vec();
        if let Err(error) = self.at.write(&self.folder) {
            let why = format!("the checkpoint is not kept ({error}); the work goes on and cannot be resumed");
            self.desk.line(Look::Bad, &why);
        }
    }

    /// The model's window in tokens.
    pub(super) fn window(&self) -> u64 {
        self.known_window().unwrap_or(super::conversation::WINDOW_UNKNOWN)
    }

    fn known_window(&self) -> Option<u64> {
        self.at.window.or(self.chosen.window)
    }
}

fn ending(last: String, why: Option<String>) -> Ending {
    match why {
        Some(why) => Ending::Blocked { last, why },
        None => Ending::Done(last),
    }
}

/// What the model is told of calls that cannot be read.
fn unreadable(broken: &[String], calls: &[Call]) -> String {
    let others = if calls.is_empty() { "" } else { " The others were made." };
    let shown = human::headline(&broken.join(" "), 200).unwrap_or_default();
    format!(
        "A call of a tool in your answer cannot be read: {shown}\nIt was not made.{others} Write it again as valid JSON: \
         {{\"name\": \"…\", \"arguments\": {{…}}}}."
    )
}
