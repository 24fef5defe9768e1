//! One turn: the question, its answer as it is shown, and the calls that it makes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::conversation::middle_cut;
use super::desk::Break;
use super::detect::{Repetition, Signal};
use super::model::{Answer, Ask, AskError, Call, Listener, Message, Patience, Piece, ask_patiently};
use super::records::Records;
use super::tools::{ToolCall, ToolOutcome};
use super::transcript::{Look, Transcript};
use super::work::Work;
use crate::util::human;
use crate::wire::{Check, SessionReport};

/// Commands that a result names at most, and how much of one, in characters.
const CHECKS_MAX: usize = 20;
const COMMAND_MAX: usize = 120;

/// Longest line about a call, in characters.
const ABOUT_MAX: usize = 160;

/// Files that a result names at most.
const CHANGED_MAX: usize = 500;

/// What stands for the result of a call that was not made.
const NOT_MADE: &str = "This call was not made: the user stopped the turn.";

/// Shows an answer while it comes, and hears whether it repeats itself.
struct Shows<'a> {
    transcript: Rc<RefCell<Transcript>>,
    records: &'a mut Records,
    repetition: Repetition,
    chars: usize,
}

impl Listener for Shows<'_> {
    fn hear(&mut self, piece: Piece<'_>) -> bool {
        let (look, text) = match piece {
            Piece::Text(text) => (Look::Plain, text),
            Piece::Reasoning(text) => (Look::Dim, text),
            Piece::Call(_) => {
                // Its arguments are not shown, and may take long.
                self.transcript.borrow_mut().settle();
                return true;
            }
        };
        self.transcript.borrow_mut().piece(look, text);
        self.chars += text.len();
        self.records.turn_goes_on(self.chars);
        !self.repetition.take(text)
    }

    fn again(&mut self, why: &AskError, pause: Duration) {
        let lost = if self.chars > 0 { "; what it said counts no longer" } else { "" };
        let words = format!("{why}{lost}; asking again in {}", human::duration(pause));
        self.transcript.borrow_mut().line(Look::Bad, &words);
        self.repetition = Repetition::default();
        self.chars = 0;
    }
}

impl Work {
    /// Asks the model. Beside the answer: whether a person or a signal broke it off.
    pub(super) async fn ask(&mut self) -> (Result<Answer, AskError>, Option<Break>) {
        self.records.turn_begins();
        self.report("thinking");
        self.desk.transcript().borrow_mut().gap();
        let cancel = CancellationToken::new();
        let max_tokens = Some(self.answer_tokens());
        let patience = self.patience();
        let Self { client, at, desk, records, specs, chosen, limits, .. } = self;
        let ask = Ask {
            model: &chosen.model,
            messages: at.talk.messages(),
            tools: specs,
            style: at.style,
            max_tokens: limits.answer_tokens.and(max_tokens),
        };
        let transcript = desk.transcript();
        let mut shows = Shows {
            transcript: Rc::clone(&transcript),
            records,
            repetition: Repetition::default(),
            chars: 0,
        };
        let asking = ask_patiently(client, &ask, &patience, &mut shows, &cancel);
        let asked = desk.during(&cancel, asking).await;
        transcript.borrow_mut().end();
        asked
    }

    /// How often a question is asked again.
    pub(super) fn patience(&self) -> Patience {
        Patience { retries: self.limits.retries, pause: self.limits.retry_pause }
    }

    /// Makes the calls of an answer one after the other, and adds what they came to.
    pub(super) async fn act(&mut self, calls: &[Call], signals: &mut Vec<Signal>) -> Option<Break> {
        let mut broken = None;
        for call in calls {
            let text = if broken.is_some() {
                NOT_MADE.to_owned()
            } else {
                let (outcome, by) = self.call(call).await;
                broken = by;
                signals.extend(self.detectors.call(call, outcome.ok, &outcome.text[..outcome.steady]));
                self.note(call, &outcome);
                outcome.text
            };
            // No single result may fill the window.
            let most = usize::try_from(self.window()).unwrap_or(usize::MAX).max(2000);
            let text = middle_cut(&text, most);
            self.at.talk.push(Message::Tool { id: call.id.clone(), name: call.name.clone(), text });
        }
        broken
    }

    async fn call(&mut self, call: &Call) -> (ToolOutcome, Option<Break>) {
        let about = about(call);
        self.desk.line(Look::Call, format!("● {} {about}", call.name).trim_end());
        self.report(&call.name);
        let cancel = CancellationToken::new();
        let transcript = self.desk.transcript();
        let mut tell = |line: &str| transcript.borrow_mut().line(Look::Dim, &format!("  │ {line}"));
        let asked =
            ToolCall { id: call.id.clone(), name: call.name.clone(), arguments: call.arguments.clone() };
        let doing = self.tools.call(&asked, &cancel, &mut tell);
        let (outcome, broken) = self.desk.during(&cancel, doing).await;
        for line in &outcome.shown {
            let look = match line.trim_start().as_bytes().first() {
                _ if !outcome.ok => Look::Bad,
                Some(b'+') => Look::Good,
                Some(b'-') => Look::Bad,
                _ => Look::Dim,
            };
            self.desk.line(look, &format!("  {line}"));
        }
        (outcome, broken)
    }

    /// Remembers what a call did.
    fn note(&mut self, call: &Call, outcome: &ToolOutcome) {
        self.at.totals.total_tools += 1;
        self.records.tool(call, outcome.ok, outcome.text.chars().count());
        let fresh = |path: &&PathBuf| !self.at.changed.contains(path);
        let changed: Vec<PathBuf> = outcome.changed.iter().filter(fresh).cloned().collect();
        self.at.changed.extend(changed);
        self.at.changed.truncate(CHANGED_MAX);
        if call.name == "bash" {
            let command = about(call).chars().take(COMMAND_MAX).collect();
            self.at.checks.push(Check { command, ok: outcome.ok });
            let over = self.at.checks.len().saturating_sub(CHECKS_MAX);
            self.at.checks.drain(..over);
        }
    }

    fn report(&mut self, label: &str) {
        let label = crate::crew::adapter::clean(label, 40);
        self.records.report(SessionReport { label, working: true, ..SessionReport::default() });
    }

    /// Tokens that an answer may have, so that the window holds it.
    pub(super) fn answer_tokens(&self) -> u64 {
        let room = (self.window() / 4).max(256);
        self.limits.answer_tokens.unwrap_or(room).min(room)
    }
}

/// What a call is about, on one line.
fn about(call: &Call) -> String {
    let Ok(arguments) = serde_json::from_str::<Value>(&call.arguments) else { return String::new() };
    let keys = ["command", "path", "pattern", "glob"];
    let found = keys.iter().find_map(|key| arguments[*key].as_str()).unwrap_or_default();
    let mut line = human::headline(found, ABOUT_MAX).unwrap_or_default();
    if line.len() < found.trim().len() {
        line.push('…');
    }
    line
}
