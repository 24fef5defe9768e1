//! One small struct a concern: what the layers above get to see of the configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, ConfigError, Endpoint, endpoints, machine_id};
use crate::model::MachineId;
use crate::store::{Password, RedisTarget};
use crate::util::Secret;

/// Fewest digits of a token that the user chose.
const SERVE_TOKEN_DIGITS: usize = 64;

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

/// The fleet's Redis and what is kept there.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Which server.
    pub target: RedisTarget,
    /// Name of the flow's stream.
    pub stream: String,
    /// Records kept in it, about; `None` keeps all.
    pub maxlen: Option<u64>,
}

/// The numbers of the work queue.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// How long a job without a sign of life stays with its runner.
    pub lease: Duration,
    /// Time between signs of life.
    pub beat: Duration,
    /// Time between looks for jobs that lost their runner.
    pub reconcile: Duration,
    /// How long a hinted job waits for its machine.
    pub head_start: Duration,
    /// Waiting jobs at which the queue is full.
    pub max: u64,
    /// How long ended jobs are kept.
    pub result_ttl: Duration,
    /// How long dead letters are kept.
    pub dead_ttl: Duration,
}

/// What jobs of the queue may do on this machine.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// Whether this machine claims jobs.
    pub enabled: bool,
    /// Jobs at once.
    pub slots: usize,
    /// Session hosts that wait ready for jobs, at most one a slot.
    pub spare_hosts: usize,
    /// Command and shell roles that jobs may run, or `*`.
    pub accept: Vec<String>,
    /// Further variables that jobs get.
    pub env: Vec<String>,
    /// Labels of this machine: `key` or `key=value`.
    pub labels: Vec<String>,
    /// Folders below which jobs may run.
    pub workdirs: Vec<PathBuf>,
    /// Newest output of a job kept in Redis, in bytes.
    pub log_bytes: u64,
    /// How long the folder of an ended job stays after the last change in it.
    pub worktrees_age: Duration,
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
    /// Event streams open at once.
    pub streams: usize,
    /// Whether looking needs a token as well, on loopback too.
    pub require_all: bool,
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
    /// The keys that leave an attached session running.
    pub detach_key: String,
    /// Ended sessions that stay.
    pub keep: usize,
    /// Bytes of disk that ended sessions may take altogether.
    pub keep_bytes: u64,
}

/// Where roles come from and what runs them.
#[derive(Debug, Clone)]
pub struct CrewConfig {
    /// Folder of the user's roles.
    pub roles_dir: PathBuf,
    /// The user's own preamble, which replaces the builtin one when the file exists.
    pub preamble: PathBuf,
    /// Agents in the order in which they are tried.
    pub agents: Vec<String>,
    /// What the built-in agent asks.
    pub models: ModelsConfig,
    /// The folders of `PATH`.
    pub path_dirs: Vec<PathBuf>,
    /// The user's shell.
    pub shell: Option<PathBuf>,
}

/// Where models are asked for.
#[derive(Debug, Clone, Default)]
pub struct ModelsConfig {
    /// The servers, in the order in which they are tried: those of `models.endpoints`, LM Studio, Ollama.
    pub endpoints: Vec<Endpoint>,
    /// The model for roles that name none.
    pub default: Option<String>,
    /// The window of the models in tokens, where the user says it.
    pub context: Option<u64>,
    /// The profiles of darkmux 1.9.
    pub profiles: PathBuf,
    /// Whether only the wanted model will do.
    pub strict: bool,
}

/// The limits of the built-in agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// How long a model may take to begin its answer.
    pub first_token: Duration,
    /// How long it may pause within one.
    pub next_token: Duration,
    /// How long one answer may take altogether.
    pub answer_limit: Duration,
    /// Longest answer, in tokens; `None` leaves it to the server.
    pub answer_tokens: Option<u64>,
    /// How often a question is asked again.
    pub retries: u32,
    /// First pause before that.
    pub retry_pause: Duration,
    /// How full the window gets before the conversation is summed up, in percent.
    pub compact_at: u64,
    /// Answers that a job may use.
    pub max_turns: Option<u64>,
    /// Tokens that a job may use.
    pub max_tokens: Option<u64>,
    /// Whether a model that is stuck is told so.
    pub feedback: bool,
    /// Whether what a model thinks stands in the flow.
    pub record_reasoning: bool,
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

    /// The URL of the fleet's Redis, which may hold a password, and the setting that says it.
    pub fn redis_url(&self) -> Option<(String, &'static str)> {
        let text = |name| self.settings.text(name);
        if let Some(url) = text("redis.url") {
            return Some((url.to_owned(), "redis.url"));
        }
        if !self.settings.flag("redis.enabled") {
            return None;
        }
        let number = |name| self.settings.number(name);
        let host = text("redis.host").unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Some((format!("redis://{host}:{}/{}", number("redis.port"), number("redis.db")), "redis.host"))
    }

    /// The fleet's Redis; `None` when this machine works alone.
    pub fn redis(&self) -> Result<Option<RedisConfig>, ConfigError> {
        let Some((url, key)) = self.redis_url() else { return Ok(None) };
        let target = RedisTarget::parse(&url).map_err(|error| ConfigError::BadValue {
            place: "config".to_owned(),
            key,
            problem: error.to_string(),
        })?;
        let target = target
            .with_password(self.redis_password()?)
            .with_ca_file(self.settings.path("redis.ca_file", &self.env));
        let maxlen = self.settings.number("redis.maxlen");
        Ok(Some(RedisConfig {
            target,
            stream: self.settings.text("redis.stream").unwrap_or("darkmux:flow").to_owned(),
            maxlen: (maxlen > 0).then_some(maxlen),
        }))
    }

    fn redis_password(&self) -> Result<Password, ConfigError> {
        if let Some(path) = self.settings.path("redis.password_file", &self.env) {
            return Ok(Password::File(path));
        }
        if let Some(command) = self.settings.text("redis.password_command") {
            let argv = shell_words::split(command).map_err(|error| ConfigError::BadValue {
                place: "config".to_owned(),
                key: "redis.password_command",
                problem: format!("cannot be split into words: {error}"),
            })?;
            return Ok(Password::Command(argv));
        }
        // 1.9's place on macOS; asked only when its setting names a host without a password.
        let keychain = cfg!(target_os = "macos") && self.settings.text("redis.url").is_none();
        Ok(match self.env.get("USER").filter(|_| keychain) {
            Some(user) => Password::Command(
                ["/usr/bin/security", "find-generic-password", "-w", "-s", "darkmux-redis", "-a", user]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            None => Password::None,
        })
    }

    /// The numbers of the work queue.
    pub fn queue(&self) -> QueueConfig {
        let duration = |name| self.settings.duration(name);
        QueueConfig {
            lease: duration("queue.lease"),
            beat: duration("queue.beat"),
            reconcile: duration("queue.reconcile"),
            head_start: duration("queue.head_start"),
            max: self.settings.number("queue.max"),
            result_ttl: duration("queue.result_ttl"),
            dead_ttl: duration("queue.dead_ttl"),
        }
    }

    /// What jobs of the queue may do on this machine.
    pub fn runner(&self) -> RunnerConfig {
        let list = |name| self.settings.list(name);
        let home = |text: String| match (text.strip_prefix("~/"), self.env.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        };
        let workdirs = list("runner.workdirs").into_iter().map(home);
        let count = |name| usize::try_from(self.settings.number(name)).unwrap_or(usize::MAX);
        let slots = count("runner.slots");
        RunnerConfig {
            enabled: self.settings.flag("runner.enabled"),
            slots,
            spare_hosts: count("runner.spare_hosts").min(slots),
            accept: list("runner.accept"),
            env: list("runner.env"),
            labels: list("runner.labels"),
            workdirs: std::iter::once(self.paths.worktrees()).chain(workdirs).collect(),
            log_bytes: self.settings.number("runner.log_bytes"),
            worktrees_age: self.settings.duration("runner.worktrees_age"),
        }
    }

    /// The roster of the fleet.
    pub fn fleet_file(&self) -> PathBuf {
        let set = self.settings.path("dirs.fleet_file", &self.env);
        set.unwrap_or_else(|| self.paths.home().join("fleet.json"))
    }

    /// How the daemon listens.
    pub fn serve(&self) -> ServeConfig {
        let bind = self.settings.text("serve.bind").and_then(|text| text.parse().ok());
        ServeConfig {
            bind: bind.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            port: u16::try_from(self.settings.number("serve.port")).unwrap_or(0),
            hosts: self.settings.list("serve.hosts"),
            streams: usize::try_from(self.settings.number("serve.streams")).unwrap_or(usize::MAX),
            require_all: self.settings.text("serve.require_token") == Some("all"),
        }
    }

    /// The socket of the Tailscale daemon, where the user named one.
    pub fn tailscale_socket(&self) -> Option<PathBuf> {
        self.settings.path("tailscale.socket", &self.env)
    }

    /// The token of `DARKMUX_SERVE_TOKEN`, which counts beside that of the file. It is no setting, so that no
    /// listing shows it.
    pub fn serve_token(&self) -> Result<Option<Secret>, ConfigError> {
        let Some(text) = self.env.get("DARKMUX_SERVE_TOKEN") else { return Ok(None) };
        if text.len() < SERVE_TOKEN_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ConfigError::BadValue {
                place: "environment".to_owned(),
                key: "DARKMUX_SERVE_TOKEN",
                problem: format!(
                    "takes at least {SERVE_TOKEN_DIGITS} hexadecimal digits (`openssl rand -hex 32` makes them)"
                ),
            });
        }
        Ok(Some(Secret::new(text)))
    }

    /// How sessions are kept.
    pub fn session(&self) -> SessionConfig {
        let number = |name| self.settings.number(name);
        SessionConfig {
            dir: self.paths.sessions(),
            scrollback_bytes: usize::try_from(number("session.scrollback_bytes")).unwrap_or(usize::MAX),
            log_bytes: number("session.log_bytes"),
            grace: self.settings.duration("session.grace"),
            detach_key: self.settings.text("session.detach_key").unwrap_or_default().to_owned(),
            keep: usize::try_from(number("session.keep")).unwrap_or(usize::MAX),
            keep_bytes: number("session.keep_bytes"),
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
            models: self.models(),
            path_dirs: self.env.path_dirs(),
            shell: self.env.get("SHELL").map(PathBuf::from),
        }
    }

    /// Where models are asked for.
    pub fn models(&self) -> ModelsConfig {
        let some = |number: u64| (number > 0).then_some(number);
        let profiles = self.settings.path("models.profiles", &self.env);
        ModelsConfig {
            endpoints: endpoints::all(&self.settings, &self.env),
            default: self.settings.text("models.default").map(str::to_owned),
            context: some(self.settings.number("models.context")),
            profiles: profiles.unwrap_or_else(|| self.paths.home().join("profiles.json")),
            strict: self.settings.flag("runtime.strict_selection"),
        }
    }

    /// The limits of the built-in agent.
    pub fn agent(&self) -> AgentConfig {
        let duration = |name| self.settings.duration(name);
        let some = |name| Some(self.settings.number(name)).filter(|number| *number > 0);
        AgentConfig {
            first_token: duration("agent.first_token"),
            next_token: duration("agent.next_token"),
            answer_limit: duration("agent.answer_limit"),
            answer_tokens: some("agent.answer_tokens"),
            retries: u32::try_from(self.settings.number("agent.retries")).unwrap_or(u32::MAX),
            retry_pause: duration("agent.retry_pause"),
            compact_at: self.settings.number("agent.compact_at"),
            max_turns: some("runtime.max_turns"),
            max_tokens: some("runtime.max_tokens"),
            feedback: self.settings.flag("runtime.feedback_injection"),
            record_reasoning: self.settings.flag("agent.record_reasoning"),
        }
    }
}
