//! The flow record: one JSON line of the event log, in the key order of darkmux 1.9.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Version of the flow format that we read and write (that of darkmux 1.9.0).
pub const FLOW_SCHEMA: &str = "1.14.0";

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
            /// A word of a newer writer; read, never written.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl $name {
            /// The words that may be written.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The value of a word that may be written.
            pub fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word in the record.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

word_enum!(
    /// How urgent a record is.
    Level {
        /// Something failed.
        Error = "error",
        /// Something needs a look.
        Warn = "warn",
        /// Normal course.
        Info = "info",
        /// Detail.
        Debug = "debug",
        /// Finest detail.
        Trace = "trace",
    }
);
word_enum!(
    /// What kind of thing a record tells.
    Category {
        /// Work that was asked for.
        Work = "work",
        /// The fleet's own doings.
        Machinery = "machinery",
        /// What must be answerable later.
        Audit = "audit",
        /// A review of work.
        Review = "review",
        /// Measurements.
        Telemetry = "telemetry",
    }
);
word_enum!(
    /// Who acted.
    Tier {
        /// The person.
        Operator = "operator",
        /// A hosted frontier model.
        Frontier = "frontier",
        /// This fleet.
        Local = "local",
    }
);
word_enum!(
    /// Where in the course of work a record stands.
    Stage {
        /// What is to be done.
        Scope = "scope",
        /// How large it is.
        Estimate = "estimate",
        /// It is handed out and runs.
        Dispatch = "dispatch",
        /// It is looked at.
        Review = "review",
        /// It goes out.
        Ship = "ship",
        /// What was learned.
        Debrief = "debrief",
        /// Who should do it.
        TierDecision = "tier-decision",
    }
);

/// One record. The fields stand in the order in which darkmux 1.9 writes them; `record_id` is ours and comes
/// last. Unset optional fields are left out, never null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are the format's; the ones that need a word have it.
pub struct FlowRecord {
    /// `YYYY-MM-DDTHH:MM:SSZ`, UTC, second precision; milliseconds are in `record_id`.
    pub ts: String,
    pub level: Level,
    pub category: Category,
    pub tier: Tier,
    pub stage: Stage,
    /// The name of the event, such as `dispatch start`.
    pub action: String,
    /// Role id, note text, machine label: what the record is about.
    pub handle: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprint_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why, in prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<String>,
    /// Audit lines only: the hash of the line before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_hash: Option<String>,
    /// Audit lines only: BLAKE3 of this line without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// UUIDv7: the identity of the record and its time in milliseconds. Not a key of audit lines, because the
    /// 1.9 checker hashes only the keys it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_id: Option<Uuid>,
}

impl FlowRecord {
    /// A record with the required words set; `ts` is stamped by the sink when it is empty.
    pub fn new(
        class: (Level, Category, Tier, Stage),
        action: impl Into<String>,
        handle: impl Into<String>,
    ) -> Self {
        let (level, category, tier, stage) = class;
        Self {
            ts: String::new(),
            level,
            category,
            tier,
            stage,
            action: action.into(),
            handle: handle.into(),
            sprint_id: None,
            session_id: None,
            source: None,
            model: None,
            reasoning: None,
            mission_id: None,
            machine_id: None,
            machine_uid: None,
            orchestrator: None,
            prev_hash: None,
            hash: None,
            payload: None,
            work_id: None,
            attempt: None,
            record_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that the darkmux 1.9.0 binary wrote, ids shortened.
    const LINE: &str = r#"{"ts":"2026-11-21T23:34:49Z","level":"info","category":"work","tier":"local","stage":"dispatch","action":"dispatch complete","handle":"coder","session_id":"crew-dispatch-coder-1","source":"crew_dispatch","model":"m1","machine_id":"studio","payload":{"exit_code":0,"result_class":"ok","runtime":"internal","wall_ms":1753}}"#;

    #[test]
    fn a_line_of_1_9_survives_byte_for_byte() {
        let record: FlowRecord = serde_json::from_str(LINE).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), LINE);
    }

    #[test]
    fn words_of_a_newer_writer_are_read() {
        let line = LINE.replace("\"work\"", "\"hologram\"");
        let record: FlowRecord = serde_json::from_str(&line).unwrap();
        assert_eq!(record.category, Category::Unknown);
    }

    #[test]
    fn record_id_comes_last() {
        let mut record: FlowRecord = serde_json::from_str(LINE).unwrap();
        record.attempt = Some(1);
        record.record_id = Some(Uuid::nil());
        let text = serde_json::to_string(&record).unwrap();
        assert!(
            text.ends_with(r#""attempt":1,"record_id":"00000000-0000-0000-0000-000000000000"}"#),
            "{text}"
        );
    }
}
