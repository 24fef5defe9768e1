//! What is in a tree, and what in a folder would be added to one: bounds, and what git alone does not look at.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::WorkspaceError;
use super::git::Git;
use crate::util::{human, visible_line};

/// Most files of a tree that is checked out, and how large they may be altogether.
const ENTRIES_MAX: usize = 1_000_000;
const TREE_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Most files that are not committed, and how large they may be altogether, before they are packed.
const LOOSE_FILES_MAX: usize = 50_000;
const LOOSE_MAX: u64 = 256 * 1024 * 1024;

/// Files of attributes that are looked at for Git LFS, and most bytes of one.
const ATTRIBUTES_FILES_MAX: usize = 32;
const ATTRIBUTES_MAX: usize = 1024 * 1024;

/// Files named where there are too many bytes.
const NAMED: usize = 3;

/// A submodule, or a repository inside of the repository: its commit and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gitlink {
    pub commit: String,
    pub path: Vec<u8>,
}

/// What was found in a tree.
#[derive(Debug, Default)]
pub struct Found {
    pub gitlinks: Vec<Gitlink>,
    pub has_lfs: bool,
}

/// Looks through the tree of a commit. One that would fill a disk is refused.
pub async fn look(git: &Git, commit: &str) -> Result<Found, WorkspaceError> {
    let listed = git.bytes(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit], b"").await?;
    let mut found = Found::default();
    let mut attributes = Vec::new();
    let (mut entries, mut bytes, mut paths) = (0_usize, 0_u64, Paths::default());
    for entry in listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        entries += 1;
        let Some(tab) = entry.iter().position(|byte| *byte == b'\t') else { continue };
        let (head, path) = (String::from_utf8_lossy(&entry[..tab]), &entry[tab + 1..]);
        let words: Vec<&str> = head.split_whitespace().collect();
        let [mode, _, id, size] = words[..] else { continue };
        if mode == "160000" {
            found.gitlinks.push(Gitlink { commit: id.to_owned(), path: path.to_owned() });
        }
        let is_attributes = path == b".gitattributes" || path.ends_with(b"/.gitattributes");
        if is_attributes && mode.starts_with("100") && attributes.len() < ATTRIBUTES_FILES_MAX {
            attributes.push(id.to_owned());
        }
        bytes = bytes.saturating_add(size.parse().unwrap_or(0));
        refuse_name(path)?;
        paths.add(path, mode == "120000")?;
    }
    paths.check()?;
    if entries > ENTRIES_MAX || bytes > TREE_MAX {
        let words = format!("its {entries} files have {}, which no workspace may have", human::bytes(bytes));
        return Err(WorkspaceError::Refused(words));
    }
    found.has_lfs = has_lfs(git, &attributes).await;
    Ok(found)
}

/// Whether one of these files of attributes hands files to Git LFS. One that can't be read counts as one that does not.
async fn has_lfs(git: &Git, attributes: &[String]) -> bool {
    for id in attributes {
        let text = git.at_most(&["cat-file", "blob", id], b"", ATTRIBUTES_MAX).await;
        let text = text.ok().flatten().unwrap_or_default();
        if memchr::memmem::find(&text, b"filter=lfs").is_some() {
            return true;
        }
    }
    false
}

/// The names in a tree, of which none may stand below a link, and none twice: a file would be written where the link leads.
#[derive(Default)]
struct Paths<'a> {
    links: HashSet<&'a [u8]>,
    deep: Vec<&'a [u8]>,
    last: Option<&'a [u8]>,
}

impl<'a> Paths<'a> {
    fn add(&mut self, path: &'a [u8], is_link: bool) -> Result<(), WorkspaceError> {
        // Trees are sorted.
        if self.last.replace(path) == Some(path) {
            return Err(no_name(path));
        }
        if is_link {
            self.links.insert(path);
        }
        if path.contains(&b'/') {
            self.deep.push(path);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), WorkspaceError> {
        let is_below = |path: &[u8]| {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            ends.into_iter().any(|end| self.links.contains(&path[..end]))
        };
        let bad = self.deep.iter().find(|path| !self.links.is_empty() && is_below(path));
        bad.map_or(Ok(()), |path| Err(no_name(path)))
    }
}

fn no_name(path: &[u8]) -> WorkspaceError {
    let shown = String::from_utf8_lossy(path).into_owned();
    WorkspaceError::Refused(format!("`{}` is no name of a file in a repository", visible_line(&shown)))
}

/// A name that leads out of the folder, or into what is git's own. Git refuses these as well, later and in other words.
pub fn refuse_name(path: &[u8]) -> Result<(), WorkspaceError> {
    let wrong =
        |part: &[u8]| part.is_empty() || part == b"." || part == b".." || part.eq_ignore_ascii_case(b".git");
    if path.split(|byte| *byte == b'/').any(wrong) {
        return Err(no_name(path));
    }
    Ok(())
}

/// Refuses to add more to a repository than a person works on.
pub async fn bound_loose(git: &Git, folder: &Path) -> Result<(), WorkspaceError> {
    let listed = git.bytes(&["ls-files", "-z", "-o", "-m", "--exclude-standard"], b"").await?;
    let paths: Vec<&[u8]> = listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()).collect();
    let size = |path: &&[u8]| {
        let meta = std::fs::symlink_metadata(folder.join(OsStr::from_bytes(path)));
        meta.ok().filter(std::fs::Metadata::is_file).map_or(0, |meta| meta.len())
    };
    let mut sizes: Vec<(u64, &[u8])> = paths.iter().map(|path| (size(path), *path)).collect();
    let bytes: u64 = sizes.iter().map(|(size, _)| size).sum();
    if bytes <= LOOSE_MAX && sizes.len() <= LOOSE_FILES_MAX {
        return Ok(());
    }
    sizes.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let named = sizes.iter().take(NAMED).map(|(size, path)| {
        let path = String::from_utf8_lossy(path).into_owned();
        format!("{} ({})", visible_line(&path), human::bytes(*size))
    });
    let words = format!(
        "{} files that are not committed have {}, and {LOOSE_FILES_MAX} with {} may travel; have git ignore what need \
         not, such as {}",
        sizes.len(),
        human::bytes(bytes),
        human::bytes(LOOSE_MAX),
        named.collect::<Vec<_>>().join(", ")
    );
    Err(WorkspaceError::Refused(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["a", "a/b.git", ".gitignore", "..a/b", "a b"] {
            assert_eq!(refuse_name(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["../x", "a/../b", ".git/hooks/x", "a/.GIT/config", "/etc/passwd", "a//b", "./a"] {
            assert!(refuse_name(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
