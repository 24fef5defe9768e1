//! The tools of the built-in agent: what a model may do in its work directory, and how it is kept there.
//!
//! Invariants: a call never fails, it answers with words that the model can act on. Every answer is bounded, every
//! call ends. Files are opened by [`root`], below the work directory; commands run under a [`Confinement`] in a
//! process tree that ends with the call.
//!
//! Not here: which call is made and what is remembered of it (the loop), and printing.

mod args;
pub mod bash;
pub mod confine;
mod edit;
mod files;
mod near;
mod plan;
mod read;
mod root;
mod search;
mod spec;
mod text;
mod walk;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub use confine::Confinement;
pub use plan::{PlanItem, PlanState};
pub use spec::{ToolName, ToolSpec};

use crate::store::ensure_private_dir;
use crate::util::{closest, visible_line};
use args::Arguments;
use bash::Bash;
use root::Root;

/// Most lines of an answer that are shown to a person.
const SHOWN_LINES: usize = 16;

/// Longest of them, in characters.
const SHOWN_WIDTH: usize = 160;

/// One call, as the model wrote it.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The model's name of the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, or what the model took for it.
    pub arguments: String,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// Whether it did what was asked.
    pub ok: bool,
    /// The answer for the model, bounded. Bytes of files and commands stand in it as they are.
    pub text: String,
    /// Bytes at the beginning of `text` that are the same when the same comes of a call again: how long it took is behind
    /// them.
    pub steady: usize,
    /// The answer for a person: few short lines without control characters.
    pub shown: Vec<String>,
    /// Files that were changed, relative to the work directory.
    pub changed: Vec<PathBuf>,
}

/// What the tools may take.
#[derive(Debug, Clone, Copy)]
pub struct ToolLimits {
    /// Bytes of an answer of `read` and `search`.
    pub answer_bytes: usize,
    /// Bytes of a command's output that the model gets; the rest is in a file.
    pub output_bytes: usize,
    /// Bytes of output after which a command is ended.
    pub overflow_bytes: u64,
    /// How long a command may run when the call does not say.
    pub bash_timeout: Duration,
    /// How long it may run at most.
    pub bash_timeout_max: Duration,
    /// Processes that a command may have at once.
    pub processes: usize,
    /// How long a search may take.
    pub search_timeout: Duration,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            answer_bytes: 48 * 1024,
            output_bytes: 30 * 1024,
            overflow_bytes: 64 * 1024 * 1024,
            bash_timeout: Duration::from_mins(2),
            bash_timeout_max: Duration::from_mins(10),
            processes: 512,
            search_timeout: Duration::from_secs(20),
        }
    }
}

/// What a [`Toolbox`] is made of.
#[derive(Debug)]
pub struct ToolboxSetup {
    /// The work directory.
    pub root: PathBuf,
    /// The tools that the role may use.
    pub palette: Vec<ToolName>,
    /// How commands are confined.
    pub confinement: Confinement,
    /// The environment that commands get; [`bash::environment`] chooses it.
    pub env: Vec<(OsString, OsString)>,
    /// Where whole outputs are kept that were cut for the model.
    pub overflow_dir: PathBuf,
    /// The darkmux binary, which watches over commands (`darkmux tool-guard`).
    pub darkmux: PathBuf,
    /// Bounds.
    pub limits: ToolLimits,
}

/// Why there is no toolbox.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxError {
    /// The work directory can't be used.
    #[error("the work directory {path}: {source}; give a folder that is there with --workdir")]
    Root {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder for the tools' own files can't be made.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a tool could not do, in words that say what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What a tool did.
#[derive(Debug)]
struct Done {
    ok: bool,
    text: String,
    /// See [`ToolOutcome`]; `None` is all of it.
    steady: Option<usize>,
    shown: Vec<String>,
    changed: Vec<PathBuf>,
}

/// The tools of one role at work in one folder.
#[derive(Debug)]
pub struct Toolbox {
    root: Arc<Root>,
    overflow: Root,
    palette: Vec<ToolName>,
    limits: ToolLimits,
    plan: Vec<PlanItem>,
    bash: Bash,
}

impl Toolbox {
    /// Opens the work directory and makes what the tools need beside it.
    pub fn new(setup: ToolboxSetup) -> Result<Self, ToolboxError> {
        let ToolboxSetup { root, palette, confinement, env, overflow_dir, darkmux, limits } = setup;
        let opened = Root::open(&root).map_err(|source| ToolboxError::Root { path: root, source })?;
        let folder = |path: &Path| {
            let path = path.to_owned();
            move |source| ToolboxError::Folder { path, source }
        };
        ensure_private_dir(&overflow_dir).map_err(folder(&overflow_dir))?;
        let overflow = Root::open(&overflow_dir).map_err(folder(&overflow_dir))?;
        let temp = temp_dir().map_err(folder(&std::env::temp_dir()))?;
        let bash = Bash::new(confinement, env, darkmux, temp);
        Ok(Self { root: Arc::new(opened), overflow, palette, limits, plan: Vec::new(), bash })
    }

    /// The tools of the palette, as the model is told of them.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.palette.iter().map(|tool| tool.spec(&self.limits)).collect()
    }

    /// Makes one call. `tell` hears lines of progress, for a person, while it runs. Cancelling ends it soon, with
    /// words that say so; dropping the future ends it as well.
    pub async fn call(
        &mut self,
        call: &ToolCall,
        cancel: &CancellationToken,
        tell: &mut dyn FnMut(&str),
    ) -> ToolOutcome {
        let done = match self.tool(&call.name) {
            Ok(tool) => self.run(tool, &call.arguments, cancel, tell).await,
            Err(refusal) => Err(refusal),
        };
        match done {
            Ok(done) => outcome(done),
            Err(Refusal(text)) => {
                let shown = text.lines().take(1).map(str::to_owned).collect();
                outcome(Done { ok: false, text, steady: None, shown, changed: Vec::new() })
            }
        }
    }

    /// How commands are confined, in one line.
    pub fn confinement(&self) -> &Confinement {
        self.bash.confinement()
    }

    /// The checklist as the model wrote it last.
    pub fn plan(&self) -> &[PlanItem] {
        &self.plan
    }

    /// Takes the checklist of an earlier run over.
    pub fn set_plan(&mut self, plan: Vec<PlanItem>) {
        self.plan = plan;
    }

    fn tool(&self, name: &str) -> Result<ToolName, Refusal> {
        if let Some(tool) = self.palette.iter().find(|tool| tool.as_str() == name) {
            return Ok(*tool);
        }
        let have: Vec<_> = self.palette.iter().map(|tool| tool.as_str()).collect();
        let shown = visible_line(&name.chars().take(64).collect::<String>()).into_owned();
        let why = match (ToolName::named(name), closest(name, have.iter().copied())) {
            (Some(_), _) => format!("this role may not use `{shown}`."),
            (None, Some(near)) => format!("there is no tool `{shown}`; did you mean `{near}`?"),
            (None, None) => format!("there is no tool `{shown}`."),
        };
        Err(Refusal::new(format!("{why} The tools are: {}.", have.join(", "))))
    }

    async fn run(
        &mut self,
        tool: ToolName,
        arguments: &str,
        cancel: &CancellationToken,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Done, Refusal> {
        let arguments = Arguments::parse(tool, arguments)?;
        match tool {
            ToolName::Read => read::run(&self.root, &self.overflow, &arguments.take()?, &self.limits),
            ToolName::Search => search::run(&self.root, arguments.take()?, &self.limits, cancel).await,
            ToolName::Edit => files::edit(&self.root, &arguments.take()?),
            ToolName::Write => files::write(&self.root, &arguments.take()?),
            ToolName::Plan => plan::run(&mut self.plan, arguments.take()?),
            ToolName::Bash => {
                let room =
                    bash::Room { root: &self.root, overflow: self.overflow.path(), limits: &self.limits };
                self.bash.run(room, arguments.take()?, cancel, tell).await
            }
        }
    }
}

fn outcome(done: Done) -> ToolOutcome {
    let Done { ok, text, steady, shown, changed } = done;
    let steady = steady.unwrap_or(text.len());
    let more = shown.len().saturating_sub(SHOWN_LINES);
    let mut shown: Vec<String> =
        shown.iter().take(SHOWN_LINES).map(|line| text::cut(&visible_line(line), SHOWN_WIDTH)).collect();
    if more > 0 {
        shown.push(format!("… {more} more"));
    }
    ToolOutcome { ok, text, steady, shown, changed }
}

/// A folder of our own for commands' temporary files. Its path is short, because sockets are made in it.
fn temp_dir() -> io::Result<TempDir> {
    let real = std::env::temp_dir().canonicalize()?;
    tempfile::Builder::new().prefix("darkmux-").tempdir_in(real)
}
