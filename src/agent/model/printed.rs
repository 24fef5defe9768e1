//! Reading calls that a model printed as text.

use serde_json::{Map, Value, json};

use super::split::{Family, Printed};

/// A call as it was printed: the tool and its arguments.
pub type Read = (String, Value);

/// Marks that stand at the end of a printed call and say nothing.
const ENDS: &[&str] = &["<|eom_id|>", "<|eot_id|>", "<|im_end|>", "</s>", "```"];

/// The calls that were printed; `None` when it is none that can be read. `tools` are those of the question: they say
/// which arguments are texts, and which names a bare object must have.
pub fn read(printed: &Printed, tools: &[Value]) -> Option<Vec<Read>> {
    let body = trimmed(&printed.body);
    let calls = match printed.family {
        Family::Hermes if body.starts_with("<function=") => {
            vec![function(&body["<function=".len()..], tools)?]
        }
        Family::Function => vec![function(body, tools)?],
        Family::Hermes | Family::Llama => objects(body)?,
        Family::Mistral => mistral(body)?,
        Family::Harmony => vec![harmony(body)?],
        Family::Bare => {
            let fenced = body.strip_prefix("```json").or_else(|| body.strip_prefix("```")).unwrap_or(body);
            let calls = objects(fenced.trim())?;
            calls.iter().all(|(name, _)| tool(tools, name).is_some()).then_some(calls)?
        }
    };
    (!calls.is_empty()).then_some(calls)
}

fn trimmed(body: &str) -> &str {
    let mut body = body.trim();
    while let Some(rest) = ENDS.iter().find_map(|end| body.strip_suffix(end)) {
        body = rest.trim_end();
    }
    body
}

/// Objects `{"name", "arguments"}`, or a list of them, one after the other.
fn objects(text: &str) -> Option<Vec<Read>> {
    let mut calls = Vec::new();
    for part in serde_json::Deserializer::from_str(&text.replace("};{", "}{")).into_iter::<Value>() {
        match part.ok()? {
            Value::Array(list) => calls.extend(list.iter().map(object).collect::<Option<Vec<_>>>()?),
            one => calls.push(object(&one)?),
        }
    }
    Some(calls)
}

fn object(value: &Value) -> Option<Read> {
    let value = value.get("function").filter(|inner| inner.is_object()).unwrap_or(value);
    let name = value.get("name")?.as_str()?;
    let given = ["arguments", "parameters", "args", "input"].iter().find_map(|key| value.get(key))?;
    // Some print the arguments as a text that holds JSON.
    let arguments = match given {
        Value::String(text) => serde_json::from_str(text).ok()?,
        given => given.clone(),
    };
    Some((name.trim_start_matches("functions.").to_owned(), arguments))
}

/// `name>` and `<parameter=key>value</parameter>`, or `name>{…}`.
fn function(text: &str, tools: &[Value]) -> Option<Read> {
    let text = text.trim().strip_suffix("</function>").unwrap_or(text.trim());
    let (name, mut rest) = text.split_once('>')?;
    let name = name.trim().trim_matches('"');
    if rest.trim_start().starts_with('{') {
        return Some((name.to_owned(), serde_json::from_str(rest.trim()).ok()?));
    }
    let mut arguments = Map::new();
    while let Some((_, from)) = rest.split_once("<parameter=") {
        let (key, from) = from.split_once('>')?;
        let (value, after) = from.split_once("</parameter>")?;
        // The line breaks beside the marks are no part of the value.
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        arguments.insert(key.trim().to_owned(), typed(tools, name, key.trim(), value));
        rest = after;
    }
    Some((name.to_owned(), Value::Object(arguments)))
}

/// A value as the tool's schema wants it: a text stays one, whatever it looks like.
fn typed(tools: &[Value], name: &str, key: &str, value: &str) -> Value {
    let schema = tool(tools, name).map(|tool| &tool["parameters"]["properties"][key]["type"]);
    match schema {
        Some(wanted) if wanted != "string" => {
            serde_json::from_str(value.trim()).unwrap_or_else(|_| json!(value))
        }
        _ => json!(value),
    }
}

fn tool<'t>(tools: &'t [Value], name: &str) -> Option<&'t Value> {
    tools.iter().map(|tool| tool.get("function").unwrap_or(tool)).find(|tool| tool["name"] == name)
}

fn mistral(text: &str) -> Option<Vec<Read>> {
    if text.starts_with(['[', '{']) {
        return objects(text);
    }
    let calls = text.split("[TOOL_CALLS]").map(|call| {
        let (name, arguments) = call.split_once("[ARGS]").or_else(|| Some(call.split_at(call.find('{')?)))?;
        Some((name.trim().to_owned(), serde_json::from_str(arguments.trim()).ok()?))
    });
    calls.collect()
}

/// `name … <|message|>{…}`.
fn harmony(text: &str) -> Option<Read> {
    let (head, arguments) = text.split_once("<|message|>")?;
    let name = head.split([' ', '<']).next()?;
    Some((name.to_owned(), serde_json::from_str(arguments.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<Value> {
        let properties = json!({ "path": {"type": "string"}, "limit": {"type": "integer"} });
        vec![
            json!({"type": "function", "function": {"name": "read", "parameters": {"properties": properties}}}),
        ]
    }

    fn of(family: Family, body: &str) -> Option<Vec<Read>> {
        read(&Printed { family, body: body.to_owned(), mark: "" }, &tools())
    }

    #[test]
    fn every_family_says_the_same() {
        let expected = vec![("read".to_owned(), json!({"path": "7", "limit": 3}))];
        for (family, body) in [
            (Family::Hermes, "\n{\"name\": \"read\", \"arguments\": {\"path\": \"7\", \"limit\": 3}}\n"),
            (Family::Hermes, r#"{"name":"read","arguments":"{\"path\":\"7\",\"limit\":3}"}"#),
            (
                Family::Hermes,
                "<function=read>\n<parameter=path>\n7\n</parameter>\n<parameter=limit>3</parameter>\n</function>",
            ),
            (Family::Function, "read>{\"path\":\"7\",\"limit\":3}"),
            (Family::Mistral, r#"[{"name":"read","arguments":{"path":"7","limit":3}}]</s>"#),
            (Family::Mistral, r#"read[ARGS]{"path":"7","limit":3}"#),
            (Family::Llama, r#"{"name":"read","parameters":{"path":"7","limit":3}}<|eom_id|>"#),
            (Family::Harmony, r#"read <|constrain|>json<|message|>{"path":"7","limit":3}"#),
            (Family::Bare, "```json\n{\"name\":\"read\",\"arguments\":{\"path\":\"7\",\"limit\":3}}\n```"),
        ] {
            assert_eq!(of(family, body).as_ref(), Some(&expected), "{body}");
        }
        assert_eq!(
            of(Family::Mistral, r#"read[ARGS]{"path":"a"}[TOOL_CALLS]read[ARGS]{"path":"b"}"#).unwrap().len(),
            2
        );
    }

    #[test]
    fn what_is_none_is_none() {
        for (family, body) in [
            (Family::Hermes, "{\"name\": \"read\", \"arg"),
            (Family::Hermes, "hello"),
            (Family::Function, "read"),
            (Family::Bare, r#"{"name": "somebody", "arguments": {}}"#),
            (Family::Bare, r#"{"total": 7}"#),
            (Family::Mistral, "[]"),
        ] {
            assert_eq!(of(family, body), None, "{body}");
        }
    }
}
