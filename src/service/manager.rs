//! The service manager of this system, and having it do something.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::run::{Answer, LIMIT, run};
use super::unit::{Kind, Unit};
use super::{ServiceError, UnitState, launchd, systemd};
use crate::config::{Config, Environment};

/// How long asking whether a manager is there may take, also on a machine that is very busy.
const PROBE: Duration = Duration::from_secs(10);

/// How long a service may take to go after it was told to.
const LEAVING: Duration = Duration::from_secs(30);

/// How long launchd may refuse a service whose predecessor it still clears away.
const CLEARING: Duration = Duration::from_secs(10);

/// What launchd says meanwhile: an I/O error, an operation in progress.
const BUSY: &[i32] = &[5, 36, 37];

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Who runs services here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// launchd, by `launchctl`.
    Launchd,
    /// The user's systemd, by `systemctl --user`.
    Systemd,
    /// Nobody: a container, or a system of another kind.
    None,
}

impl Manager {
    /// The manager whose program is on `PATH`; whether it is at work is another question.
    pub fn of_path(env: &Environment) -> Self {
        let has = |program: &str| env.path_dirs().iter().any(|dir| dir.join(program).is_file());
        if has("launchctl") {
            Self::Launchd
        } else if has("systemctl") {
            Self::Systemd
        } else {
            Self::None
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Launchd => "launchd",
            Self::Systemd => "systemd",
            Self::None => "none",
        }
    }
}

/// Something that a manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// When it is done.
    pub then: Then,
}

/// When a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// When the program says so.
    Done,
    /// The same; refusals of a busy manager are no answer yet.
    Again,
    /// When the manager does not know this unit any more, whatever the program says.
    Gone(Kind),
}

/// The services of this user.
#[derive(Debug, Clone)]
pub struct Services {
    manager: Manager,
    env: Environment,
    user_home: PathBuf,
}

impl Services {
    /// Those of the manager on `PATH`, which may not be at work.
    pub fn of_path(config: &Config) -> Result<Self, ServiceError> {
        let user_home = config.user_home().ok_or(ServiceError::NoHome)?;
        Ok(Self { manager: Manager::of_path(config.env()), env: config.env().clone(), user_home })
    }

    /// Those of the manager that is at work here, or of none.
    pub async fn at_work(config: &Config) -> Result<Self, ServiceError> {
        let mut services = Self::of_path(config)?;
        if services.manager == Manager::Systemd {
            // One that does not answer in time is no absent one: that is an error.
            if !systemd::says_it_is_there(&run(&systemd::is_there(), &services.env, PROBE).await?) {
                services.manager = Manager::None;
            }
        }
        Ok(services)
    }

    /// Who runs them.
    pub fn manager(&self) -> Manager {
        self.manager
    }

    /// The files of a unit, with what belongs into them.
    pub(super) fn written(&self, unit: &Unit) -> Result<Vec<(PathBuf, String)>, ServiceError> {
        unit.check()?;
        match self.manager {
            Manager::Launchd => Ok(vec![(launchd::path(&self.user_home, unit.kind), launchd::plist(unit))]),
            Manager::Systemd => Ok(systemd::files(&self.user_home, unit)),
            Manager::None => Err(ServiceError::NoManager),
        }
    }

    /// Where the files of a unit are, or would be.
    pub fn paths(&self, kind: Kind) -> Vec<PathBuf> {
        match self.manager {
            Manager::Launchd => vec![launchd::path(&self.user_home, kind)],
            Manager::Systemd => systemd::paths(&self.user_home, kind),
            Manager::None => Vec::new(),
        }
    }

    /// Whether a unit is written down here.
    pub fn is_installed(&self, kind: Kind) -> bool {
        self.paths(kind).iter().any(|path| path.exists())
    }

    /// What makes the manager run a unit as its files say.
    pub(super) fn loading(&self, kind: Kind, changed: bool, state: &UnitState) -> Vec<Step> {
        match self.manager {
            Manager::Launchd => {
                self.paths(kind).iter().flat_map(|file| launchd::load(kind, file, state)).collect()
            }
            Manager::Systemd => systemd::load(kind, changed, state),
            Manager::None => Vec::new(),
        }
    }

    /// What makes it forget a unit.
    pub(super) fn unloading(&self, kind: Kind) -> Vec<Step> {
        match self.manager {
            Manager::Launchd => launchd::unload(kind),
            Manager::Systemd => systemd::unload(kind),
            Manager::None => Vec::new(),
        }
    }

    /// What makes it notice that files are gone.
    pub(super) fn reloading(&self) -> Vec<Step> {
        if self.manager == Manager::Systemd { vec![systemd::reload()] } else { Vec::new() }
    }

    /// What makes a unit start anew.
    pub fn restarting(&self, kind: Kind) -> Vec<Step> {
        match self.manager {
            Manager::Launchd => launchd::restart(kind),
            Manager::Systemd => systemd::restart(kind),
            Manager::None => Vec::new(),
        }
    }

    /// How a unit is. Nothing is asked where there is no manager.
    pub async fn state(&self, kind: Kind) -> Result<UnitState, ServiceError> {
        self.state_within(kind, LIMIT).await
    }

    /// As [`state`](Self::state), within a shorter time.
    pub async fn state_within(&self, kind: Kind, limit: Duration) -> Result<UnitState, ServiceError> {
        let argv = match self.manager {
            Manager::Launchd => launchd::question(kind),
            Manager::Systemd => systemd::question(kind),
            Manager::None => return Ok(UnitState::default()),
        };
        let answer = run(&argv, &self.env, limit).await?;
        let read =
            if self.manager == Manager::Launchd { launchd::state(&answer) } else { systemd::state(&answer) };
        read.map_err(|said| ServiceError::Command {
            command: argv.join(" "),
            problem: format!("says: {said}"),
        })
    }

    /// Takes steps one after the other, each to its end.
    pub async fn take(&self, steps: &[Step]) -> Result<(), ServiceError> {
        for step in steps {
            let began = Instant::now();
            loop {
                let answer = run(&step.argv, &self.env, LIMIT).await?;
                match step.then {
                    Then::Gone(kind) => {
                        self.gone(kind, &step.argv, &answer).await?;
                        break;
                    }
                    Then::Again
                        if answer.code.is_some_and(|code| BUSY.contains(&code))
                            && began.elapsed() < CLEARING =>
                    {
                        sleep(PAUSE).await;
                    }
                    _ if answer.is_good() => break,
                    _ => return Err(self.refused(&step.argv, &answer)),
                }
            }
        }
        Ok(())
    }

    /// Waits until a unit is not known any more: launchd answers before it is.
    async fn gone(&self, kind: Kind, argv: &[String], answer: &Answer) -> Result<(), ServiceError> {
        let deadline = Instant::now() + LEAVING;
        while self.state(kind).await?.loaded {
            if Instant::now() > deadline {
                return Err(self.refused(argv, answer));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn refused(&self, argv: &[String], answer: &Answer) -> ServiceError {
        let hint = if self.manager == Manager::Launchd { launchd::hint(answer.code) } else { "" };
        let status = answer.code.map_or("a signal".to_owned(), |code| format!("status {code}"));
        ServiceError::Command {
            command: argv.join(" "),
            problem: format!("ended with {status}: {}{hint}", answer.words()),
        }
    }

    /// Whether services of this user start without anybody's signing in, as far as that is known.
    pub async fn lingers(&self) -> Option<bool> {
        if self.manager != Manager::Systemd {
            return None;
        }
        let user = rustix::process::getuid().as_raw().to_string();
        let argv = ["loginctl", "show-user", &user, "--property=Linger", "--value"].map(str::to_owned);
        let answer = run(&argv, &self.env, PROBE).await.ok().filter(Answer::is_good)?;
        match answer.out.trim() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        }
    }
}
