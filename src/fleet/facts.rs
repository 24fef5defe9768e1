//! What this machine is and has: what presence says of it and what requirements are held against.
//!
//! Invariants: asking costs nothing more often than every [`FRESH`]; what is slow to find out is asked for every
//! [`SLOW`] only. Whoever asks waits a bounded time, and not at all where facts of a moment ago will do.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Catalog, Hardware, Models, devices, hardware};
use crate::config::{CrewConfig, ModelsConfig, RunnerConfig};
use crate::crew::{Availability, Crew, find_program};
use crate::model::MachineId;
use crate::util::OneThread;
use crate::wire::MachineBeat;
use crate::workspace;

/// How old facts may be.
pub const FRESH: Duration = Duration::from_secs(5);

/// How old facts may be for who can't wait. A sign of life makes new ones every few seconds.
const RECENT: Duration = Duration::from_secs(20);

/// How old those may be that take reading many files or asking servers.
const SLOW: Duration = Duration::from_secs(30);

/// How often model servers are asked; they log it.
const MODELS_EVERY: Duration = Duration::from_secs(15);

/// How long the system may take to say what is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most folders looked at for repositories, and most repositories.
const FOLDERS_MAX: usize = 2000;
const REPOS_MAX: usize = 500;

/// What a machine is and has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Its name.
    pub machine_id: MachineId,
    /// `macos` or `linux`.
    pub os: String,
    /// Such as `aarch64`.
    pub arch: String,
    /// Processors that this process may use.
    pub cores: u64,
    /// Memory, in bytes.
    pub ram: Option<u64>,
    /// Memory that could still be used, in bytes.
    pub free_ram: Option<u64>,
    /// Processes that wanted to run, over the last minute.
    pub load1: Option<f64>,
    /// Whose graphics processor it has.
    pub gpu: Option<String>,
    /// Whether it runs on mains power.
    pub ac_power: Option<bool>,
    /// Models that are loaded.
    pub models_loaded: Vec<String>,
    /// Models that its servers could load.
    pub models_available: Vec<String>,
    /// Roles that can run here.
    pub roles: Vec<String>,
    /// Agent CLIs that are here.
    pub agents: Vec<String>,
    /// Git work trees directly below the user's folders in which jobs may run.
    pub repos: Vec<String>,
    /// Its labels: `key` or `key=value`, and `workspace` where it has git.
    pub labels: Vec<String>,
}

impl Facts {
    /// What a machine said of itself. `None` when its name is no machine id.
    pub fn of_beat(beat: &MachineBeat) -> Option<Self> {
        let beat = beat.clone();
        Some(Self {
            machine_id: MachineId::new(beat.name()).ok()?,
            os: beat.os.unwrap_or_default(),
            arch: beat.arch.unwrap_or_default(),
            cores: beat.cores.unwrap_or(0),
            ram: beat.ram_total_bytes,
            free_ram: beat.ram_free_bytes,
            load1: beat.load1,
            gpu: beat.gpu,
            ac_power: beat.ac_power,
            models_loaded: beat.loaded_models,
            models_available: beat.models,
            roles: beat.roles,
            agents: beat.agents,
            repos: beat.repos,
            labels: beat.labels,
        })
    }
}

/// Where the facts of this machine come from.
#[derive(Debug)]
pub struct FactsSource {
    machine_id: MachineId,
    labels: Vec<String>,
    workdirs: Vec<PathBuf>,
    crew: CrewConfig,
    models: Arc<Models>,
    kept: Mutex<Kept>,
    /// The newest, for who can't wait.
    newest: RwLock<Option<(Instant, Facts)>>,
}

#[derive(Debug, Default)]
struct Kept {
    slow: Option<(Instant, Slow)>,
    models: Option<(Instant, Catalog)>,
    /// Looks at what is slow: folders that jobs name may lie on a disk that hangs.
    looking: OneThread<Slow>,
    /// Asks the system for memory and load.
    asking: OneThread<(Hardware, Option<f64>)>,
}

/// What is slow to find out.
#[derive(Debug, Clone, Default)]
struct Slow {
    gpu: Option<String>,
    ac_power: Option<bool>,
    roles: Vec<String>,
    agents: Vec<String>,
    repos: Vec<String>,
}

impl FactsSource {
    /// Asks nothing yet.
    pub fn new(machine_id: MachineId, runner: &RunnerConfig, crew: CrewConfig, models: ModelsConfig) -> Self {
        let mut labels = runner.labels.clone();
        if find_program("git", &crew.path_dirs).is_some() {
            labels.push(workspace::LABEL.to_owned());
        }
        Self {
            machine_id,
            labels,
            // In the first one are the folders of jobs: copies of the repositories of whoever dispatched them.
            workdirs: runner.workdirs.get(1..).unwrap_or_default().to_vec(),
            crew,
            models: Arc::new(Models::new(models)),
            kept: Mutex::default(),
            newest: RwLock::default(),
        }
    }

    /// The facts, at most [`FRESH`] old.
    pub async fn facts(&self) -> Facts {
        // Held while asking, so that many who ask at once ask the system once.
        let mut kept = self.kept.lock().await;
        if let Some(facts) = self.newest(FRESH) {
            return facts;
        }
        let slow = self.slow(&mut kept).await;
        let load = || sysinfo::System::load_average().ok().map(|load| load.one);
        let models = kept.models.take();
        let asked = kept.asking.ask(PATIENCE, move || (hardware(), load()));
        let (asked, models) = tokio::join!(asked, self.catalog(models));
        let catalog = models.1.clone();
        kept.models = Some(models);
        let (hardware, load1) = asked.unzip();
        let facts = Facts {
            machine_id: self.machine_id.clone(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
            ram: hardware.as_ref().and_then(|hardware| hardware.ram_total),
            free_ram: hardware.as_ref().and_then(|hardware| hardware.ram_available),
            load1: load1.flatten(),
            gpu: slow.gpu,
            ac_power: slow.ac_power,
            models_loaded: catalog.loaded,
            models_available: catalog.available,
            roles: slow.roles,
            agents: slow.agents,
            repos: slow.repos,
            labels: self.labels.clone(),
        };
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), facts.clone()));
        facts
    }

    /// The facts, at most [`RECENT`] old: at once, where there are such. A job must not wait for a model server.
    pub async fn recent(&self) -> Facts {
        match self.newest(RECENT) {
            Some(facts) => facts,
            None => self.facts().await,
        }
    }

    fn newest(&self, age: Duration) -> Option<Facts> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, facts)| facts.clone())
    }

    async fn catalog(&self, kept: Option<(Instant, Catalog)>) -> (Instant, Catalog) {
        match kept {
            Some(kept) if kept.0.elapsed() < MODELS_EVERY => kept,
            _ => (Instant::now(), self.models.catalog().await.unwrap_or_default()),
        }
    }

    async fn slow(&self, kept: &mut Kept) -> Slow {
        if let Some((at, slow)) = &kept.slow
            && at.elapsed() < SLOW
        {
            return slow.clone();
        }
        let (crew, workdirs) = (self.crew.clone(), self.workdirs.clone());
        let found = kept.looking.ask(PATIENCE, move || look(&crew, &workdirs)).await;
        // A disk that hangs leaves what was known.
        let slow = found.or_else(|| kept.slow.take().map(|(_, slow)| slow)).unwrap_or_default();
        kept.slow = Some((Instant::now(), slow.clone()));
        slow
    }
}

fn look(crew: &CrewConfig, workdirs: &[PathBuf]) -> Slow {
    let entries = Crew::open(crew).list();
    let ready = || entries.iter().filter(|entry| matches!(entry.availability, Availability::Ready { .. }));
    Slow {
        gpu: devices::gpu(),
        ac_power: devices::ac_power(),
        roles: ready().map(|entry| entry.name.clone()).collect(),
        agents: ready().filter(|entry| entry.agent).map(|entry| entry.name.clone()).collect(),
        repos: repos(workdirs),
    }
}

/// The names of git work trees among these folders and directly below them.
fn repos(roots: &[PathBuf]) -> Vec<String> {
    let below =
        |root: &PathBuf| std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = roots.iter().flat_map(|root| std::iter::once(root.clone()).chain(below(root)));
    // A linked work tree has a file of this name, not a folder.
    let is_tree = |path: &PathBuf| path.join(".git").exists();
    let name = |path: PathBuf| Path::file_name(&path)?.to_str().map(str::to_owned);
    let mut names: Vec<String> = folders.take(FOLDERS_MAX).filter(is_tree).filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(REPOS_MAX);
    names
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::{Config, Environment};

    #[test]
    fn repositories_are_found_below_the_folders_of_jobs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["code/darkmux/.git", "code/notes", "code/deep/er/.git", "alone/.git"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("code/linked")).unwrap();
        std::fs::write(dir.path().join("code/linked/.git"), "gitdir: /x").unwrap();
        let roots = ["code", "alone", "none"].map(|name| dir.path().join(name));
        assert_eq!(repos(&roots), ["alone", "darkmux", "linked"]);
    }

    #[tokio::test]
    async fn this_machine_has_facts_and_they_are_kept_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = "http://127.0.0.1:9";
        let vars = [
            ("HOME", dir.path().to_str().unwrap()),
            ("PATH", "/usr/bin:/bin"),
            ("DARKMUX_RUNNER_LABELS", "xcode,room=cellar"),
            ("DARKMUX_LMSTUDIO_URL", nowhere),
            ("DARKMUX_OLLAMA_URL", nowhere),
        ];
        let config = Config::load(Environment::of(vars), &[]).unwrap();
        let id = MachineId::new("m").unwrap();
        let source = FactsSource::new(id, &config.runner(), config.crew(), config.models());
        let facts = source.facts().await;
        assert!(facts.ram > Some(1 << 26) && facts.cores > 0, "{facts:?}");
        assert!(facts.roles.contains(&"shell".to_owned()), "{facts:?}");
        assert_eq!(facts.labels, ["xcode", "room=cellar", "workspace"], "git is here");
        assert_eq!(source.facts().await, facts, "the free memory would differ");
        // Somebody asks the system, and does not come to an end.
        let _asking = source.kept.lock().await;
        assert_eq!(source.recent().now_or_never(), Some(facts));
    }

    #[test]
    fn folders_of_jobs_are_no_repositories_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let vars = [("HOME", dir.path().to_str().unwrap()), ("DARKMUX_RUNNER_WORKDIRS", "~/code")];
        let config = Config::load(Environment::of(vars), &[]).unwrap();
        let id = MachineId::new("m").unwrap();
        let source = FactsSource::new(id, &config.runner(), config.crew(), config.models());
        assert_eq!(source.workdirs, [dir.path().join("code")]);
    }
}
