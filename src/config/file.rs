//! `config.json`: read strictly, changed one key at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::ConfigError;
use super::keys::{self, Key};
use crate::store::{self, Durability};

/// Largest config file read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;

/// The values a `config.json` sets, by dotted key.
#[derive(Debug, Clone, Default)]
pub struct ConfigFile {
    /// The file, for messages.
    pub path: PathBuf,
    /// Value by key; only keys of the table.
    pub values: BTreeMap<&'static str, Value>,
}

impl ConfigFile {
    /// Reads the file; a missing one sets nothing. An unknown key is an error.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut file = Self { path: path.to_owned(), values: BTreeMap::new() };
        if let Some(object) = read_object(path)? {
            file.collect("", &object)?;
        }
        Ok(file)
    }

    fn collect(&mut self, prefix: &str, object: &Map<String, Value>) -> Result<(), ConfigError> {
        for (name, value) in object {
            let dotted = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(key) = keys::key(&dotted) {
                self.values.insert(key.name, value.clone());
            } else if let (Value::Object(inner), true) = (value, is_group(&dotted)) {
                self.collect(&dotted, inner)?;
            } else {
                return Err(unknown(self.path.display().to_string(), &dotted));
            }
        }
        Ok(())
    }
}

/// Whether keys of the table stand below `name`.
fn is_group(name: &str) -> bool {
    keys::KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The error for a key that is not in the table.
pub fn unknown(place: String, name: &str) -> ConfigError {
    ConfigError::UnknownKey {
        place,
        key: crate::util::visible_line(name).into_owned(),
        near: keys::nearest(name),
    }
}

fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, ConfigError> {
    let bytes = store::read_if_there(path, FILE_MAX).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        action: "reading it",
        source,
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(ConfigError::Syntax { path: path.to_owned(), reason: "not a JSON object".to_owned() }),
        Err(error) => Err(ConfigError::Syntax { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// Sets `key` in the file to `value`, or removes it for `None`; everything else in the file stays. Creates
/// the home folder and the file where they are missing.
pub fn edit(path: &Path, key: &Key, value: Option<Value>) -> Result<(), ConfigError> {
    let io = |action| move |source| ConfigError::Io { path: path.to_owned(), action, source };
    let home = path.parent().unwrap_or(Path::new("/"));
    store::ensure_private_dir(home).map_err(io("making its folder"))?;
    let mut root = read_object(path)?.unwrap_or_default();
    match value {
        Some(value) => insert(path, &mut root, key.name, value)?,
        None => remove(&mut root, key.name),
    }
    let mut text = serde_json::to_vec_pretty(&root).unwrap_or_default();
    text.push(b'\n');
    store::write_atomic(path, &text, Durability::Synced).map_err(io("writing it"))
}

fn insert(path: &Path, root: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), ConfigError> {
    let mut object = root;
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            object.insert(part.to_owned(), value);
            break;
        }
        let inner = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else {
            let reason = format!("`{part}` is no object");
            return Err(ConfigError::Syntax { path: path.to_owned(), reason });
        };
        object = inner;
    }
    Ok(())
}

/// Removes the key, and the groups that are empty then.
fn remove(object: &mut Map<String, Value>, name: &str) {
    let Some((group, rest)) = name.split_once('.') else {
        object.remove(name);
        return;
    };
    if let Some(Value::Object(inner)) = object.get_mut(group) {
        remove(inner, rest);
        if inner.is_empty() {
            object.remove(group);
        }
    }
}
