//! A conversation's messages, as they are kept in a checkpoint. How a server wants them is `request`'s.

use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What the model is told before everything else.
    System {
        /// The text.
        text: String,
    },
    /// What it is asked.
    User {
        /// The text.
        text: String,
    },
    /// What it answered.
    Assistant {
        /// Its text.
        text: String,
        /// The tools that it called.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
    },
    /// What a tool came to.
    Tool {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// The text.
        text: String,
    },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name in the conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What the model wrote as its arguments; JSON, if it did well.
    pub arguments: String,
}

impl Message {
    /// Its length in characters, arguments of calls included.
    pub fn chars(&self) -> usize {
        match self {
            Self::System { text } | Self::User { text } => text.len(),
            Self::Assistant { text, calls } => {
                text.len() + calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
            }
            Self::Tool { name, text, .. } => name.len() + text.len(),
        }
    }
}
