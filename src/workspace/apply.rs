//! What a job changed, as a patch, and bringing it into the caller's files: all of it or nothing, and no file without a
//! word.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::source::Source;
use super::{WorkspaceError, tree};
use crate::util::visible_line;

/// Most reasons told of a patch that does not apply.
const REASONS_MAX: usize = 20;

/// What a job did to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `A` added, `M` changed, `D` deleted, `T` of another kind.
    pub what: char,
    /// Its name, fit to be shown.
    pub path: String,
    /// What the user has there that is not committed.
    pub own: Own,
    raw: Vec<u8>,
    mode: String,
    blob: String,
}

/// What of a file is the user's and stands in no commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Nothing.
    Nothing,
    /// Changes to what is committed.
    Changes,
    /// All of it: git neither tracks nor ignores it.
    All,
}

/// What became of applying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The files are changed, or would be.
    Yes,
    /// They are as the patch would make them.
    Before,
    /// Nothing was changed, for these reasons.
    Conflicts(Vec<String>),
}

impl Source {
    /// The patch from one commit to another, for `git apply`.
    pub async fn patch(&self, state: &str, commit: &str) -> Result<Vec<u8>, WorkspaceError> {
        let args = [
            "diff-tree",
            "-r",
            "-p",
            "--binary",
            "--full-index",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            state,
            commit,
        ];
        self.git.bytes(&args, b"").await
    }

    /// How many lines of which files the patch changes, for people.
    pub async fn stat(&self, state: &str, commit: &str) -> Result<String, WorkspaceError> {
        self.git.text(&["diff-tree", "-r", "--stat=100", "--no-renames", state, commit]).await
    }

    /// What was changed, file by file.
    pub async fn changes(&self, state: &str, commit: &str) -> Result<Vec<Change>, WorkspaceError> {
        let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", state, commit];
        let listed = self.git.bytes(&args, b"").await?;
        let (edited, new) = self.dirty().await?;
        let own = |raw: &[u8]| match () {
            () if new.contains(raw) => Own::All,
            () if edited.contains(raw) => Own::Changes,
            () => Own::Nothing,
        };
        let mut parts = listed.split(|byte| *byte == 0);
        let mut changes = Vec::new();
        while let (Some(head), Some(raw)) = (parts.next(), parts.next()) {
            let head = String::from_utf8_lossy(head).into_owned();
            let words: Vec<&str> = head.split(' ').collect();
            let [_, mode, _, blob, what] = words[..] else { continue };
            changes.push(Change {
                what: what.chars().next().unwrap_or('M'),
                path: visible_line(&String::from_utf8_lossy(raw)).into_owned(),
                own: own(raw),
                raw: raw.to_owned(),
                mode: mode.to_owned(),
                blob: blob.to_owned(),
            });
        }
        Ok(changes)
    }

    /// Files that differ from what is committed, and those that git does not track and does not ignore.
    async fn dirty(&self) -> Result<(BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>), WorkspaceError> {
        let changed = self.git.bytes(&["diff-index", "-z", "--name-only", "HEAD"], b"").await?;
        let new = self.git.bytes(&["ls-files", "-z", "-o", "--exclude-standard"], b"").await?;
        let names = |list: &[u8]| {
            let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            names.map(<[u8]>::to_owned).collect()
        };
        Ok((names(&changed), names(&new)))
    }

    /// Brings the changes into the files. With `dry`, says only what would become of it.
    pub async fn apply(
        &self,
        patch: &[u8],
        changes: &[Change],
        dry: bool,
    ) -> Result<Applied, WorkspaceError> {
        let mut reasons = Vec::new();
        for change in changes {
            reasons.extend(self.objection(change).await?);
        }
        if !reasons.is_empty() {
            return Ok(Applied::Conflicts(reasons));
        }
        let check = ["apply", "--check", "--whitespace=nowarn", "-"];
        if let Err(why) = self.git.says(&check, patch).await? {
            let back = ["apply", "--check", "--reverse", "--whitespace=nowarn", "-"];
            if self.git.says(&back, patch).await?.is_ok() {
                return Ok(Applied::Before);
            }
            return Ok(Applied::Conflicts(words(&why)));
        }
        if !dry {
            self.git.bytes(&["apply", "--whitespace=nowarn", "-"], patch).await?;
        }
        Ok(Applied::Yes)
    }

    /// What git would do and a person would not want: a link out of the repository, another commit of a submodule.
    async fn objection(&self, change: &Change) -> Result<Option<String>, WorkspaceError> {
        let path = &change.path;
        tree::refuse_name(&change.raw)?;
        if change.mode == "160000" {
            return Ok(Some(format!("{path}: it is another commit of a submodule")));
        }
        if change.mode != "120000" {
            return Ok(None);
        }
        let target = self.git.at_most(&["cat-file", "blob", &change.blob], b"", 64 * 1024).await?;
        let target = target.unwrap_or_default();
        if leads_out(&change.raw, &target) {
            let shown = String::from_utf8_lossy(&target).into_owned();
            return Ok(Some(format!(
                "{path}: it is a link out of the repository, to {}",
                visible_line(&shown)
            )));
        }
        Ok(None)
    }
}

/// Whether a link at `path` with this target leaves the repository, as far as its words say.
fn leads_out(path: &[u8], target: &[u8]) -> bool {
    let target = Path::new(OsStr::from_bytes(target));
    let mut depth = Path::new(OsStr::from_bytes(path)).components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if name.eq_ignore_ascii_case(".git") => return true,
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    false
}

/// Git's reasons, fit to be shown.
fn words(err: &str) -> Vec<String> {
    let lines = err.lines().filter_map(|line| line.strip_prefix("error: "));
    // The place of a conflict is told before the file.
    let lines = lines.filter(|line| !line.ends_with(": patch does not apply"));
    let shown = lines.map(|line| visible_line(line.trim_start_matches("patch failed: ")).into_owned());
    let mut reasons: Vec<String> = shown.take(REASONS_MAX).collect();
    if reasons.is_empty() {
        reasons.push("git does not say why".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_stay_inside_are_told_from_those_that_do_not() {
        for (path, target, out) in [
            ("a", "b", false),
            ("d/a", "../b", false),
            ("d/e/a", "../../b/c", false),
            ("a", "../b", true),
            ("d/a", "../../b", true),
            ("a", "/etc/passwd", true),
            ("a", ".git/config", true),
            ("d/a", "x/../../../b", true),
        ] {
            assert_eq!(leads_out(path.as_bytes(), target.as_bytes()), out, "{path} -> {target}");
        }
    }
}
