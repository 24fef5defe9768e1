//! A question as the API wants it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::ask::{Ask, Style};
use super::message::{Call, Message};

/// The body of the request. Without `counts` the server is not asked for usage: some refuse the question.
pub fn body(ask: &Ask<'_>, counts: bool) -> Value {
    let native = ask.style == Style::Native;
    let mut messages: Vec<Value> = Vec::with_capacity(ask.messages.len());
    for message in ask.messages {
        messages.push(if native { of_message(message) } else { of_message_in_text(message) });
    }
    if !native && !ask.tools.is_empty() {
        tell_of_tools(&mut messages, ask.tools);
    }
    let mut body = json!({ "model": ask.model, "messages": messages, "stream": true });
    if counts {
        body["stream_options"] = json!({ "include_usage": true });
    }
    if let Some(most) = ask.max_tokens {
        body["max_tokens"] = json!(most);
    }
    if native && !ask.tools.is_empty() {
        body["tools"] = json!(ask.tools);
    }
    body
}

fn of_message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({ "role": "system", "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls } if calls.is_empty() => {
            json!({ "role": "assistant", "content": text })
        }
        Message::Assistant { text, calls } => {
            let calls: Vec<Value> = calls.iter().map(of_call).collect();
            json!({ "role": "assistant", "content": text, "tool_calls": calls })
        }
        Message::Tool { id, name, text } => {
            json!({ "role": "tool", "tool_call_id": id, "name": name, "content": text })
        }
    }
}

fn of_call(call: &Call) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": sound_arguments(call) },
    })
}

/// The arguments as JSON text. What the model wrote may be none, and servers that put it into a template would fail
/// at every later question.
fn sound_arguments(call: &Call) -> String {
    let is_object = serde_json::from_str::<Value>(&call.arguments).is_ok_and(|value| value.is_object());
    if is_object { call.arguments.clone() } else { json!({ "not_json": call.arguments }).to_string() }
}

/// The same for a model that knows no tools: calls stand in its text, and what they came to in ours.
fn of_message_in_text(message: &Message) -> Value {
    match message {
        Message::Assistant { text, calls } => {
            let mut text = text.clone();
            for call in calls {
                let arguments: Value =
                    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!(call.arguments));
                let call = json!({ "name": call.name, "arguments": arguments });
                let _ = write!(text, "\n<tool_call>{call}</tool_call>");
            }
            json!({ "role": "assistant", "content": text.trim_start() })
        }
        Message::Tool { name, text, .. } => {
            json!({ "role": "user", "content": format!("<tool_response name=\"{name}\">\n{text}\n</tool_response>") })
        }
        other => of_message(other),
    }
}

/// Says in the first message which tools there are, and how they are called.
fn tell_of_tools(messages: &mut Vec<Value>, tools: &[Value]) {
    let mut words = "\n\n# Tools\n\nYou work by tools. To call one, write a line of this form and end your answer; \
                     the result comes as the next message:\n\n<tool_call>{\"name\": \"<tool>\", \"arguments\": \
                     {…}}</tool_call>\n\nThe tools, each with the JSON schema of its arguments:\n"
        .to_owned();
    for tool in tools {
        let _ = write!(words, "\n{}", tool.get("function").unwrap_or(tool));
    }
    match messages.first_mut() {
        Some(first) if first["role"] == "system" => {
            let text = first["content"].as_str().unwrap_or_default();
            first["content"] = json!(format!("{text}{words}"));
        }
        _ => messages.insert(0, json!({ "role": "system", "content": words.trim_start() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        let call =
            |arguments: &str| Call { id: "c1".into(), name: "read".into(), arguments: arguments.into() };
        vec![
            Message::System { text: "be good".into() },
            Message::User { text: "look".into() },
            Message::Assistant {
                text: "I look".into(),
                calls: vec![call(r#"{"path":"a"}"#), call("{broken")],
            },
            Message::Tool { id: "c1".into(), name: "read".into(), text: "1 x".into() },
        ]
    }

    #[test]
    fn calls_that_are_no_json_do_not_spoil_the_questions_that_follow() {
        let (messages, tools) = (conversation(), [json!({"type":"function","function":{"name":"read"}})]);
        let ask =
            Ask { model: "m", messages: &messages, tools: &tools, style: Style::Native, max_tokens: Some(7) };
        let body = body(&ask, true);
        let calls = &body["messages"][2]["tool_calls"];
        assert_eq!(calls[0]["function"]["arguments"], r#"{"path":"a"}"#);
        assert_eq!(calls[1]["function"]["arguments"], r#"{"not_json":"{broken"}"#);
        assert_eq!(body["tools"][0]["function"]["name"], "read");
        assert_eq!((&body["max_tokens"], &body["stream"]), (&json!(7), &json!(true)));
    }

    #[test]
    fn a_model_without_tools_is_told_of_them_in_words() {
        let (messages, tools) = (conversation(), [json!({"type":"function","function":{"name":"read"}})]);
        let ask =
            Ask { model: "m", messages: &messages, tools: &tools, style: Style::Text, max_tokens: None };
        let body = body(&ask, false);
        let text = |at: usize| body["messages"][at]["content"].as_str().unwrap().to_owned();
        assert!(text(0).starts_with("be good") && text(0).contains(r#"{"name":"read"}"#), "{}", text(0));
        assert!(
            text(2).contains(r#"<tool_call>{"arguments":{"path":"a"},"name":"read"}</tool_call>"#),
            "{}",
            text(2)
        );
        assert!(text(3).starts_with("<tool_response name=\"read\">"), "{}", text(3));
        assert!(body.get("tools").is_none() && body.get("stream_options").is_none());
    }
}
