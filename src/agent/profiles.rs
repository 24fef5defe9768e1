//! The profiles of darkmux 1.9 (`profiles.json`): which models the user means, and how large their windows are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::store::read_if_there;

/// Largest file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// Every profile; further keys of 1.9 are not looked at.
#[derive(Debug, Default, Deserialize)]
struct Profiles {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
    #[serde(default)]
    default_profile: Option<String>,
}

/// One profile.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Profile {
    /// Its models.
    #[serde(default)]
    pub models: Vec<Wish>,
    #[serde(default)]
    default_model: Option<String>,
}

/// A model of a profile.
#[derive(Debug, Clone, Deserialize)]
pub struct Wish {
    id: String,
    #[serde(default)]
    identifier: Option<String>,
    /// Its window in tokens.
    #[serde(default, rename = "n_ctx")]
    pub window: Option<u64>,
}

impl Wish {
    /// The name it is served under.
    pub fn served_as(&self) -> &str {
        self.identifier.as_deref().unwrap_or(&self.id)
    }
}

impl Profile {
    /// The model that it means: its default one, else its first.
    pub fn wish(&self) -> Option<&Wish> {
        let named = self.default_model.as_ref();
        named
            .and_then(|name| self.models.iter().find(|wish| wish.id == *name))
            .or_else(|| self.models.first())
    }
}

/// The profile that counts, where there are any.
pub fn read(file: &Path) -> Result<Option<Profile>, String> {
    let wrong = |why: String| format!("{}: {why}; mend the file, or move it away", file.display());
    let Some(bytes) = read_if_there(file, FILE_MAX).map_err(|error| wrong(error.to_string()))? else {
        return Ok(None);
    };
    let mut all: Profiles = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(all.default_profile.and_then(|name| all.profiles.remove(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_names_model_and_window() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("profiles.json");
        assert!(read(&file).unwrap().is_none());
        let text = r#"{"profiles":{"deep":{"description":"x","models":[{"id":"a","n_ctx":1},
            {"id":"b","identifier":"darkmux:b","n_ctx":65536,"capabilities":["code"]}],"default_model":"b"}},
            "default_profile":"deep","schema_version":"1"}"#;
        std::fs::write(&file, text).unwrap();
        let profile = read(&file).unwrap().unwrap();
        let wish = profile.wish().unwrap();
        assert_eq!((wish.served_as(), wish.window), ("darkmux:b", Some(65536)));
        std::fs::write(&file, "{").unwrap();
        assert!(read(&file).unwrap_err().contains("profiles.json"));
    }
}
