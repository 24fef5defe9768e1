//! `config.json`: read strictly, changed one key at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::ConfigError;
use super::keys::{self, Key};
use crate::store::{self, Durability};

/// How long another one that changes the file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

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
        action: super::READING,
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
    // Of two who change it at once, the later one reads what the earlier one wrote.
    let _lock = store::lock_beside(path, LOCK_PATIENCE).map_err(io("waiting for its lock"))?;
    let mut root = read_object(path)?.unwrap_or_default();
    remove(&mut root, key.name);
    if let Some(value) = value {
        insert(path, &mut root, key.name, value)?;
    }
    let mut text = serde_json::to_vec_pretty(&root).unwrap_or_default();
    text.push(b'\n');
    // A link stays one: it leads into somebody's collection of settings.
    let at = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    store::write_atomic(&at, &text, Durability::Synced).map_err(io("writing it"))
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

/// Removes the key in each of its spellings (`"a.b": 1` is the same as `"a": {"b": 1}`), and the groups that are empty
/// then.
fn remove(object: &mut Map<String, Value>, name: &str) {
    object.remove(name);
    for (dot, _) in name.match_indices('.') {
        let (group, rest) = (&name[..dot], &name[dot + 1..]);
        if let Some(Value::Object(inner)) = object.get_mut(group) {
            remove(inner, rest);
            if inner.is_empty() {
                object.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(name: &str) -> &'static Key {
        keys::key(name).unwrap()
    }

    #[test]
    fn a_key_has_one_value_however_it_was_spelled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"serve.port": 9000, "serve": {"bind": "::1"}}"#).unwrap();
        edit(&path, key("serve.port"), Some(json!(9001))).unwrap();
        let values = ConfigFile::read(&path).unwrap().values;
        assert_eq!((&values["serve.port"], &values["serve.bind"]), (&json!(9001), &json!("::1")));
        std::fs::write(&path, r#"{"serve.port": 9000}"#).unwrap();
        edit(&path, key("serve.port"), None).unwrap();
        assert!(ConfigFile::read(&path).unwrap().values.is_empty());
    }

    #[test]
    fn a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, at) = (dir.path().join("home/config.json"), dir.path().join("dotfiles.json"));
        std::fs::create_dir(dir.path().join("home")).unwrap();
        std::fs::write(&at, "{}").unwrap();
        std::os::unix::fs::symlink(&at, &path).unwrap();
        edit(&path, key("serve.port"), Some(json!(9001))).unwrap();
        assert!(path.is_symlink());
        assert_eq!(ConfigFile::read(&at).unwrap().values["serve.port"], json!(9001));
    }

    #[test]
    fn of_many_who_change_it_at_once_none_loses_what_another_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let names: Vec<_> = keys::KEYS.iter().map(|key| key.name).take(24).collect();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| edit(&path, key(name), Some(json!(1))).unwrap());
            }
        });
        let values = ConfigFile::read(&path).unwrap().values;
        assert!(names.iter().all(|name| values.contains_key(name)), "{values:?}");
    }
}
