//! The files of the project, as git would keep them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file with its path from the root of the project.
#[derive(Debug, Clone)]
pub struct File {
    /// Path with `/`.
    pub path: String,
    /// Contents; empty when they are no text.
    pub text: String,
}

impl File {
    /// Whether the file lies in `folder` (which ends with `/`) and its name ends with `end`.
    pub fn is(&self, folder: &str, end: &str) -> bool {
        self.path.starts_with(folder) && self.path.ends_with(end)
    }

    /// The name after the last `/`.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// `path:line`, the line counted from the byte offset.
    pub fn at(&self, offset: usize) -> String {
        let line = 1 + self.text[..offset].bytes().filter(|byte| *byte == b'\n').count();
        format!("{}:{line}", self.path)
    }
}

/// All files.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
}

impl Tree {
    /// The root of the project.
    pub fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// The real tree: what git keeps or would keep.
    pub fn read() -> Self {
        let mut paths = git_files().unwrap_or_else(walked_files);
        paths.sort();
        paths.dedup();
        let read = |path: &PathBuf| {
            let bytes = std::fs::read(Self::root().join(path)).ok()?;
            let path = path.to_str().expect("paths are UTF-8").to_owned();
            Some(File { path, text: String::from_utf8(bytes).unwrap_or_default() })
        };
        let files: Vec<File> = paths.iter().filter_map(read).collect();
        assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the tree was not read");
        Self { files }
    }

    /// A made-up tree.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self { files: files.iter().map(file).collect() }
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or folder is there.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// The files of `folder` whose names end with `end`.
    pub fn under<'a>(&'a self, folder: &'a str, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.is(folder, end))
    }
}

/// Kept files and new ones that are not ignored; `None` outside of a git checkout.
fn git_files() -> Option<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(Tree::root())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    Some(text.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect())
}

/// The same for an unpacked archive.
fn walked_files() -> Vec<PathBuf> {
    let skipped = |entry: &walkdir::DirEntry| {
        let name = entry.file_name();
        name == "node_modules" || name == ".git" || (entry.depth() == 1 && name == "target")
    };
    let walk = walkdir::WalkDir::new(Tree::root()).into_iter().filter_entry(|entry| !skipped(entry));
    walk.flatten()
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| entry.path().strip_prefix(Tree::root()).map(Path::to_owned).ok())
        .collect()
}

#[test]
fn an_archive_holds_what_git_keeps() {
    let Some(mut kept) = git_files() else { return };
    // A file that git keeps and that was removed a moment ago is in neither.
    kept.retain(|path| Tree::root().join(path).is_file());
    let walked = walked_files();
    let missing: Vec<_> = kept.iter().filter(|path| !walked.contains(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
