//! Prompts: a role's own, and the preamble that tells a specialist that nobody is there to ask.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::role::Prompt;
use super::{builtin, files};
use crate::config::CrewConfig;
use crate::model::{RoleFamily, RoleManifest, Runtime};

/// Largest prompt, in bytes; as much as a message.
pub const PROMPT_MAX: usize = 256 * 1024;

/// The prompt of a user's role, beside its manifest. A role that runs by an agent CLI needs one, as does one
/// that names a file; any other may go without.
pub fn of_user(manifest: &RoleManifest, folder: &Path) -> Result<Option<Prompt>, Problem> {
    let file = match &manifest.prompt_path {
        Some(path) => folder.join(path),
        None => folder.join(format!("{}.md", manifest.id)),
    };
    let needed = manifest.prompt_path.is_some() || manifest.runtime == Runtime::AgentCli;
    match read(&file)? {
        Some(prompt) => Ok(Some(prompt)),
        None if needed => Err(Problem::of_file(file, "the role's prompt is missing; write it there")),
        None => Ok(None),
    }
}

/// Whether the role's prompt has a preamble: that of a specialist has, that of a utility role has not.
pub fn wants_preamble(manifest: &RoleManifest) -> bool {
    manifest.role_family.unwrap_or_default() != RoleFamily::Utility
}

/// The preamble of the specialists: the user's own where there is one, else the builtin.
pub fn preamble(config: &CrewConfig) -> Result<Prompt, Problem> {
    for file in user_preambles(config) {
        if let Some(own) = read(&file)? {
            return Ok(own);
        }
    }
    Ok(Prompt { path: None, text: Cow::Borrowed(builtin::PREAMBLE) })
}

/// The places of the user's preamble: ours, then that of 1.9.
fn user_preambles(config: &CrewConfig) -> impl Iterator<Item = PathBuf> {
    let legacy = config.preamble.parent().map(|root| root.join("crew").join(builtin::PREAMBLE_NAME));
    std::iter::once(config.preamble.clone()).chain(legacy)
}

fn read(file: &Path) -> Result<Option<Prompt>, Problem> {
    let bytes = files::read(file, PROMPT_MAX)
        .map_err(|error| Problem::of_file(file, format!("the prompt can't be read: {error}")))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| {
        Problem::of_file(
            file,
            format!("the prompt is not UTF-8 (at byte {})", error.utf8_error().valid_up_to()),
        )
    })?;
    if text.trim().is_empty() {
        return Err(Problem::of_file(file, "the prompt is empty"));
    }
    if let Some(at) = memchr::memchr(0, text.as_bytes()) {
        return Err(Problem::of_file(file, format!("the prompt has a NUL byte (at byte {at})")));
    }
    Ok(Some(Prompt { path: Some(file.to_owned()), text: Cow::Owned(text) }))
}
