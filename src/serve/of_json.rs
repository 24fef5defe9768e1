//! Bodies of JSON. What is wrong with one is said here, for every path, by the key that is to blame.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ApiError;
use super::params::shown;

/// Longest list of keys in a message, in characters.
const KEYS_SHOWN: usize = 300;

/// Reads a body; none is an empty object.
pub fn of_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    // A list would be taken for the values of the keys, in their order.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let read = if is_object { serde_json::from_slice(body).ok() } else { None };
    read.ok_or_else(|| ApiError::bad_request("bad_request", why::<T>(body)))
}

/// Why a body is not understood.
fn why<T: DeserializeOwned>(body: &[u8]) -> String {
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        Ok(other) => return format!("the body is `{}`; it takes an object", shown(&other.to_string())),
        Err(error) if error.is_eof() => return "the body breaks off; it takes an object of JSON".to_owned(),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return format!("the body is no JSON from line {line}, column {column} on; it takes an object");
        }
    };
    let read = |object| T::deserialize(&Value::Object(object)).err().map(|error| error.to_string());
    let Some(error) = read(object.clone()) else {
        return "the body has a key twice; write it once".to_owned();
    };
    if let Some(name) = error.strip_prefix("missing field ") {
        return format!("the body has no {}, which it takes", shown(name));
    }
    if let Some((name, known)) =
        error.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected "))
    {
        let known: String = known.trim_start_matches("one of ").chars().take(KEYS_SHOWN).collect();
        return format!("the body has {}, which means nothing there; it takes {known}", shown(name));
    }
    // A value that can't be read ends the reading, whatever stands beside it.
    let mut keys = object.into_iter();
    let blamed = keys
        .find(|(key, value)| read(Map::from_iter([(key.clone(), value.clone())])).as_ref() == Some(&error));
    match blamed {
        Some((key, value)) => of_value(&key, &value, &error),
        None => format!("the body is not understood: {}", shown(&error)),
    }
}

/// What is wrong with the value of a key, by the reader's words for it.
fn of_value(key: &str, value: &Value, error: &str) -> String {
    let given = match value {
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    };
    let start = format!("`{}` is `{given}`", shown(key));
    let Some((found, expected)) = error.split_once(", expected ") else {
        return format!("{start}: {}", shown(error));
    };
    let wanted = wanted(expected);
    if value.is_array() || value.is_object() {
        let found = found.split_once(": ").map_or(found, |(_, found)| found);
        return format!("{start}; it takes {wanted} in the place of {}", shown(found));
    }
    format!("{start}; it takes {wanted}")
}

/// What is wanted, in words.
fn wanted(expected: &str) -> String {
    let most = |most: u32| format!("a whole number, at most {most}");
    match expected {
        "a string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u8" => most(u8::MAX.into()),
        "u16" => most(u16::MAX.into()),
        "u32" => most(u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a map" => "an object".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{LaunchBody, RenameBody};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // It is only read.
    struct Strict {
        role: String,
        message: String,
    }

    #[test]
    fn the_key_that_is_to_blame_is_named_with_what_it_takes() {
        fn said<T: DeserializeOwned>(body: &str) -> String {
            of_json::<T>(body.as_bytes()).err().map(|error| format!("{error:?}")).unwrap_or_default()
        }
        for (body, words) in [
            ("[]", "the body is `[]`; it takes an object"),
            ("{\"cwd\":", "the body breaks off"),
            ("{\"cwd\":x}", "no JSON from line 1, column 8 on"),
            ("{\"cwd\":7}", "`cwd` is `7`; it takes a text"),
            ("{\"name\":\"x\",\"command\":\"ls\"}", "`command` is `ls`; it takes a list"),
            ("{\"command\":[1]}", "`command` is `[1]`; it takes a text in the place of integer `1`"),
            (
                "{\"size\":{\"cols\":-1,\"rows\":1}}",
                "it takes a whole number, at most 65535 in the place of integer `-1`",
            ),
            ("{\"size\":{\"cols\":80}}", "the body has no `rows`"),
            ("{\"name\":\"a\",\"name\":\"b\"}", "a key twice"),
        ] {
            let said = said::<LaunchBody>(body);
            assert!(said.contains(words), "{body}: {said}");
        }
        assert!(said::<RenameBody>("").contains("the body has no `name`"));
        let typo = said::<Strict>("{\"role\":\"a\",\"mesage\":\"b\"}");
        assert!(
            typo.contains("the body has `mesage`, which means nothing") && typo.contains("`message`"),
            "{typo}"
        );
        let odd = said::<LaunchBody>(&format!("{{\"size\":\"\u{1b}[2J{}\"}}", "x".repeat(500)));
        assert!(!odd.contains('\u{1b}') && odd.len() < 400, "{odd}");
    }
}
