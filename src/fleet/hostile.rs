//! Reading signs of life that anybody may have written: every field is taken alone, bounded, and left out where
//! it is of another shape.

use serde_json::Value;

use crate::wire::{MachineBeat, RunnerBeat, SessionBeat, Slots};

/// Largest sign of life that is read, in bytes.
pub const BEAT_MAX: usize = 32 * 1024;

/// Longest text in one, in characters, and longest list.
const TEXT_MAX: usize = 200;
const LIST_MAX: usize = 256;

/// A machine's sign of life under this identity; `None` when it is none. The identity is that of the key, whatever
/// the value says.
pub fn machine(uid: &str, bytes: &[u8]) -> Option<MachineBeat> {
    let value = object(bytes)?;
    let text = |key: &str| text(&value[key]);
    let list = |key: &str| list(&value[key]);
    let (slots, runner) = (&value["slots"], &value["runner"]);
    let count = |value: &Value| value.as_u64();
    Some(MachineBeat {
        machine_uid: bounded(uid),
        display_name: text("display_name").or_else(|| text("machine_id")).filter(|name| !name.is_empty())?,
        schema_version: text("schema_version").unwrap_or_default(),
        beat_ts_ms: value["beat_ts_ms"].as_u64().unwrap_or(0),
        specs: text("specs"),
        loaded_models: list("loaded_models"),
        machine_id: text("machine_id"),
        darkmux_version: text("darkmux_version"),
        address: text("address"),
        os: text("os"),
        arch: text("arch"),
        cores: count(&value["cores"]),
        ram_total_bytes: count(&value["ram_total_bytes"]),
        ram_free_bytes: count(&value["ram_free_bytes"]),
        load1: value["load1"].as_f64(),
        gpu: text("gpu"),
        ac_power: value["ac_power"].as_bool(),
        slots: count(&slots["total"]).map(|total| Slots { total, busy: count(&slots["busy"]).unwrap_or(0) }),
        runner: runner["enabled"]
            .as_bool()
            .map(|enabled| RunnerBeat { enabled, draining: runner["draining"] == Value::Bool(true) }),
        labels: list("labels"),
        accept: list("accept"),
        roles: list("roles"),
        agents: list("agents"),
        models: list("models"),
        repos: list("repos"),
        boot: text("boot"),
        started_at_ms: count(&value["started_at_ms"]),
        twin: text("twin"),
    })
}

/// A session's sign of life; `None` when it is none.
pub fn session(id: &str, bytes: &[u8]) -> Option<SessionBeat> {
    let value = object(bytes)?;
    let text = |key: &str| text(&value[key]);
    Some(SessionBeat {
        session_id: bounded(id),
        machine_uid: text("machine_uid"),
        display_name: text("display_name").unwrap_or_default(),
        role: text("role"),
        model: text("model"),
        beat_ts_ms: value["beat_ts_ms"].as_u64().unwrap_or(0),
        owner_uid: text("owner_uid"),
    })
}

fn object(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (bytes.len() <= BEAT_MAX && value.is_object()).then_some(value)
}

/// At most this much of a text.
pub fn bounded(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(bounded)
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).take(LIST_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A beat of darkmux 1.9.0.
    const OLD: &str = r#"{"machine_uid":"9C5F","display_name":"studio","schema_version":"1.14.0","beat_ts_ms":1795304012271}"#;

    #[test]
    fn a_beat_of_1_9_is_read_and_written_as_it_was() {
        let beat = machine("9C5F", OLD.as_bytes()).unwrap();
        assert_eq!((beat.name(), beat.system()), ("studio", None));
        assert_eq!(serde_json::to_string(&beat).unwrap(), OLD);
    }

    #[test]
    fn what_is_of_another_shape_is_left_out_and_the_rest_is_read() {
        let long = "x".repeat(5_000);
        let text = json!({
            "machine_uid": "liar", "display_name": long, "beat_ts_ms": -1, "specs": { "a": 1 }, "cores": "many",
            "loaded_models": [1, "m", null], "slots": [], "runner": { "enabled": "yes" }, "labels": "x",
            "ram_free_bytes": 1.5, "ac_power": 1, "address": ["x"],
        });
        let beat = machine("u1", text.to_string().as_bytes()).unwrap();
        assert_eq!((beat.machine_uid.as_str(), beat.display_name.len()), ("u1", TEXT_MAX));
        assert_eq!(beat.loaded_models, ["m"]);
        assert!(
            beat.slots.is_none() && beat.runner.is_none() && beat.specs.is_none() && beat.cores.is_none()
        );
        for none in ["", "[]", "1", "{", "{}", r#"{"display_name":7}"#, r#"{"display_name":""}"#] {
            assert!(machine("u", none.as_bytes()).is_none(), "{none}");
        }
        assert!(machine("u", format!("{OLD}{}", " ".repeat(BEAT_MAX)).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (machine("u", &bytes), session("s", &bytes));
        }
    }
}
