//! A question and its answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{Call, Message};

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The model's identifier at the endpoint.
    pub model: &'a str,
    /// The conversation.
    pub messages: &'a [Message],
    /// The tools, each as the API wants it.
    pub tools: &'a [Value],
    /// How tools are spoken of.
    pub style: Style,
    /// Longest answer, in tokens.
    pub max_tokens: Option<u64>,
}

/// How a model is told of tools and calls them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// By the API.
    #[default]
    Native,
    /// In the text: its server or its template knows no tools.
    Text,
}

/// How long a model may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To begin its answer.
    pub first_token: Duration,
    /// Between two pieces of it.
    pub next_token: Duration,
    /// For all of it.
    pub answer: Duration,
}

/// A piece of an answer, as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Of its text.
    Text(&'a str),
    /// Of its reasoning.
    Reasoning(&'a str),
    /// It begins to call a tool; the name may be empty while it is not known.
    Call(&'a str),
}

/// An answer as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its text, without reasoning and without calls.
    pub text: String,
    /// Its reasoning.
    pub reasoning: String,
    /// How the reasoning came: the field's name, or `inline-think-tags`.
    pub reasoning_format: Option<&'static str>,
    /// The tools that it calls.
    pub calls: Vec<Call>,
    /// What looks like a call in its text and is none that can be read.
    pub broken_calls: Vec<String>,
    /// Why it ended.
    pub finish: Finish,
    /// What it cost, where the server says it.
    pub usage: Option<Usage>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    #[default]
    Stop,
    /// It calls tools.
    Calls,
    /// It reached the longest answer, or its window.
    Length,
    /// The server held it back.
    Filter,
    /// Whoever listened had heard enough.
    Cut,
}

impl Finish {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Calls => "tool_calls",
            Self::Length => "length",
            Self::Filter => "content_filter",
            Self::Cut => "cut",
        }
    }

    /// Reads the word of the API.
    pub fn of_word(word: &str) -> Self {
        match word {
            "tool_calls" | "function_call" => Self::Calls,
            "length" | "max_tokens" => Self::Length,
            "content_filter" => Self::Filter,
            _ => Self::Stop,
        }
    }
}

/// What an answer cost, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The question.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// The answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both.
    #[serde(default)]
    pub total_tokens: u64,
}

/// Most tokens that one answer may be said to have cost.
const TOKENS_MAX: u64 = 1_000_000_000;

impl Usage {
    /// Whether it can be true: servers send zeros where they do not count, and some send nonsense.
    pub fn is_plausible(&self) -> bool {
        (1..=TOKENS_MAX).contains(&self.total()) && self.total() > self.completion_tokens
    }

    /// The sum of both, also where the server left it out.
    pub fn total(&self) -> u64 {
        self.total_tokens.max(self.prompt_tokens.saturating_add(self.completion_tokens))
    }
}
