//! An answer from its pieces.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::ask::{Answer, Finish, Piece, Usage};
use super::error::AskError;
use super::message::Call;
use super::printed;
use super::split::{Parts, Splitter};

/// Largest answer, in bytes: text, reasoning and arguments together.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// Most calls of one answer.
const CALLS_MAX: usize = 64;

/// The names of the field that reasoning comes in, by server family.
const REASONING_FIELDS: &[&str] = &["reasoning_content", "reasoning", "reasoning_text"];

/// How reasoning between marks is called, as in darkmux 1.9.
const INLINE: &str = "inline-think-tags";

/// Takes the pieces of one answer.
#[derive(Debug, Default)]
pub struct Assembler {
    splitter: Splitter,
    reasoning: String,
    format: Option<&'static str>,
    calls: Vec<Growing>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    taken: usize,
    begun: bool,
}

/// A call that comes in pieces.
#[derive(Debug)]
struct Growing {
    index: Option<u64>,
    call: Call,
}

impl Assembler {
    /// Takes a chunk of the stream, or a whole answer. Tells what is known to be text, reasoning or a call.
    pub fn take(&mut self, chunk: &Value, tell: &mut dyn FnMut(Piece<'_>)) -> Result<(), AskError> {
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return Err(AskError::of_event(chunk));
        }
        let usage = chunk.get("usage").and_then(|usage| Usage::deserialize(usage).ok());
        self.usage = usage.filter(Usage::is_plausible).or(self.usage);
        let Some(choice) = chunk["choices"].get(0) else { return Ok(()) };
        let delta = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
        self.take_reasoning(delta, tell);
        self.take_content(&delta["content"], tell);
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            self.take_call(piece, tell);
        }
        if let Some(word) = choice["finish_reason"].as_str() {
            self.finish = Some(Finish::of_word(word));
        }
        if self.taken > ANSWER_MAX {
            return Err(AskError::Foreign(format!("its answer is larger than {ANSWER_MAX} bytes")));
        }
        Ok(())
    }

    /// Whether the answer has begun: whether there was anything of it.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the server said that the answer is complete.
    pub fn is_complete(&self) -> bool {
        self.finish.is_some()
    }

    fn take_reasoning(&mut self, delta: &Value, tell: &mut dyn FnMut(Piece<'_>)) {
        // Some servers send the same under two names.
        let found = REASONING_FIELDS.iter().find_map(|field| Some((*field, delta[*field].as_str()?)));
        let Some((field, text)) = found.filter(|(_, text)| !text.is_empty()) else { return };
        self.grow(text.len());
        self.reason(field, text, tell);
    }

    /// Takes reasoning that comes beside the text.
    fn reason(&mut self, format: &'static str, text: &str, tell: &mut dyn FnMut(Piece<'_>)) {
        self.splitter.reasons_apart();
        self.format.get_or_insert(format);
        self.reasoning.push_str(text);
        tell(Piece::Reasoning(text));
    }

    fn take_content(&mut self, content: &Value, tell: &mut dyn FnMut(Piece<'_>)) {
        match content {
            Value::String(text) if !text.is_empty() => {
                self.grow(text.len());
                self.splitter.push(text, tell);
            }
            // Mistral's servers send a list of parts.
            Value::Array(parts) => {
                for part in parts {
                    let thought =
                        part["thinking"].as_str().or_else(|| part.pointer("/thinking/0/text")?.as_str());
                    if let Some(thought) = thought {
                        self.grow(thought.len());
                        self.reason("thinking-parts", thought, tell);
                    } else if let Some(text) = part["text"].as_str() {
                        self.grow(text.len());
                        self.splitter.push(text, tell);
                    }
                }
            }
            _ => {}
        }
    }

    fn take_call(&mut self, piece: &Value, tell: &mut dyn FnMut(Piece<'_>)) {
        let index = piece["index"].as_u64();
        let id = piece["id"].as_str().unwrap_or_default();
        let name = piece["function"]["name"].as_str().unwrap_or_default();
        let arguments = match &piece["function"]["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            // Ollama's own shape.
            object => object.to_string(),
        };
        self.grow(name.len() + arguments.len() + 1);
        let Some(growing) = self.growing(index, id) else { return };
        let call = &mut growing.call;
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        let is_new = call.name.is_empty() && !name.is_empty();
        // A name may come in pieces, and may be repeated with each piece of the arguments.
        if call.arguments.is_empty() && call.name != name {
            call.name.push_str(name);
        }
        call.arguments.push_str(&arguments);
        if is_new {
            tell(Piece::Call(&call.name));
        }
    }

    /// The call that a piece belongs to.
    fn growing(&mut self, index: Option<u64>, id: &str) -> Option<&mut Growing> {
        let same = |growing: &Growing| {
            // Some servers give every call the same index, and each an id of its own.
            let other_id = !id.is_empty() && !growing.call.id.is_empty() && growing.call.id != id;
            growing.index == index && !other_id
        };
        let place = self
            .calls
            .iter()
            .rposition(same)
            .filter(|place| index.is_some() || *place + 1 == self.calls.len());
        let place = match place {
            Some(place) => place,
            None if self.calls.len() >= CALLS_MAX => return None,
            None => {
                let call = Call { id: String::new(), name: String::new(), arguments: String::new() };
                self.calls.push(Growing { index, call });
                self.calls.len() - 1
            }
        };
        self.calls.get_mut(place)
    }

    fn grow(&mut self, bytes: usize) {
        self.taken += bytes;
        self.begun = true;
    }

    /// The answer. `tools` are those of the question.
    pub fn finish(mut self, tools: &[Value], tell: &mut dyn FnMut(Piece<'_>)) -> Answer {
        let Parts { mut text, reasoning, printed } = self.splitter.finish(tell);
        if !reasoning.is_empty() {
            self.format.get_or_insert(INLINE);
            self.reasoning.push_str(&reasoning);
        }
        let mut calls: Vec<Call> = self.calls.into_iter().map(|growing| growing.call).collect();
        let mut broken_calls = Vec::new();
        for one in &printed {
            match printed::read(one, tools) {
                Some(read) => calls.extend(read.into_iter().map(|(name, arguments)| Call {
                    id: String::new(),
                    name,
                    arguments: arguments.to_string(),
                })),
                // Nothing but JSON, and no call: that is the answer.
                None if one.mark.is_empty() => {
                    text.push_str(&one.body);
                    tell(Piece::Text(&one.body));
                }
                None => broken_calls.push(format!("{}{}", one.mark, one.body)),
            }
        }
        calls.truncate(CALLS_MAX);
        name_calls(&mut calls);
        let finish = match self.finish.unwrap_or_default() {
            Finish::Stop if !calls.is_empty() => Finish::Calls,
            finish => finish,
        };
        Answer {
            text: text.trim().to_owned(),
            reasoning: self.reasoning,
            reasoning_format: self.format,
            calls,
            broken_calls,
            finish,
            usage: self.usage,
        }
    }
}

/// Gives each call a name of its own in the conversation; models leave them out, or repeat them.
fn name_calls(calls: &mut [Call]) {
    for at in 0..calls.len() {
        let (before, rest) = calls.split_at_mut(at);
        let call = &mut rest[0];
        if call.id.is_empty() || before.iter().any(|other| other.id == call.id) {
            call.id = format!("call_{}", &Uuid::new_v4().simple().to_string()[..12]);
        }
        if call.arguments.trim().is_empty() {
            "{}".clone_into(&mut call.arguments);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(deltas: &[Value]) -> Answer {
        let mut assembler = Assembler::default();
        for delta in deltas {
            assembler.take(&json!({ "choices": [{ "delta": delta }] }), &mut |_| {}).unwrap();
        }
        assembler.finish(&[], &mut |_| {})
    }

    #[test]
    fn calls_come_in_pieces_and_side_by_side() {
        let piece = |index: u64, id: &str, name: &str, arguments: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]});
        let found = answer(&[
            piece(0, "a", "read", ""),
            piece(1, "b", "se", ""),
            piece(0, "", "", "{\"path\":"),
            piece(1, "", "arch", "{"),
            piece(0, "", "read", "\"x\"}"),
            piece(1, "", "", "}"),
            piece(0, "c", "read", "{}"),
        ]);
        let calls: Vec<_> = found
            .calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("a", "read", "{\"path\":\"x\"}"), ("b", "search", "{}"), ("c", "read", "{}")]);
        assert_eq!(found.finish, Finish::Calls);
    }

    #[test]
    fn an_answer_has_a_bound_in_bytes_and_in_calls() {
        let content = "x".repeat(ANSWER_MAX / 4);
        let chunk = json!({ "choices": [{ "delta": { "content": content } }] });
        let mut assembler = Assembler::default();
        let taken: Vec<bool> = (0..5).map(|_| assembler.take(&chunk, &mut |_| {}).is_ok()).collect();
        assert_eq!(taken, [true, true, true, true, false]);
        let calls: Vec<Value> = (0..CALLS_MAX + 9)
            .map(|at| json!({"tool_calls": [{"index": at, "function": {"name": "read", "arguments": "{}"}}]}))
            .collect();
        assert_eq!(answer(&calls).calls.len(), CALLS_MAX);
    }

    #[test]
    fn calls_without_index_or_id_get_names_of_their_own() {
        let call = |name: &str| json!({"tool_calls": [{"id": "x", "function": {"name": name, "arguments": {"a": 1}}}]});
        let found =
            answer(&[call("read"), json!({"tool_calls": [{"id": "y", "function": {"name": "plan"}}]})]);
        assert_eq!(
            (found.calls[0].arguments.as_str(), found.calls[1].arguments.as_str()),
            ("{\"a\":1}", "{}")
        );
        let bare = json!({"content": "<tool_call>{\"name\":\"a\",\"arguments\":{}}{\"name\":\"b\",\"arguments\":{}}</tool_call>"});
        let found = answer(&[bare]);
        assert!(found.calls.len() == 2 && found.calls[0].id != found.calls[1].id, "{found:?}");
    }

    #[test]
    fn reasoning_of_every_field_is_reasoning() {
        for (delta, format) in [
            (json!({"reasoning_content": "hm"}), "reasoning_content"),
            (json!({"reasoning": "hm"}), "reasoning"),
            (json!({"content": "<think>hm</think>"}), "inline-think-tags"),
            (
                json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
                "thinking-parts",
            ),
        ] {
            let found = answer(&[delta.clone(), json!({"content": "yes"})]);
            assert_eq!((found.reasoning.as_str(), found.text.as_str()), ("hm", "yes"), "{delta}");
            assert_eq!(found.reasoning_format, Some(format));
        }
    }

    #[test]
    fn where_reasoning_has_a_field_a_mark_of_its_end_is_a_word() {
        let text = "Fixed: it closes\n</think>\nat the end of a line.";
        let found = answer(&[json!({"reasoning_content": "hm"}), json!({"content": text})]);
        assert_eq!((found.reasoning.as_str(), found.text.as_str()), ("hm", text));
    }

    #[test]
    fn usage_that_can_t_be_true_is_none() {
        let used = |usages: &[Value]| {
            let mut assembler = Assembler::default();
            for usage in usages {
                assembler.take(&json!({ "choices": [], "usage": usage }), &mut |_| {}).unwrap();
            }
            assembler.finish(&[], &mut |_| {}).usage
        };
        let zeros = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
        let most = json!({ "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX });
        let half = json!({ "completion_tokens": 20 });
        for odd in [json!({}), zeros.clone(), most, half, json!(null), json!("7")] {
            assert_eq!(used(std::slice::from_ref(&odd)), None, "{odd}");
        }
        let real = json!({ "prompt_tokens": 100, "completion_tokens": 20 });
        assert_eq!(used(&[real, zeros]).map(|usage| usage.total()), Some(120));
    }

    #[test]
    fn a_broken_call_is_told_and_json_that_is_none_is_text() {
        let found = answer(&[json!({"content": "x <tool_call>{\"name\": </tool_call>"})]);
        assert_eq!(
            (found.text.as_str(), found.broken_calls.as_slice()),
            ("x", &["<tool_call>{\"name\": ".to_owned()][..])
        );
        assert_eq!(answer(&[json!({"content": "{\"total\": 7}"})]).text, "{\"total\": 7}");
    }
}
