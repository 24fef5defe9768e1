//! The header line of an audit day file, and the words for days in JSON.

use serde::{Deserialize, Serialize};

use crate::flow::line::WRITER;
use crate::model::{Day, FLOW_SCHEMA};

/// Version of the links between days.
const CHAIN: u32 = 1;

/// How a day's file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The day.
    pub day: Day,
    /// Records in its file.
    pub count: u64,
    /// Hash of the last one.
    pub hash: String,
}

/// A header line. Fields stand in the order of their sorted keys; the ones that 1.9 does not know are left
/// alone by its checker, which hashes the line's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    darkmux_version: Option<String>,
    /// Set by 2.9, whose lines begin with their hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev_count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "day_text::optional")]
    prev_day: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prev_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Header {
    /// The header of a new day after the day that ended so; `None` starts a chain.
    pub fn after(link: Option<Link>) -> Self {
        let (prev_day, prev_count, prev_hash) = match link {
            Some(link) => (Some(link.day), Some(link.count), Some(link.hash)),
            None => (None, None, None),
        };
        Self {
            kind: "schema".to_owned(),
            chain: Some(CHAIN),
            darkmux_version: Some(WRITER.to_owned()),
            hash_format: None,
            prev_count,
            prev_day,
            prev_hash,
            version: Some(FLOW_SCHEMA.to_owned()),
        }
    }

    /// Reads a header line; `None` when it is none.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(line).ok().filter(|header| header.kind == "schema")
    }

    /// Whether the file takes part in the links between days; a file of 1.9 does not.
    pub fn is_chained(&self) -> bool {
        self.chain.is_some()
    }

    /// What it says of the day before.
    pub fn link(&self) -> Option<Link> {
        Some(Link { day: self.prev_day?, count: self.prev_count?, hash: self.prev_hash.clone()? })
    }
}

/// A [`Day`] as `YYYY-MM-DD`.
pub mod day_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::model::Day;

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's shape.
    pub fn serialize<S: Serializer>(day: &Day, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(day)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Day, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }

    /// The same, where it may be absent.
    pub mod optional {
        use serde::{Deserializer, Serializer};

        use crate::model::Day;

        #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)] // serde's shape.
        pub fn serialize<S: Serializer>(day: &Option<Day>, to: S) -> Result<S::Ok, S::Error> {
            match day {
                Some(day) => super::serialize(day, to),
                None => to.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Day>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_a_header_of_1_9_is_one() {
        let day = "2026-11-21".parse().unwrap();
        let header = Header::after(Some(Link { day, count: 3, hash: "ab".into() }));
        let said = serde_json::to_string(&header).unwrap();
        assert_eq!(
            said.replace(WRITER, "V"),
            r#"{"_type":"schema","chain":1,"darkmux_version":"V","prev_count":3,"prev_day":"2026-11-21","prev_hash":"ab","version":"1.14.0"}"#
        );
        assert_eq!(Header::parse(said.as_bytes()).unwrap().link(), header.link());
        let old =
            Header::parse(br#"{"_type":"schema","darkmux_version":"1.9.0","version":"1.14.0"}"#).unwrap();
        assert!(!old.is_chained() && old.link().is_none());
        assert!(Header::parse(br#"{"ts":"x"}"#).is_none());
    }
}
