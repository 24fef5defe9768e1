//! Noticing that a model is stuck: the same call again and again, tools that fail in a row, the same words, answers
//! that say nothing or never end.
//!
//! Invariant: each kind is told to the model twice, and is the end of the work the third time in a run of trouble;
//! work that goes on takes the count back.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::model::{Answer, Call, Finish};
use crate::crew::adapter::clean;
use crate::model::FeedbackTemplates;

/// Calls that are remembered, and how often the same one with the same result is one too often.
const CALLS: usize = 12;
const SAME_CALLS: usize = 3;

/// Calls that fail one after the other before it is said.
const FAILURES: u32 = 4;

/// Times that a kind is told before it is the end.
const STRIKES: u32 = 2;

/// Longest name of a tool that is told, in characters: a model may make up any.
const NAME_MAX: usize = 64;

/// How much of an answer is looked at for repetition, in bytes, and how often.
const TAIL: usize = 4096;
const LOOK_EVERY: usize = 512;

/// A pattern that fills an answer's end: its lengths in bytes, and how often it must come.
const PERIODS: std::ops::RangeInclusive<usize> = 8..=400;
const REPEATS: usize = 8;

/// What a model is stuck in, in the words of darkmux 1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same call, with the same result.
    Cycle,
    /// Tools that fail.
    ToolFailure,
    /// The same words, or none.
    ReasoningLoop,
    /// An answer that repeats itself.
    Stall,
    /// Answers that are cut: at their longest, or by the server's filter.
    Cap,
}

impl Kind {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cycle => "cycle",
            Self::ToolFailure => "tool-failure",
            Self::ReasoningLoop => "reasoning-loop",
            Self::Stall => "intra-turn-stall",
            Self::Cap => "per-turn-cap",
        }
    }
}

/// What was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What it is.
    pub kind: Kind,
    /// In words.
    pub detail: String,
    /// What the model is told.
    pub feedback: String,
    /// Whether it was told often enough.
    pub is_last: bool,
}

/// Watches a run.
#[derive(Debug, Default)]
pub struct Detectors {
    calls: VecDeque<u64>,
    /// Calls in a row that were none of those.
    fresh: usize,
    failures: u32,
    texts: VecDeque<u64>,
    strikes: [u32; 5],
    templates: FeedbackTemplates,
}

impl Detectors {
    /// With the role's own words.
    pub fn new(templates: Option<FeedbackTemplates>) -> Self {
        Self { templates: templates.unwrap_or_default(), ..Self::default() }
    }

    /// A person said something: what was before that counts no longer.
    pub fn told(&mut self) {
        let templates = std::mem::take(&mut self.templates);
        *self = Self { templates, ..Self::default() };
    }

    /// An answer came.
    pub fn answer(&mut self, answer: &Answer) -> Option<Signal> {
        match answer.finish {
            Finish::Cut => {
                return Some(self.signal(
                    Kind::Stall,
                    "the answer repeated itself and was stopped".to_owned(),
                    "Your last answer repeated itself and was stopped. Take one step: call one tool, or give your \
                     final message.",
                ));
            }
            Finish::Length => {
                return Some(self.signal(
                    Kind::Cap,
                    "the answer reached its longest and was cut".to_owned(),
                    "Your last answer was too long and was cut; what came after the cut is lost. Go on in smaller \
                     steps: write large files in several edits, and keep explanations short.",
                ));
            }
            Finish::Filter => {
                return Some(self.signal(
                    Kind::Cap,
                    "the server's filter cut the answer".to_owned(),
                    "The server's filter held back part of your last answer; nobody has read it. Say it in other words, or \
                     report what is in the way.",
                ));
            }
            Finish::Stop | Finish::Calls => self.strikes[Kind::Cap as usize] = 0,
        }
        if answer.calls.is_empty() && answer.text.is_empty() && answer.broken_calls.is_empty() {
            return Some(self.signal(
                Kind::ReasoningLoop,
                "the answer was empty".to_owned(),
                "Your last answer was empty. Call a tool to go on, or give your final message.",
            ));
        }
        if answer.text.len() > 40 && !answer.calls.is_empty() {
            let same = hash(&answer.text);
            self.texts.push_back(same);
            if self.texts.len() > CALLS {
                self.texts.pop_front();
            }
            if self.texts.iter().filter(|text| **text == same).count() > SAME_CALLS {
                self.texts.clear();
                return Some(self.signal(
                    Kind::ReasoningLoop,
                    "the same words came again and again".to_owned(),
                    "You say the same again and again. Say in one sentence what you know now that you did not know \
                     before, and take another way.",
                ));
            }
        }
        None
    }

    /// A call came to something: to `result`, as far as the same call would come to the same again.
    pub fn call(&mut self, call: &Call, ok: bool, result: &str) -> Option<Signal> {
        self.failures = if ok { 0 } else { self.failures + 1 };
        let same = hash(&(&call.name, &call.arguments, result));
        self.calls.push_back(same);
        if self.calls.len() > CALLS {
            self.calls.pop_front();
        }
        let times = self.calls.iter().filter(|call| **call == same).count();
        self.fresh = if times == 1 { self.fresh + 1 } else { 0 };
        if self.fresh >= CALLS {
            self.strikes[Kind::Cycle as usize] = 0;
        }
        if times >= SAME_CALLS {
            self.calls.clear();
            let name = clean(&call.name, NAME_MAX);
            let own = self.templates.cycle_suspected.clone();
            return Some(self.signal(
                Kind::Cycle,
                format!("`{name}` was called {times} times in the same way, with the same result"),
                &own.unwrap_or_else(|| {
                    format!(
                        "You called `{name}` {times} times with the same arguments and got the same result each time. \
                         It will not change. Use what it told you, try something else, or report what is in the way."
                    )
                }),
            ));
        }
        if self.failures >= FAILURES {
            self.failures = 0;
            let own = self.templates.tool_failure_cascade.clone();
            return Some(self.signal(
                Kind::ToolFailure,
                format!("{FAILURES} calls failed one after the other"),
                own.as_deref().unwrap_or(
                    "Your last calls all failed. Read what they said, look at the folder or the file as it is now, \
                     and take another way; if there is none, report what is in the way.",
                ),
            ));
        }
        if ok && times == 1 {
            // Something new: it goes on.
            for kind in [Kind::ToolFailure, Kind::ReasoningLoop, Kind::Stall] {
                self.strikes[kind as usize] = 0;
            }
        }
        None
    }

    fn signal(&mut self, kind: Kind, detail: String, feedback: &str) -> Signal {
        let strikes = &mut self.strikes[kind as usize];
        *strikes += 1;
        Signal { kind, detail, feedback: feedback.to_owned(), is_last: *strikes > STRIKES }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Watches one answer while it comes.
#[derive(Debug, Default)]
pub struct Repetition {
    tail: Vec<u8>,
    unseen: usize,
}

impl Repetition {
    /// Takes a piece; whether the answer repeats itself.
    pub fn take(&mut self, piece: &str) -> bool {
        self.tail.extend_from_slice(piece.as_bytes());
        self.unseen += piece.len();
        if self.unseen < LOOK_EVERY {
            return false;
        }
        self.unseen = 0;
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.len() == TAIL && PERIODS.into_iter().any(|period| self.repeats(period))
    }

    /// Whether the end is one pattern of this length, often enough. Lines of dashes and blanks are no pattern.
    fn repeats(&self, period: usize) -> bool {
        let length = (period * REPEATS).max(TAIL / 2);
        let Some(end) = self.tail.len().checked_sub(length).map(|at| &self.tail[at..]) else { return false };
        let varied = end[..period].iter().filter(|byte| byte.is_ascii_alphanumeric()).count() * 2 > period;
        varied && end[period..].iter().zip(end).all(|(a, b)| a == b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &str) -> Call {
        Call { id: "c".into(), name: "read".into(), arguments: arguments.into() }
    }

    #[test]
    fn the_same_call_is_told_twice_and_then_the_end() {
        let mut watch = Detectors::default();
        let mut signals = Vec::new();
        for _ in 0..9 {
            signals.extend(watch.call(&call("{}"), true, "same"));
        }
        assert_eq!(signals.iter().map(|signal| signal.is_last).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(signals[0].kind, Kind::Cycle);
        let mut watch = Detectors::default();
        let long = Call { name: "x".repeat(40_000), ..call("{}") };
        let told = (0..3).find_map(|_| watch.call(&long, false, "no such tool")).unwrap();
        assert!(told.detail.len() + told.feedback.len() < 1000, "a name that is made up is cut");
        // So is a dozen of other calls, or what a person says.
        let mut watch = Detectors::default();
        let others = |watch: &mut Detectors| {
            (0..CALLS).for_each(|n| assert!(watch.call(&call(&n.to_string()), true, "new").is_none()));
        };
        for between in [&others as &dyn Fn(&mut Detectors), &Detectors::told] {
            for _ in 0..4 {
                let signals: Vec<_> = (0..3).filter_map(|_| watch.call(&call("{}"), true, "same")).collect();
                assert!(signals.len() == 1 && !signals[0].is_last, "{signals:?}");
                between(&mut watch);
            }
        }
        // Another result is progress.
        let mut watch = Detectors::default();
        assert!((0..20).all(|n| watch.call(&call("{}"), true, &n.to_string()).is_none()));
    }

    #[test]
    fn failures_in_a_row_are_told_in_the_roles_own_words() {
        let templates =
            FeedbackTemplates { tool_failure_cascade: Some("look up".into()), cycle_suspected: None };
        let mut watch = Detectors::new(Some(templates));
        let found: Vec<Signal> =
            (0..8).filter_map(|n| watch.call(&call(&n.to_string()), false, &n.to_string())).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].feedback, "look up");
        assert!(
            watch.call(&call("x"), true, "fine").is_none() && watch.strikes[Kind::ToolFailure as usize] == 0
        );
    }

    #[test]
    fn the_same_words_are_noticed_and_other_ones_or_few_are_not() {
        let says =
            |text: &str, call: Call| Answer { text: text.into(), calls: vec![call], ..Answer::default() };
        let words = "I will look at the file once more to be sure.";
        let found = |text: &str, with: &dyn Fn(usize) -> String| {
            let mut watch = Detectors::default();
            (0..4)
                .filter_map(|n| watch.answer(&says(&with(n), call(&format!("{text}{n}")))))
                .collect::<Vec<_>>()
        };
        let same = found("x", &|_| words.to_owned());
        assert_eq!(same.len(), 1, "at the fourth time: {same:?}");
        assert!(same[0].kind == Kind::ReasoningLoop && !same[0].is_last, "{same:?}");
        assert_eq!(found("x", &|n| format!("{words} {n}")), []);
        assert_eq!(found("x", &|_| "Next.".to_owned()), []);
    }

    #[test]
    fn empty_and_cut_answers_are_noticed() {
        let mut watch = Detectors::default();
        assert_eq!(watch.answer(&Answer::default()).unwrap().kind, Kind::ReasoningLoop);
        let cut = Answer { finish: Finish::Length, text: "x".into(), ..Answer::default() };
        let last = (0..3).filter_map(|_| watch.answer(&cut)).last().unwrap();
        assert!(last.kind == Kind::Cap && last.is_last);
        let held_back = Answer { finish: Finish::Filter, text: "x".into(), ..Answer::default() };
        assert_eq!(Detectors::default().answer(&held_back).unwrap().kind, Kind::Cap);
    }

    #[test]
    fn an_answer_that_repeats_itself_is_noticed_and_long_lists_are_not() {
        let mut watch = Repetition::default();
        assert!((0..2000).any(|_| watch.take("wait, let me think again. ")));
        let mut watch = Repetition::default();
        assert!(!(0..2000).any(|n| watch.take(&format!("line {n}: value {}\n", n * 7))));
        let mut watch = Repetition::default();
        assert!(!(0..2000).any(|_| watch.take("----------\n")));
    }
}
