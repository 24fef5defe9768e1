//! A toolbox of the built-in agent in a home of its own, with a secret beside its work directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use darkmux::agent::tools::confine::Rules;
use darkmux::agent::tools::{
    Confinement, ToolCall, ToolLimits, ToolName, ToolOutcome, Toolbox, ToolboxSetup, bash,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::BIN;

/// A toolbox in a work directory that lies in a home folder.
pub struct Tools {
    _dir: TempDir,
    runtime: Runtime,
    pub home: PathBuf,
    pub root: PathBuf,
    pub toolbox: Toolbox,
    pub told: Vec<String>,
}

impl Tools {
    /// As a role has it: confined by the system's sandbox, which must be there.
    pub fn new() -> Self {
        Self::with(ToolLimits::default(), |home, path| {
            Confinement::of_system(Rules::standard(Some(home), path))
        })
    }

    /// With other limits and another confinement.
    pub fn with(limits: ToolLimits, confinement: impl FnOnce(&Path, &[PathBuf]) -> Confinement) -> Self {
        Self::made(&ToolName::ALL, limits, confinement)
    }

    /// With these tools alone, unconfined.
    pub fn of_palette(palette: &[ToolName]) -> Self {
        Self::made(palette, ToolLimits::default(), |_, _| Confinement::Off)
    }

    fn made(
        palette: &[ToolName],
        limits: ToolLimits,
        confinement: impl FnOnce(&Path, &[PathBuf]) -> Confinement,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("dmx").tempdir().expect("a temporary folder");
        let home = dir.path().canonicalize().expect("it is there").join("home");
        let root = home.join("tree");
        std::fs::create_dir_all(home.join(".ssh")).expect("a folder");
        std::fs::create_dir_all(&root).expect("a folder");
        std::fs::write(home.join(".ssh/id"), "the secret key").expect("a file");
        let path = std::env::var_os("PATH").expect("PATH");
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let vars = [
            (OsStr::new("PATH"), path.as_os_str()),
            (OsStr::new("HOME"), home.as_os_str()),
            (OsStr::new("LANG"), OsStr::new("C.UTF-8")),
            (OsStr::new("OPENAI_API_KEY"), OsStr::new("the secret token")),
        ];
        let setup = ToolboxSetup {
            root: root.clone(),
            palette: palette.to_vec(),
            confinement: confinement(&home, &folders),
            env: bash::environment(vars, &[]),
            overflow_dir: home.join("outputs"),
            darkmux: BIN.into(),
            limits,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let toolbox = Toolbox::new(setup).expect("a toolbox");
        Self { _dir: dir, runtime, home, root, toolbox, told: Vec::new() }
    }

    /// Makes a call to its end.
    pub fn call(&mut self, name: &str, arguments: &Value) -> ToolOutcome {
        self.call_within(name, arguments, &CancellationToken::new(), Duration::from_secs(90))
            .expect("it ends")
    }

    /// Makes a call that is dropped after `limit`.
    pub fn call_within(
        &mut self,
        name: &str,
        arguments: &Value,
        cancel: &CancellationToken,
        limit: Duration,
    ) -> Option<ToolOutcome> {
        let call = ToolCall { id: "1".into(), name: name.into(), arguments: arguments.to_string() };
        let Self { toolbox, told, runtime, .. } = self;
        let mut tell = |line: &str| told.push(line.to_owned());
        runtime.block_on(async {
            tokio::time::timeout(limit, toolbox.call(&call, cancel, &mut tell)).await.ok()
        })
    }

    /// Makes a call that must do what is asked, and returns its answer.
    pub fn ok(&mut self, name: &str, arguments: &Value) -> String {
        let outcome = self.call(name, arguments);
        assert!(outcome.ok, "{name} {arguments}: {}", outcome.text);
        outcome.text
    }

    /// Makes a call that must not, and returns its words.
    pub fn refused(&mut self, name: &str, arguments: &Value) -> String {
        let outcome = self.call(name, arguments);
        assert!(!outcome.ok, "{name} {arguments}: {}", outcome.text);
        outcome.text
    }

    /// Runs a command to its end.
    pub fn bash(&mut self, command: &str) -> ToolOutcome {
        self.call("bash", &serde_json::json!({ "command": command }))
    }

    /// A file of the work directory, as text.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}
