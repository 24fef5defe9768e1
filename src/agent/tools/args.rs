//! A call's arguments: JSON as models write it, read into what a tool takes.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Refusal, ToolName};

/// Longest arguments of a call, in bytes.
const ARGUMENTS_MAX: usize = 4 * 1024 * 1024;

/// The arguments of one call.
#[derive(Debug)]
pub struct Arguments {
    tool: ToolName,
    value: Value,
}

impl Arguments {
    /// Reads what the model wrote. Nothing at all counts as no arguments.
    pub fn parse(tool: ToolName, text: &str) -> Result<Self, Refusal> {
        if text.len() > ARGUMENTS_MAX {
            return Err(Refusal::new(format!(
                "the arguments of `{}` are longer than {ARGUMENTS_MAX} bytes; do it in smaller steps",
                tool.as_str()
            )));
        }
        let value = match serde_json::from_str(if text.trim().is_empty() { "{}" } else { text }) {
            Ok(value @ Value::Object(_)) => value,
            // Some models write the object as a text.
            Ok(Value::String(inner)) => serde_json::from_str::<Map<_, _>>(&inner)
                .map(Value::Object)
                .map_err(|error| wrong(tool, &error))?,
            Ok(_) => return Err(wrong(tool, &"no JSON object")),
            Err(error) => return Err(wrong(tool, &error)),
        };
        Ok(Self { tool, value })
    }

    /// What the tool takes.
    pub fn take<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        T::deserialize(self.value).map_err(|error| wrong(self.tool, &error))
    }
}

fn wrong(tool: ToolName, why: &dyn std::fmt::Display) -> Refusal {
    let (name, shape) = (tool.as_str(), tool.shape());
    Refusal::new(format!("the arguments of `{name}` can't be read: {why}. It takes {shape}"))
}

/// A number that may be written as a text, as some models do.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_f64().and_then(whole));
            whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number from 0")))
        }
        Value::String(text) => {
            text.trim().parse().map(Some).map_err(|_| D::Error::custom("a text where a number belongs"))
        }
        _ => Err(D::Error::custom("something else where a number belongs")),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is whole and small.
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "number")]
        limit: Option<u64>,
    }

    fn limit(text: &str) -> Result<Option<u64>, Refusal> {
        Arguments::parse(ToolName::Read, text)?.take::<Sample>().map(|sample| sample.limit)
    }

    #[test]
    fn arguments_are_read_as_models_write_them() {
        for text in [r#"{"limit":5}"#, r#"{"limit":"5"}"#, r#"{"limit":5.0}"#, r#""{\"limit\":5}""#] {
            assert_eq!(limit(text), Ok(Some(5)), "{text}");
        }
        for text in ["", "{}", r#"{"limit":null}"#] {
            assert_eq!(limit(text), Ok(None), "{text}");
        }
        for text in ["{", "[]", "5", r#"{"limit":-1}"#, r#"{"limit":"x"}"#, r#"{"limit":[]}"#, r#""x""#] {
            let Refusal(words) = limit(text).unwrap_err();
            assert!(words.contains("can't be read") && words.contains("`path`"), "{text}: {words}");
        }
        let long = format!(r#"{{"limit":5,"other":"{}"}}"#, "x".repeat(ARGUMENTS_MAX));
        assert!(limit(&long).is_err());
    }
}
