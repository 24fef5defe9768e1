//! Objects on their way into a repository: they are put into a folder of their own first, so that what breaks off goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::WorkspaceError;
use super::git::{Git, Pieces};
use super::pack;
use crate::wire::FETCH_MAX;

/// What the folders' names begin with. Git itself deletes what a killed process left under such a name.
const PREFIX: &str = "tmp_objdir-darkmux-";

/// Takes a pack that comes piece by piece into the objects at `objects`, where git found nothing wrong with it. Makes nothing
/// lead to it.
pub async fn take_in(git: &Git, objects: &Path, pieces: Pieces) -> Result<(), WorkspaceError> {
    let aside = make(objects)?;
    pack::take_in(&git.clone().var("GIT_OBJECT_DIRECTORY", aside.path()), pieces, FETCH_MAX).await?;
    take_over(aside.path(), &objects.join("pack"))
}

fn make(objects: &Path) -> Result<TempDir, WorkspaceError> {
    let aside = tempfile::Builder::new().prefix(PREFIX).tempdir_in(objects);
    let aside = aside.map_err(WorkspaceError::file(objects))?;
    fs::create_dir(aside.path().join("pack")).map_err(WorkspaceError::file(aside.path()))?;
    Ok(aside)
}

/// Moves the packs that are whole to the others.
fn take_over(aside: &Path, packs: &Path) -> Result<(), WorkspaceError> {
    let names = || {
        let names = fs::read_dir(aside.join("pack"))?.map(|entry| entry.map(|entry| entry.file_name()));
        names.collect::<io::Result<Vec<_>>>()
    };
    let names = names().map_err(WorkspaceError::file(aside))?;
    // The index last: with it git finds the rest.
    for kind in ["pack", "rev", "idx"] {
        let of_kind = |name: &&std::ffi::OsString| Path::new(name).extension().is_some_and(|end| end == kind);
        for name in names.iter().filter(of_kind) {
            let to: PathBuf = packs.join(name);
            fs::rename(aside.join("pack").join(name), &to).map_err(WorkspaceError::file(&to))?;
        }
    }
    Ok(())
}
