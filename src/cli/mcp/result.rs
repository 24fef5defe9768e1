//! What a call answers: a short text for whoever reads, the same as data, both clean and bounded.

use serde_json::Value;

use crate::cli::{Exit, Failure};
use crate::util::visible;

/// Longest answer as data, in bytes.
const DATA_MAX: usize = 1024 * 1024;

/// Longest text, in bytes.
const TEXT_MAX: usize = 300 * 1024;

/// Most of one text in the data, in bytes, as the longest output that can be asked for.
const STRING_MAX: usize = OUTPUT_MAX;

/// Output that is given where nobody says how much, in bytes.
const OUTPUT: usize = 16 * 1024;

/// Most output that can be asked for, in bytes.
const OUTPUT_MAX: usize = 256 * 1024;

/// What a call answers.
#[derive(Debug)]
pub struct Answer {
    /// In words.
    pub text: String,
    /// The same as data, in the form of the tool's output schema.
    pub data: Value,
}

/// The answer with nothing hidden in it; a failure where it is too long.
pub fn bounded(answer: Answer) -> Result<Answer, Failure> {
    let Answer { text, mut data } = answer;
    clean(&mut data);
    let size = serde_json::to_vec(&data)?.len();
    if size > DATA_MAX {
        let words = format!("the answer has {size} bytes, and {DATA_MAX} is the most; ask for less");
        return Err(Failure::new(Exit::Failed, words));
    }
    Ok(Answer { text: cut(visible(&text).into_owned(), TEXT_MAX), data })
}

/// Makes every text in it visible and bounds it. Keys are darkmux's own, but for names that it checked.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = cut(visible(text).into_owned(), STRING_MAX),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

/// The end of a terminal's output as plain text, of about as many bytes as were asked for; whether that is not all.
pub fn output(raw: &str, asked: Option<u32>) -> (String, bool) {
    let max = asked.map_or(OUTPUT, |max| usize::try_from(max).unwrap_or(OUTPUT_MAX)).min(OUTPUT_MAX);
    let plain = anstream::adapter::strip_str(raw).to_string();
    // Of a line that was written over again and again the last state counts.
    let over = |line: &str| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().to_owned();
    let text = plain.split('\n').map(over).collect::<Vec<_>>().join("\n");
    let text = visible(&text).into_owned();
    if text.len() <= max {
        return (text, false);
    }
    let tail = &text[text.ceil_char_boundary(text.len() - max)..];
    // It begins with a whole line, where there is one.
    let whole = tail.find('\n').map(|at| &tail[at + 1..]).filter(|rest| !rest.is_empty());
    (whole.unwrap_or(tail).to_owned(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn output_is_the_end_as_a_person_saw_it() {
        assert_eq!(output("\x1b[31mred\x1b[0m\r\n10%\r50%\rdone\n", None), ("red\ndone\n".to_owned(), false));
        assert_eq!(output("one\ntwo\nthree", Some(7)), ("three".to_owned(), true));
        assert_eq!(output("äöü", Some(3)), ("ü".to_owned(), true));
        assert_eq!(output("a\u{202e}b", None).0, "a\\u{202e}b");
        assert!(output(&"x".repeat(1 << 20), Some(u32::MAX)).0.len() <= OUTPUT_MAX);
    }

    #[test]
    fn an_answer_hides_nothing_and_has_a_bound() {
        let hostile = json!({ "a": ["\u{1b}]0;x\u{7}"], "b": { "c": "x".repeat(2 * STRING_MAX) } });
        let answer = bounded(Answer { text: "\u{9b}31m".to_owned(), data: hostile }).unwrap();
        assert_eq!(answer.text, "\\u{9b}31m");
        assert_eq!(answer.data["a"][0], "\\u{1b}]0;x\\u{7}");
        assert_eq!(answer.data["b"]["c"].as_str().unwrap().len(), STRING_MAX);
        let long = json!(vec!["x".repeat(STRING_MAX); 8]);
        assert!(bounded(Answer { text: String::new(), data: long }).is_err());
    }

    proptest! {
        #[test]
        fn any_output_is_bounded_text(raw in any::<String>(), max in 0u32..64) {
            let (text, _) = output(&raw, Some(max));
            prop_assert!(text.len() <= max as usize);
            prop_assert_eq!(visible(&text), text.as_str());
        }
    }
}
