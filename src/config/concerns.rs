//! One small struct a concern: what the layers above get to see of the configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, ConfigError, machine_id};
use crate::model::MachineId;

/// What a record says about where it comes from.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// This machine.
    pub machine_id: MachineId,
    /// What drives the fleet.
    pub orchestrator: Option<String>,
}

/// Where and how records are kept.
#[derive(Debug, Clone)]
pub struct FlowConfig {
    /// Folder of the day files.
    pub dir: PathBuf,
    /// Folder of the audit chain; `None` when it is off.
    pub audit_dir: Option<PathBuf>,
    /// Sync every record, not only within a second.
    pub sync_always: bool,
    /// Written into every record.
    pub provenance: Provenance,
}

/// How the daemon listens.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Further allowed values of `Host`.
    pub hosts: Vec<String>,
}

/// How sessions are kept.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// One folder a session is made here.
    pub dir: PathBuf,
    /// Bytes of output kept in memory.
    pub scrollback_bytes: usize,
    /// Bytes of output kept on disk.
    pub log_bytes: u64,
    /// Time between the polite signals and KILL.
    pub grace: Duration,
}

/// Where roles come from and what runs them.
#[derive(Debug, Clone)]
pub struct CrewConfig {
    /// Folder of the user's roles.
    pub roles_dir: PathBuf,
    /// The user's own preamble, which replaces the builtin one when the file exists.
    pub preamble: PathBuf,
    /// Agent CLIs in the order in which they are tried.
    pub agents: Vec<String>,
    /// The folders of `PATH`.
    pub path_dirs: Vec<PathBuf>,
    /// The user's shell.
    pub shell: Option<PathBuf>,
}

/// Where models are asked for.
#[derive(Debug, Clone)]
pub struct ModelsConfig {
    /// LM Studio or another OpenAI-compatible server.
    pub lmstudio_url: String,
    /// Ollama.
    pub ollama_url: String,
}

impl Config {
    /// This machine's name; see [`machine_id`].
    pub fn machine_id(&self) -> Result<MachineId, ConfigError> {
        machine_id(self)
    }

    /// The folder of the day files.
    pub fn flows_dir(&self) -> PathBuf {
        self.settings.path("dirs.flows", &self.env).unwrap_or_else(|| self.paths.home().join("flows"))
    }

    /// The folder of the audit chain; `None` when it is off.
    pub fn audit_dir(&self) -> Option<PathBuf> {
        let by_env = self.env.get("DARKMUX_AUDIT_DIR").is_some();
        (by_env || self.settings.flag("audit.enabled")).then(|| {
            self.settings.path("audit.dir", &self.env).unwrap_or_else(|| self.paths.home().join("audit"))
        })
    }

    /// Where and how records are kept.
    pub fn flow(&self) -> Result<FlowConfig, ConfigError> {
        let provenance = Provenance {
            machine_id: self.machine_id()?,
            orchestrator: self.settings.text("orchestrator").map(str::to_owned),
        };
        Ok(FlowConfig {
            dir: self.flows_dir(),
            audit_dir: self.audit_dir(),
            sync_always: self.settings.text("flow.sync") == Some("always"),
            provenance,
        })
    }

    /// How the daemon listens.
    pub fn serve(&self) -> ServeConfig {
        let bind = self.settings.text("serve.bind").and_then(|text| text.parse().ok());
        ServeConfig {
            bind: bind.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            port: u16::try_from(self.settings.number("serve.port")).unwrap_or(0),
            hosts: self.settings.list("serve.hosts"),
        }
    }

    /// How sessions are kept.
    pub fn session(&self) -> SessionConfig {
        let number = |name| self.settings.number(name);
        SessionConfig {
            dir: self.paths.sessions(),
            scrollback_bytes: usize::try_from(number("session.scrollback_bytes")).unwrap_or(usize::MAX),
            log_bytes: number("session.log_bytes"),
            grace: self.settings.duration("session.grace"),
        }
    }

    /// Where roles come from and what runs them.
    pub fn crew(&self) -> CrewConfig {
        let root = self.settings.path("dirs.crew", &self.env);
        let root = root.unwrap_or_else(|| self.paths.home().to_owned());
        CrewConfig {
            roles_dir: root.join("roles"),
            preamble: root.join("AUTONOMOUS_DISPATCH_PREAMBLE.md"),
            agents: self.settings.list("crew.agents"),
            path_dirs: self.env.path_dirs(),
            shell: self.env.get("SHELL").map(PathBuf::from),
        }
    }

    /// Where models are asked for.
    pub fn models(&self) -> ModelsConfig {
        let url = |name| self.settings.text(name).unwrap_or_default().trim_end_matches('/').to_owned();
        ModelsConfig { lmstudio_url: url("lmstudio_url"), ollama_url: url("ollama_url") }
    }
}
