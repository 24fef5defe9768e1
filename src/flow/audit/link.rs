//! One line of the chain: how it is sealed and how it is verified.
//!
//! The hash of a record is BLAKE3, in lowercase hex, of its stored line without `,"hash":"…"`. 1.9 hashes what
//! it gets when it writes the parsed record again; here the stored bytes themselves are hashed, so that a key
//! that somebody added is noticed, and the two agree on every line that a writer made.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::model::FlowRecord;

/// How often a fraction is read back until it comes out the same; nearly all do the first time.
const SETTLE: usize = 8;

/// The hash of a header line.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The line of `record` after the line with the hash `prev`, without its newline, and its own hash.
pub fn seal(record: &FlowRecord, prev: &str) -> Result<(Vec<u8>, String), serde_json::Error> {
    let mut record = FlowRecord {
        prev_hash: Some(prev.to_owned()),
        hash: None,
        // Not a key that 1.9's checker knows.
        record_id: None,
        ..record.clone()
    };
    record.payload.iter_mut().for_each(settle);
    let hash = hash(&serde_json::to_vec(&record)?);
    record.hash = Some(hash.clone());
    Ok((serde_json::to_vec(&record)?, hash))
}

/// Makes every fraction one that reads back as it is written. 1.9's checker reads a fraction to within its
/// last digit only and hashes what it then writes; a number that never settles becomes a text.
fn settle(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let mut text = number.to_string();
            for _ in 0..SETTLE {
                let Ok(read) = serde_json::from_str::<Value>(&text) else { break };
                let again = read.to_string();
                if again == text {
                    *value = read;
                    return;
                }
                text = again;
            }
            *value = Value::String(text);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(fields) => fields.values_mut().for_each(settle),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[derive(Deserialize)]
struct Hashes<'a> {
    #[serde(borrow)]
    prev_hash: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hash: Option<Cow<'a, str>>,
}

/// Verifies a line (without its newline) that follows the line with the hash `prev`. Returns its hash, or
/// what is wrong with it.
pub fn verify(line: &[u8], prev: &str) -> Result<String, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let said: Hashes<'_> =
        serde_json::from_str(text).map_err(|error| format!("the line is no record: {error}"))?;
    let (Some(said_prev), Some(said_hash)) = (said.prev_hash, said.hash) else {
        return Err("the line has no prev_hash and hash".to_owned());
    };
    if said_prev != prev {
        return Err("prev_hash is not the hash of the line before: a line was removed, added or moved".into());
    }
    let hashes = format!(r#","prev_hash":"{said_prev}","hash":"{said_hash}""#);
    let own = format!(r#","hash":"{said_hash}""#);
    let Some(end) = memmem::find(line, hashes.as_bytes()).map(|at| at + hashes.len()) else {
        return Err("prev_hash and hash do not stand where a writer puts them".to_owned());
    };
    let mut covered = blake3::Hasher::new();
    covered.update(&line[..end - own.len()]);
    covered.update(&line[end..]);
    if *covered.finalize().to_hex() == *said_hash {
        return Ok(said_hash.into_owned());
    }
    Err(if as_1_9_sees_it(text).as_deref() == Some(&*said_hash) {
        "the line holds keys, an order or spaces that its hash does not cover".to_owned()
    } else {
        "hash mismatch: the line was changed".to_owned()
    })
}

/// The hash by 1.9's rule: of the parsed record, written again.
fn as_1_9_sees_it(text: &str) -> Option<String> {
    let mut record: FlowRecord = serde_json::from_str(text).ok()?;
    record.hash = None;
    record.record_id = None;
    serde_json::to_vec(&record).ok().map(|body| hash(&body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Category, Level, Stage, Tier};
    use proptest::prelude::*;
    use serde_json::json;

    fn record(handle: &str, payload: Value) -> FlowRecord {
        let class = (Level::Info, Category::Audit, Tier::Local, Stage::Review);
        FlowRecord {
            ts: "2026-11-21T23:32:07Z".into(),
            payload: Some(payload),
            record_id: Some(uuid::Uuid::nil()),
            ..FlowRecord::new(class, "catch", handle)
        }
    }

    #[test]
    fn a_sealed_line_verifies_by_both_rules() {
        for payload in [
            json!({"hash": "a", "prev_hash": "b"}),
            json!([0.1, 1e300, 0.300_000_000_000_000_04, -2.450_663_108_338_48e293]),
        ] {
            let (line, hash) = seal(&record("x\",\"hash\":\"", payload), "00ff").unwrap();
            let text = std::str::from_utf8(&line).unwrap();
            assert!(!text.contains("record_id"), "{text}");
            assert_eq!(verify(&line, "00ff").unwrap(), hash);
            assert_eq!(as_1_9_sees_it(text), Some(hash));
        }
    }

    #[test]
    fn every_kind_of_change_has_its_reason() {
        let (line, _) = seal(&record("x", json!(1)), "00ff").unwrap();
        let text = String::from_utf8(line).unwrap();
        let reason = |changed: String| verify(changed.as_bytes(), "00ff").unwrap_err();
        assert!(reason(text.replace("\"x\"", "\"y\"")).starts_with("hash mismatch"));
        assert!(reason(text.replace("{\"ts\"", "{\"evil\":1,\"ts\"")).contains("does not cover"));
        assert!(reason(text.replace("{\"ts\"", "{ \"ts\"")).contains("does not cover"));
        assert!(reason(text.replace("00ff", "00fe")).starts_with("prev_hash is not"));
        assert!(reason(text.replace("\"hash\"", "\"hush\"")).contains("no prev_hash and hash"));
        assert!(reason("garbage".into()).starts_with("the line is no record"));
        assert!(verify(b"\xff", "00ff").unwrap_err().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn any_record_verifies_by_both_rules(handle in any::<String>(), numbers in prop::collection::vec(any::<f64>(), 0..8)) {
            let (line, hash) = seal(&record(&handle, json!(numbers)), "00ff").unwrap();
            prop_assert_eq!(verify(&line, "00ff"), Ok(hash.clone()));
            prop_assert_eq!(as_1_9_sees_it(std::str::from_utf8(&line).unwrap()), Some(hash));
        }

        #[test]
        fn no_flipped_byte_goes_unnoticed(at in any::<prop::sample::Index>(), with in 1u8..) {
            let (mut line, _) = seal(&record("x", json!({ "a": "b" })), "00ff").unwrap();
            let at = at.index(line.len());
            line[at] ^= with;
            prop_assert!(verify(&line, "00ff").is_err());
        }
    }
}
