//! Where roles are: the user's folder, that of darkmux 1.9, and the program itself; the first that has a role
//! of the name wins. A broken one wins too, as an error: the role below it is not what its owner meant.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::builtin::{self, Builtin};
use super::error::{CrewError, Problem};
use super::manifest::{self, MANIFEST_MAX};
use super::role::{Prompt, Role, Source};
use super::{files, prompt};
use crate::config::CrewConfig;
use crate::model::{RoleId, RoleManifest};

/// The user's folders, the winner first: ours, then the `crew/roles` of 1.9 beside it.
pub fn user_folders(config: &CrewConfig) -> Vec<PathBuf> {
    let legacy = config.roles_dir.parent().map(|root| root.join("crew/roles"));
    std::iter::once(config.roles_dir.clone()).chain(legacy).collect()
}

/// A role that was asked for; `None` when there is none.
pub type Loaded = Result<Option<Role>, CrewError>;

/// Where the roles of a configuration are, for reading one or many.
#[derive(Debug)]
pub struct Places<'a> {
    config: &'a Arc<CrewConfig>,
    folders: Vec<PathBuf>,
    /// What precedes the prompts of specialists; the same for all.
    preamble: OnceCell<Result<Prompt, Problem>>,
}

impl<'a> Places<'a> {
    /// Those of this configuration, as far as they exist: none of the others need be asked for each role.
    pub fn of(config: &'a Arc<CrewConfig>) -> Self {
        let folders = user_folders(config).into_iter().filter(|dir| dir.exists()).collect();
        Self { config, folders, preamble: OnceCell::new() }
    }

    /// The user's folders that exist, the winner first.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The role of this id.
    pub fn load(&self, id: &RoleId) -> Loaded {
        for folder in &self.folders {
            let file = folder.join(format!("{id}.json"));
            let bytes = files::read(&file, MANIFEST_MAX).map_err(|error| {
                CrewError::Broken(Problem::of_file(&file, format!("can't be read: {error}")))
            })?;
            if let Some(bytes) = bytes {
                return self.user(folder, &file, id, &bytes).map(Some).map_err(CrewError::Broken);
            }
        }
        let Some(builtin) = builtin::role(id.as_str()) else { return Ok(None) };
        self.of_program(builtin).map(Some).map_err(CrewError::Broken)
    }

    /// As [`Places::load`]; a name that is no id is no role.
    pub fn load_named(&self, name: &str) -> Loaded {
        RoleId::new(name).map_or(Ok(None), |id| self.load(&id))
    }

    fn user(&self, folder: &Path, file: &Path, id: &RoleId, bytes: &[u8]) -> Result<Role, Problem> {
        let (manifest, warnings) = manifest::parse(file, id.as_str(), bytes)?;
        let prompt = prompt::of_user(&manifest, folder)?;
        self.finish(manifest, prompt, Source::User(file.to_owned()), warnings)
    }

    fn of_program(&self, builtin: &Builtin) -> Result<Role, Problem> {
        let file = PathBuf::from(format!("<builtin>/{}.json", builtin.id));
        let (manifest, warnings) = manifest::parse(&file, builtin.id, builtin.manifest.as_bytes())?;
        let prompt = builtin.prompt.map(|text| Prompt { path: None, text: Cow::Borrowed(text) });
        self.finish(manifest, prompt, Source::Builtin, warnings)
    }

    fn finish(
        &self,
        manifest: RoleManifest,
        prompt: Option<Prompt>,
        source: Source,
        warnings: Vec<Problem>,
    ) -> Result<Role, Problem> {
        let preamble = if prompt.is_some() && prompt::wants_preamble(&manifest) {
            Some(self.preamble.get_or_init(|| prompt::preamble(self.config)).clone()?)
        } else {
            None
        };
        Ok(Role { manifest, source, prompt, preamble, warnings, config: Arc::clone(self.config) })
    }
}

/// The names of every role, also of the broken ones; sorted.
pub fn names(config: &CrewConfig) -> BTreeSet<String> {
    let files = user_folders(config).into_iter().flat_map(|folder| manifests(&folder).unwrap_or_default());
    let user = files.map(|(name, _)| name);
    user.chain(builtin::ROLES.iter().map(|role| role.id.to_owned())).collect()
}

/// The manifests in a user's folder: name and file, sorted. Hidden files and other kinds are none.
pub fn manifests(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".json").filter(|_| !name.starts_with('.'))?;
            Some((stem.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}
