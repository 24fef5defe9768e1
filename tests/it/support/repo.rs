//! A git repository of a user, made by the real program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Home;

/// A work tree in a home.
pub struct Repo<'a> {
    home: &'a Home,
    root: PathBuf,
}

impl<'a> Repo<'a> {
    /// A new repository with these files committed.
    pub fn new(home: &'a Home, name: &str, files: &[(&str, &str)]) -> Self {
        let root = home.path().join(name);
        std::fs::create_dir_all(&root).expect("a folder");
        let repo = Self { home, root };
        repo.git(&["init", "-q", "-b", "main"]);
        repo.git(&["config", "user.name", "Ada"]);
        repo.git(&["config", "user.email", "ada@example.org"]);
        for (name, text) in files {
            repo.write(name, text.as_bytes());
        }
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        repo
    }

    /// One that is there already.
    pub fn at(home: &'a Home, name: &str) -> Self {
        Self { home, root: home.path().join(name) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, bytes).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs git, which must succeed; what it prints.
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.home.command("git").current_dir(&self.root).args(args).output().expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", super::describe(&output));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs git with this input, which must succeed; what it prints, to the byte.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.home.command("git");
        command.current_dir(&self.root).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("git runs");
        child.stdin.take().expect("a pipe").write_all(input).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {args:?}: {}", super::describe(&output));
        output.stdout
    }

    /// Runs darkmux in a folder of the work tree.
    pub fn darkmux(&self, folder: &str, args: &[&str]) -> std::process::Output {
        let mut command = self.home.cmd([]);
        command.current_dir(self.path(folder)).args(args);
        command.output().expect("darkmux runs")
    }

    /// As [`Repo::darkmux`], in the root; it must succeed. Its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.darkmux("", args);
        assert!(output.status.success(), "darkmux {args:?}: {}", super::describe(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}
