//! What a line of a day file is.

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON object.
    Record,
    /// The line that says which schema the file has.
    Header,
    /// Nothing but blanks.
    Blank,
    /// Anything else: torn, not UTF-8, not JSON, no object.
    Bad,
}

/// What a record counts for in the list of days.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// It starts a dispatch.
    pub(super) dispatch: bool,
    /// The mission it names.
    pub(super) mission: Option<String>,
}

/// Says what the line is. Checks the whole line, keeps nothing of it.
pub(super) fn kind(line: &[u8]) -> Kind {
    let Ok(text) = std::str::from_utf8(line) else { return Kind::Bad };
    let text = text.trim_matches([' ', '\t', '\r']);
    if text.is_empty() {
        return Kind::Blank;
    }
    if !text.starts_with('{') || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Kind::Bad;
    }
    if memmem::find(line, b"\"_type\"").is_some() && is_header(text) { Kind::Header } else { Kind::Record }
}

fn is_header(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "_type")]
        kind: Option<Value>,
    }
    serde_json::from_str::<Typed>(text).is_ok_and(|typed| typed.kind.is_some_and(|kind| kind == "schema"))
}

/// What a record counts for. Both spellings of 1.9's start record count.
pub(super) fn counts(record: &[u8]) -> Counts {
    #[derive(Deserialize)]
    struct Named {
        action: Option<Value>,
        mission_id: Option<Value>,
    }
    let hit = |needle: &[u8]| memmem::find(record, needle).is_some();
    if !hit(b"mission_id") && !hit(b"dispatch start") && !hit(b"dispatch.start") {
        return Counts::default();
    }
    let Ok(named) = serde_json::from_slice::<Named>(record) else { return Counts::default() };
    let action = named.action.as_ref().and_then(Value::as_str);
    Counts {
        dispatch: matches!(action, Some("dispatch start" | "dispatch.start")),
        mission: named.mission_id.as_ref().and_then(Value::as_str).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        for (line, expected) in [
            (&br#"{"action":"note"}"#[..], Kind::Record),
            (b" {} ", Kind::Record),
            (b"{\r\"a\":1}", Kind::Record),
            (br#"{"_type":"schema","version":"1.14.0"}"#, Kind::Header),
            (br#"{"_type":"other"}"#, Kind::Record),
            (br#"{"handle":"\"_type\":\"schema\""}"#, Kind::Record),
            (b"", Kind::Blank),
            (b" \t", Kind::Blank),
            (br#"{"a":1"#, Kind::Bad),
            (br#"{"a":1}{"b":2}"#, Kind::Bad),
            (b"[1]", Kind::Bad),
            (b"null", Kind::Bad),
            (b"{\"a\":\"\xff\"}", Kind::Bad),
            (b"{\"a\":\"\x00\"}", Kind::Bad),
            (b"\xef\xbb\xbf{}", Kind::Bad),
        ] {
            assert_eq!(kind(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn starts_and_missions_are_counted() {
        assert!(counts(br#"{"action":"dispatch start"}"#).dispatch);
        assert!(counts(br#"{"action":"dispatch.start"}"#).dispatch);
        assert!(!counts(br#"{"action":"note","handle":"dispatch start"}"#).dispatch);
        assert_eq!(counts(br#"{"mission_id":"m1"}"#).mission.as_deref(), Some("m1"));
        assert_eq!(counts(br#"{"mission_id":7}"#), Counts::default());
    }
}
