//! Jobs: where one is in its life, how urgent it is, and what a lost runner means for it.

use serde::{Deserialize, Serialize};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// In its lane, for the first runner that may run it.
    Queued,
    /// Not in a lane yet: it was asked to wait, or waits before its next attempt.
    Waiting,
    /// A runner holds it.
    Running,
    /// It ended with exit code 0.
    Done,
    /// It ended otherwise.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It will not be tried again by itself: a dead letter.
    Dead,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled, Self::Dead];

    /// The state of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word in Redis, lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }

    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Dead)
    }
}

/// Who goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After everything else.
    Low,
    /// As it comes.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl Priority {
    /// The word on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

impl std::str::FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Low, Self::Normal, Self::High]
            .into_iter()
            .find(|priority| priority.as_str() == text)
            .ok_or_else(|| format!("`{}` is no priority: low, normal or high", text.escape_debug()))
    }
}

/// What becomes of a job whose runner lost it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// It ends where it runs, and is not run again: what it did outside may not be done twice.
    #[default]
    Stop,
    /// Another runner runs it again.
    Rerun,
}
