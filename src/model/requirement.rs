//! What a job asks of the machine that runs it: `ram=64G`, `os=macos`, `model=qwen3`, or a label.
//!
//! A requirement has one spelling: `arch=arm64` and `arch=aarch64` are the same value and the same text, so that
//! equal sets of requirements compare as equal. Whether a machine meets one is decided in `fleet`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest key and longest value, in bytes.
const KEY_MAX: usize = 64;
const VALUE_MAX: usize = 200;

/// Units of sizes, each 1024 times the one before.
const UNITS: &[char] = &['K', 'M', 'G', 'T'];

/// One requirement: a key, or a key and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement {
    key: String,
    value: Option<String>,
}

/// Why a text is no requirement. Says how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no requirement: {hint}", .text.escape_debug())]
pub struct RequirementError {
    text: String,
    hint: String,
}

impl Requirement {
    /// What is asked about: `ram`, `free_ram`, `cores`, `os`, `arch`, `gpu`, `ac_power`, `model`, `role`, `repo`,
    /// `machine`; anything else is a label.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it must be; `None` when it only has to be there.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// The value as a number of bytes, where the key is a size.
    pub fn bytes(&self) -> Option<u64> {
        size(self.value()?)
    }

    /// The value as a whole number, where the key is a count.
    pub fn count(&self) -> Option<u64> {
        self.value()?.parse().ok()
    }

    fn of(key: &str, value: Option<&str>) -> Result<Self, String> {
        let is_key = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        let key = key.to_ascii_lowercase();
        let starts = key.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if !starts || key.len() > KEY_MAX || !key.bytes().all(is_key) {
            let said = "a key is 1 to 64 of a-z, 0-9, `_`, `-` and `.`, starting with a letter or a digit";
            return Err(said.to_owned());
        }
        let key = match key.as_str() {
            "free-ram" | "ram-free" | "ram_free" => "free_ram".to_owned(),
            "ac-power" | "ac" => "ac_power".to_owned(),
            _ => key,
        };
        let value = value.map(str::trim).map(|value| checked(&key, value)).transpose()?;
        let example = match key.as_str() {
            "ram" | "free_ram" => "32G",
            "cores" => "8",
            "os" => "macos",
            "arch" => "aarch64",
            "model" => "qwen3",
            "role" => "coder",
            "repo" => "darkmux",
            "machine" => "studio",
            _ => "",
        };
        if value.is_none() && !example.is_empty() {
            return Err(format!("`{key}` needs a value, as in {key}={example}"));
        }
        Ok(Self { key, value })
    }
}

/// The value in its one spelling.
fn checked(key: &str, value: &str) -> Result<String, String> {
    let hidden = value.contains(char::is_whitespace) || crate::util::visible_line(value) != value;
    if value.is_empty() || value.len() > VALUE_MAX || hidden {
        return Err(format!("a value is 1 to {VALUE_MAX} bytes without blanks and control characters"));
    }
    let lower = value.to_ascii_lowercase();
    Ok(match key {
        "ram" | "free_ram" => {
            spelled(size(value).ok_or_else(|| format!("a size has a unit, as in {key}=32G"))?)
        }
        "cores" => match value.parse::<u64>() {
            Ok(count) if count > 0 => count.to_string(),
            _ => return Err("`cores` is a whole number above 0".to_owned()),
        },
        "os" => match lower.as_str() {
            "mac" | "osx" | "darwin" => "macos".to_owned(),
            _ => lower,
        },
        "arch" => match lower.as_str() {
            "arm64" => "aarch64".to_owned(),
            "amd64" | "x64" | "x86-64" => "x86_64".to_owned(),
            _ => lower,
        },
        "gpu" => lower,
        "ac_power" => match lower.as_str() {
            "true" | "yes" | "1" | "on" => "true".to_owned(),
            "false" | "no" | "0" | "off" => "false".to_owned(),
            _ => return Err("`ac_power` is true or false".to_owned()),
        },
        _ => value.to_owned(),
    })
}

/// `512M`, `32G`, `32GB`, `32GiB`, `1.5T`, in bytes. Sizes of memory: a G is 1024 M, however it is written.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let first = unit.chars().next()?.to_ascii_uppercase();
    let scale = 1_u64 << (10 * (UNITS.iter().position(|known| *known == first)? + 1));
    if !matches!(unit.get(1..)?.to_ascii_lowercase().as_str(), "" | "b" | "ib") {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    // Thousandths are enough for a size of memory.
    let part: u64 = if part.is_empty() { 0 } else { format!("{part:0<3}").get(..3)?.parse().ok()? };
    let part = u64::try_from(u128::from(scale) * u128::from(part) / 1000).ok()?;
    let bytes = whole.checked_mul(scale)?.checked_add(part)?.checked_next_multiple_of(1024)?;
    (bytes > 0).then_some(bytes)
}

/// The size with the largest unit that leaves nothing over.
fn spelled(bytes: u64) -> String {
    let whole = |place: &usize| bytes.is_multiple_of(1 << (10 * (place + 1)));
    let place = (0..UNITS.len()).rev().find(whole).unwrap_or(0);
    format!("{}{}iB", bytes >> (10 * (place + 1)), UNITS[place])
}

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        // An error quotes at most this much of a text that may be hostile and long.
        let quoted = || text.chars().take(80).collect();
        Self::of(key.trim(), value).map_err(|hint| RequirementError { text: quoted(), hint })
    }
}

impl TryFrom<String> for Requirement {
    type Error = RequirementError;

    fn try_from(text: String) -> Result<Self, RequirementError> {
        text.parse()
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(of: &str) -> String {
        of.parse::<Requirement>().unwrap().to_string()
    }

    #[test]
    fn every_requirement_has_one_spelling() {
        for (given, kept) in [
            ("ram=64G", "ram=64GiB"),
            ("RAM=64gb", "ram=64GiB"),
            ("ram=65536MiB", "ram=64GiB"),
            ("free-ram=1.5G", "free_ram=1536MiB"),
            ("cores=08", "cores=8"),
            ("os=Darwin", "os=macos"),
            ("arch=arm64", "arch=aarch64"),
            ("arch=amd64", "arch=x86_64"),
            ("gpu", "gpu"),
            ("gpu=NVIDIA", "gpu=nvidia"),
            ("ac-power", "ac_power"),
            ("ac_power=yes", "ac_power=true"),
            ("model=qwen3:8B", "model=qwen3:8B"),
            ("room=Cellar", "room=Cellar"),
            (" xcode ", "xcode"),
        ] {
            assert_eq!(text(given), kept, "{given}");
            assert_eq!(text(kept), kept, "{kept} twice");
        }
    }

    #[test]
    fn what_is_none_says_how_to_write_it() {
        for (bad, says) in [
            ("", "a key is"),
            ("=x", "a key is"),
            ("-x", "a key is"),
            ("a b", "a key is"),
            ("ram", "ram=32G"),
            ("ram=64", "unit"),
            ("ram=G", "unit"),
            ("ram=64X", "unit"),
            ("ram=99999999999999T", "unit"),
            ("cores=0", "above 0"),
            ("cores=many", "above 0"),
            ("os", "os=macos"),
            ("role", "role=coder"),
            ("ac_power=maybe", "true or false"),
            ("label=", "a value is"),
            ("label=a b", "a value is"),
            ("label=\u{1b}[2J", "a value is"),
            ("label=a\u{202e}b", "a value is"),
        ] {
            let said = bad.parse::<Requirement>().unwrap_err().to_string();
            assert!(said.contains(says), "{bad:?}: {said}");
            assert!(!said.contains('\u{1b}'), "{said}");
        }
    }

    #[test]
    fn sizes_and_counts_are_numbers() {
        let of = |text: &str| text.parse::<Requirement>().unwrap();
        assert_eq!(of("ram=1G").bytes(), Some(1 << 30));
        assert_eq!(of("ram=512m").bytes(), Some(512 << 20));
        assert_eq!(of("cores=12").count(), Some(12));
    }

    #[test]
    fn it_is_a_text_in_json() {
        let of = |text: &str| serde_json::from_str::<Requirement>(text);
        assert_eq!(serde_json::to_string(&of("\"ram=2G\"").unwrap()).unwrap(), "\"ram=2GiB\"");
        assert!(of("\"ram\"").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_reads_back(text in "\\PC{0,40}|[a-z_]{1,10}=[0-9.]{1,6}[KMGTkmgtiB]{0,3}") {
            if let Ok(read) = text.parse::<Requirement>() {
                prop_assert_eq!(read.to_string().parse::<Requirement>(), Ok(read));
            }
        }
    }
}
