//! A record as a line: the header of a day file, the JSON, and the cut of what is too long.
//!
//! Invariant: every record becomes one line of valid JSON that fits in [`store::LINE_WRITE_MAX`](crate::store),
//! in the local file and, with the two hashes, in the audit chain. What was cut says so and how much it was.

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{FLOW_SCHEMA, FlowRecord};
use crate::store::LINE_WRITE_MAX;

/// Version of this program in a header line.
pub const WRITER: &str = env!("CARGO_PKG_VERSION");

/// Longest JSON of a record: what an audit line adds (two hashes with their keys, 152 bytes) still fits.
const RECORD_MAX: usize = LINE_WRITE_MAX - 256;

/// Lengths in bytes that texts are cut to, one after the other, until the record fits. At the last one every
/// text of a record fits even when each byte is escaped as six.
const CUTS: &[usize] = &[32_768, 16_384, 8_192, 4_096, 2_048, 1_024, 512];

/// The first line of a day file. Keys are sorted, as 1.9 writes them.
#[derive(Serialize)]
struct Header {
    #[serde(rename = "_type")]
    kind: &'static str,
    darkmux_version: &'static str,
    version: &'static str,
}

/// The header line of a day file, without its newline.
pub fn header() -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Header { kind: "schema", darkmux_version: WRITER, version: FLOW_SCHEMA })
}

/// Shortens a record until its JSON fits; one that fits is left as it is. Returns its JSON.
pub fn fit(record: &mut FlowRecord) -> Result<Vec<u8>, serde_json::Error> {
    let line = serde_json::to_vec(record)?;
    if line.len() <= RECORD_MAX {
        return Ok(line);
    }
    let was = line.len();
    for cut in CUTS {
        for text in texts(record) {
            shorten(text, *cut);
        }
        if let Some(payload) = &mut record.payload {
            shorten_within(payload, *cut);
        }
        let line = serde_json::to_vec(record)?;
        if line.len() <= RECORD_MAX {
            return Ok(line);
        }
    }
    record.payload = Some(json!({ "truncated": true, "record_bytes": was }));
    serde_json::to_vec(record)
}

fn texts(record: &mut FlowRecord) -> impl Iterator<Item = &mut String> {
    let optional = [
        &mut record.sprint_id,
        &mut record.session_id,
        &mut record.source,
        &mut record.model,
        &mut record.reasoning,
        &mut record.mission_id,
        &mut record.machine_id,
        &mut record.machine_uid,
        &mut record.orchestrator,
        &mut record.work_id,
    ];
    [&mut record.ts, &mut record.action, &mut record.handle].into_iter().chain(optional.into_iter().flatten())
}

fn shorten_within(value: &mut Value, cut: usize) {
    match value {
        Value::String(text) => shorten(text, cut),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten_within(item, cut)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten_within(field, cut)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a text to about `cut` bytes, the marker included.
fn shorten(text: &mut String, cut: usize) {
    if text.len() <= cut {
        return;
    }
    let marker = format!("… [truncated: {} bytes in all]", text.len());
    text.truncate(text.floor_char_boundary(cut.saturating_sub(marker.len())));
    text.push_str(&marker);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Category, Level, Stage, Tier};
    use proptest::prelude::*;

    fn record(handle: String, payload: Option<Value>) -> FlowRecord {
        let class = (Level::Info, Category::Work, Tier::Local, Stage::Dispatch);
        FlowRecord { payload, ..FlowRecord::new(class, "note", handle) }
    }

    #[test]
    fn the_header_is_that_of_1_9() {
        let said = String::from_utf8(header().unwrap()).unwrap();
        let of_1_9 = r#"{"_type":"schema","darkmux_version":"1.9.0","version":"1.14.0"}"#;
        assert_eq!(said, of_1_9.replace("1.9.0", WRITER));
    }

    #[test]
    fn payload_keys_are_sorted() {
        let mut record = record("x".into(), Some(json!({ "b": 1, "a": { "d": 1, "c": 2 } })));
        let line = String::from_utf8(fit(&mut record).unwrap()).unwrap();
        assert!(line.ends_with(r#""payload":{"a":{"c":2,"d":1},"b":1}}"#), "{line}");
    }

    #[test]
    fn what_fits_is_left_and_what_is_cut_says_how_long_it_was() {
        let mut fits = record("x".repeat(60_000), None);
        fit(&mut fits).unwrap();
        assert_eq!(fits.handle.len(), 60_000);

        let mut long = record("kept".into(), Some(json!({ "text": "ä".repeat(100_000), "n": 7 })));
        let line = fit(&mut long).unwrap();
        assert!(line.len() <= RECORD_MAX && line.len() > 30_000, "{}", line.len());
        let back: FlowRecord = serde_json::from_slice(&line).unwrap();
        let payload = back.payload.unwrap();
        assert_eq!(payload["n"], 7);
        let text = payload["text"].as_str().unwrap();
        assert!(text.starts_with("ää") && text.ends_with("… [truncated: 200000 bytes in all]"));
        assert_eq!(back.handle, "kept");
    }

    #[test]
    fn a_payload_of_many_small_things_is_replaced() {
        let mut wide = record("x".into(), Some((0..40_000).collect::<Vec<_>>().into()));
        assert!(fit(&mut wide).unwrap().len() <= RECORD_MAX);
        assert_eq!(wide.payload.unwrap()["truncated"], true);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_record_fits(
            text in "[\\x00-\\x7fä漢\u{10ffff}]{0,40}", times in 0usize..3_000, key in "[\\x00-\\x7f]{1,8}", many in 0usize..2_000,
        ) {
            let long = text.repeat(times);
            let fields: serde_json::Map<String, Value> =
                (0..many).map(|n| (format!("{key}{n}"), Value::from(&text[..]))).collect();
            let mut record = record(long.clone(), Some(Value::Object(fields)));
            for field in [&mut record.reasoning, &mut record.orchestrator, &mut record.source, &mut record.work_id] {
                *field = Some(long.clone());
            }
            let line = fit(&mut record).unwrap();
            prop_assert!(line.len() <= RECORD_MAX);
            prop_assert!(!line.contains(&b'\n'));
            let back: FlowRecord = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(back, record);
        }
    }
}
