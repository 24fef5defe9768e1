//! The tools. Each is the type of its arguments, whose doc comments are what the model reads of it.

mod dispatch;
mod fleet;
mod jobs;
mod outcome;
mod sessions;
mod target;
mod there;
mod waiting;

use std::sync::Arc;

use rmcp::handler::server::common::{schema_for_output, schema_for_type};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Call, arguments};
use super::result::Answer;
use crate::cli::Failure;

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It looks.
    Looks,
    /// It adds something.
    Adds,
    /// It may change or end what is there.
    Destroys,
}

/// A tool: the type is what it is called with.
trait Action: DeserializeOwned + JsonSchema + 'static {
    /// Its name.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// What the model is told about it.
    const ABOUT: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;
    /// What it answers.
    type Output: Serialize + JsonSchema + 'static;

    /// Does it; the answer, and in words.
    fn run(self, call: &Call) -> Result<(Self::Output, String), Failure>;
}

/// A tool in the table.
pub struct Entry {
    /// As clients see it.
    pub tool: Tool,
    effect: Effect,
    /// Runs it. Blocks.
    pub run: fn(&Call, JsonObject) -> Result<Answer, Failure>,
}

impl Entry {
    /// Whether it changes nothing.
    pub fn looks(&self) -> bool {
        self.effect == Effect::Looks
    }
}

/// Every tool.
pub fn all() -> Vec<Entry> {
    vec![
        entry::<dispatch::Dispatch>(),
        entry::<waiting::Waiting>(),
        entry::<waiting::Logs>(),
        entry::<jobs::JobList>(),
        entry::<jobs::JobShow>(),
        entry::<jobs::JobCancel>(),
        entry::<fleet::FleetStatus>(),
        entry::<fleet::Roles>(),
        entry::<sessions::SessionList>(),
        entry::<sessions::SessionScreen>(),
        entry::<sessions::SessionSend>(),
        entry::<sessions::SessionKill>(),
        entry::<sessions::Inbox>(),
        entry::<fleet::FlowNote>(),
    ]
}

fn entry<T: Action>() -> Entry {
    let hints = ToolAnnotations::with_title(T::TITLE)
        .read_only(T::EFFECT == Effect::Looks)
        .destructive(T::EFFECT == Effect::Destroys);
    let mut input = short(&schema_for_type::<T>());
    // Some clients want it also where a tool takes nothing.
    input.entry("properties").or_insert_with(|| JsonObject::new().into());
    let tool = Tool::new(T::NAME, T::ABOUT, Arc::new(input))
        .with_title(T::TITLE)
        .with_raw_output_schema(Arc::new(short(&schema_for_output::<T::Output>())))
        .with_annotations(hints);
    Entry { tool, effect: T::EFFECT, run: run::<T> }
}

/// A schema without what models read for nothing: every client loads all of them.
fn short(schema: &JsonObject) -> JsonObject {
    let mut schema = schema.clone();
    for name in ["$schema", "title", "description"] {
        schema.remove(name);
    }
    schema
}

fn run<T: Action>(call: &Call, given: JsonObject) -> Result<Answer, Failure> {
    let (output, text) = arguments::<T>(given)?.run(call)?;
    Ok(Answer { text, data: serde_json::to_value(output)? })
}

/// A document of the command line within an answer.
type Document = serde_json::Map<String, serde_json::Value>;

/// Words of a command line.
fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// The field of a document as text, for a line of an answer.
fn field<'a>(document: &'a Document, name: &str) -> &'a str {
    document.get(name).and_then(serde_json::Value::as_str).unwrap_or("-")
}

/// Lines, or what is said when there are none.
fn listed(lines: impl Iterator<Item = String>, none: &str) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_schemas_and_words_of_its_own() {
        let tools = all();
        let mut names: Vec<_> = tools.iter().map(|entry| entry.tool.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), tools.len());
        for Entry { tool, .. } in &tools {
            let (input, output) = (&tool.input_schema, tool.output_schema.as_ref().unwrap());
            assert_eq!(
                (&input["type"], &output["type"]),
                (&"object".into(), &"object".into()),
                "{}",
                tool.name
            );
            assert_eq!(input["additionalProperties"], false, "{}", tool.name);
            let properties = input.get("properties").and_then(serde_json::Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                assert!(property["description"].is_string(), "{}: {name}", tool.name);
            }
        }
    }

    #[test]
    fn what_looks_is_what_reads() {
        let looks: Vec<_> = all().into_iter().filter(Entry::looks).map(|entry| entry.tool.name).collect();
        let expected = [
            "wait",
            "logs",
            "job_list",
            "job_show",
            "fleet_status",
            "roles",
            "session_list",
            "session_screen",
            "inbox",
        ];
        assert_eq!(looks, expected);
    }
}
