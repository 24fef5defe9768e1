//! The tools' names, and how a model is told of them.

use serde_json::{Value, json};

use super::ToolLimits;
use crate::model::ToolPalette;

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolName {
    /// Finds text and files.
    Search,
    /// Shows a file.
    Read,
    /// Changes places in a file.
    Edit,
    /// Writes a whole file.
    Write,
    /// Runs a command.
    Bash,
    /// Keeps the checklist.
    Plan,
}

/// A tool as a model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: String,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

impl ToolName {
    /// Every tool, in the order that a model sees.
    pub const ALL: [Self; 6] = [Self::Search, Self::Read, Self::Edit, Self::Write, Self::Bash, Self::Plan];

    /// The tools that a role's palette comes to.
    pub fn of_palette(palette: &ToolPalette) -> Vec<Self> {
        Self::ALL.into_iter().filter(|tool| palette.allows(tool.palette_word())).collect()
    }

    /// The tool of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Write => "write",
            Self::Bash => "bash",
            Self::Plan => "plan",
        }
    }

    /// The word of a role's palette that allows it.
    fn palette_word(self) -> &'static str {
        match self {
            Self::Search | Self::Read => "read",
            Self::Edit => "edit",
            Self::Write => "write",
            Self::Bash => "exec",
            Self::Plan => "update_plan",
        }
    }

    /// What it takes, in a word to a model that got it wrong.
    pub fn shape(self) -> &'static str {
        match self {
            Self::Search => {
                "{`pattern`?, `path`?, `glob`?, `literal`?, `ignore_case`?, `hidden`?, `max_results`?}"
            }
            Self::Read => "{`path`, `offset`?, `limit`?}",
            Self::Edit => "{`path`, `edits`: [{`old_string`, `new_string`, `replace_all`?}]}",
            Self::Write => "{`path`, `content`}",
            Self::Bash => "{`command`, `timeout_seconds`?}",
            Self::Plan => "{`items`: [{`text`, `state`: pending, in_progress or done}]}",
        }
    }

    /// How a model is told of it.
    pub fn spec(self, limits: &ToolLimits) -> ToolSpec {
        let (properties, required) = self.parameters();
        let parameters = json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        });
        ToolSpec { name: self.as_str(), description: self.description(limits), parameters }
    }

    fn description(self, limits: &ToolLimits) -> String {
        match self {
            Self::Search => "Find text in the work directory's files, or without a pattern the files themselves. \
                Answers with path:line: text. Files that git ignores, hidden and binary ones are left out."
                .into(),
            Self::Read => "Show a text file with line numbers, or the names in a folder. The numbers and the tab \
                after them are not part of the file."
                .into(),
            Self::Edit => "Replace exact texts in one file. Every old_string must be in the file exactly once, with \
                its blanks and line breaks, unless replace_all is true. The edits are made in order; if one fails, \
                none is made."
                .into(),
            Self::Write => "Write a whole file; folders are made, a file that is there is replaced. To change a \
                part of a file, use edit."
                .into(),
            Self::Bash => format!(
                "Run a shell command. `cd` lasts until the next call; everything else ends with the call, \
                 also what was put in the background. There is no standard input. It can write only in the work \
                 directory and in $TMPDIR. It is ended after {} seconds, or timeout_seconds, at most {}.",
                limits.bash_timeout.as_secs(),
                limits.bash_timeout_max.as_secs()
            ),
            Self::Plan => "Keep a checklist that the user sees. Give all items each time.".into(),
        }
    }

    fn parameters(self) -> (Value, Value) {
        let path = json!({"type": "string", "description": "relative to the work directory"});
        let text = json!({"type": "string"});
        let flag = |about: &str| json!({"type": "boolean", "description": about});
        let number = |about: &str| json!({"type": "integer", "minimum": 1, "description": about});
        match self {
            Self::Search => (
                json!({
                    "pattern": {"type": "string", "description": "regular expression; without it, files are listed"},
                    "path": {"type": "string", "description": "file or folder to look in; default: everywhere"},
                    "glob": {"type": "string", "description": "only files like this, as *.rs or src/**"},
                    "literal": flag("the pattern is plain text"),
                    "ignore_case": flag("upper and lower case are the same"),
                    "hidden": flag("look in hidden files as well"),
                    "max_results": number("default 50, at most 500"),
                }),
                json!([]),
            ),
            Self::Read => (
                json!({
                    "path": path, "offset": number("first line, from 1"), "limit": number("how many lines"),
                }),
                json!(["path"]),
            ),
            Self::Edit => {
                let edit = json!({
                    "type": "object",
                    "properties": {
                        "old_string": text, "new_string": text, "replace_all": flag("replace every place"),
                    },
                    "required": ["old_string", "new_string"],
                    "additionalProperties": false,
                });
                (json!({"path": path, "edits": {"type": "array", "items": edit}}), json!(["path", "edits"]))
            }
            Self::Write => (json!({"path": path, "content": text}), json!(["path", "content"])),
            Self::Bash => {
                (json!({"command": text, "timeout_seconds": number("when to end it")}), json!(["command"]))
            }
            Self::Plan => {
                let state = json!({"type": "string", "enum": ["pending", "in_progress", "done"]});
                let item = json!({
                    "type": "object", "properties": {"text": text, "state": state}, "required": ["text", "state"],
                    "additionalProperties": false,
                });
                (json!({"items": {"type": "array", "items": item}}), json!(["items"]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_palette_of_a_manifest_comes_to_tools() {
        let palette = |allow: &[&str], deny: &[&str]| {
            let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            ToolName::of_palette(&ToolPalette { allow: list(allow), deny: list(deny) })
        };
        assert_eq!(palette(&[], &[]), ToolName::ALL);
        assert_eq!(palette(&["read", "exec"], &["exec"]), [ToolName::Search, ToolName::Read]);
        assert_eq!(palette(&["exec", "process", "update_plan"], &[]), [ToolName::Bash, ToolName::Plan]);
    }

    #[test]
    fn every_tool_names_what_it_takes_in_its_schema_and_in_words() {
        for tool in ToolName::ALL {
            let spec = tool.spec(&ToolLimits::default());
            assert_eq!(ToolName::named(spec.name), Some(tool));
            for name in spec.parameters["properties"].as_object().unwrap().keys() {
                assert!(tool.shape().contains(&format!("`{name}`")), "{name} of {}", spec.name);
            }
        }
    }
}
