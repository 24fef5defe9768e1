//! The table of every setting: its key in `config.json`, its variable, its kind, its default and what it is
//! for. `config list`, the checks, the suggestions and the docs all read this table.

/// What a setting's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A machine id.
    MachineId,
    /// A file or folder; `~/` at the start means the home folder.
    Path,
    /// `true` or `false`; in a variable also 1, yes, on, 0, no, off.
    Flag,
    /// A whole number within these bounds, both included.
    Number(u64, u64),
    /// A number with a fraction.
    Fraction,
    /// A list of texts; in a variable separated by commas.
    List,
    /// A duration such as `10s`; a bare number is seconds.
    Duration,
    /// A URL of Redis, which may hold a password and is never shown with it.
    RedisUrl,
}

/// Whether a setting acts in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It acts.
    Acts,
    /// A setting of darkmux 1.9 that is accepted, so that its file stays valid, and does nothing here.
    Kept,
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Dotted name in `config.json`.
    pub name: &'static str,
    /// Its environment variable.
    pub env: Option<&'static str>,
    /// What it may be.
    pub kind: Kind,
    /// Its value when nobody set it, as text; `None` means it is worked out or absent.
    pub default: Option<&'static str>,
    /// Whether it acts.
    pub used: Use,
    /// One line for people.
    pub about: &'static str,
}

const fn acts(
    name: &'static str,
    env: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        env: if env.is_empty() { None } else { Some(env) },
        kind,
        default: if default.is_empty() { None } else { Some(default) },
        used: Use::Acts,
        about,
    }
}

const fn kept(name: &'static str, env: &'static str, kind: Kind) -> Key {
    let env = if env.is_empty() { None } else { Some(env) };
    Key {
        name,
        env,
        kind,
        default: None,
        used: Use::Kept,
        about: "a setting of darkmux 1.9, without effect here",
    }
}

const MIB: u64 = 1024 * 1024;

/// Every setting, sorted by name.
pub const KEYS: &[Key] = &[
    acts(
        "agent.answer_limit",
        "DARKMUX_AGENT_ANSWER_LIMIT",
        Kind::Duration,
        "15m",
        "built-in agent: how long one answer of a model may take altogether",
    ),
    acts(
        "agent.answer_tokens",
        "DARKMUX_AGENT_ANSWER_TOKENS",
        Kind::Number(0, 10_000_000),
        "10000",
        "built-in agent: longest answer of a model, in tokens; 0 leaves it to the server",
    ),
    acts(
        "agent.compact_at",
        "DARKMUX_AGENT_COMPACT_AT",
        Kind::Number(10, 95),
        "80",
        "built-in agent: how full the model's window gets before the conversation is summed up, in percent",
    ),
    acts(
        "agent.first_token",
        "DARKMUX_AGENT_FIRST_TOKEN",
        Kind::Duration,
        "10m",
        "built-in agent: how long a model may take to begin its answer; local ones read a long prompt for minutes",
    ),
    acts(
        "agent.next_token",
        "DARKMUX_AGENT_NEXT_TOKEN",
        Kind::Duration,
        "2m",
        "built-in agent: how long a model may pause within an answer",
    ),
    acts(
        "agent.record_reasoning",
        "DARKMUX_AGENT_RECORD_REASONING",
        Kind::Flag,
        "false",
        "built-in agent: keep what a model thinks in the flow, which everybody on this machine may read",
    ),
    acts(
        "agent.retries",
        "DARKMUX_AGENT_RETRIES",
        Kind::Number(0, 100),
        "5",
        "built-in agent: how often a question is asked again when the server is busy, fails or goes away",
    ),
    acts(
        "agent.retry_pause",
        "DARKMUX_AGENT_RETRY_PAUSE",
        Kind::Duration,
        "1s",
        "built-in agent: first pause before asking again; it doubles each time, up to 30s",
    ),
    acts(
        "audit.dir",
        "DARKMUX_AUDIT_DIR",
        Kind::Path,
        "",
        "folder of the audit chain; the variable also switches it on",
    ),
    acts("audit.enabled", "", Kind::Flag, "false", "keep the tamper-evident copy of the flow"),
    acts(
        "crew.agents",
        "DARKMUX_CREW_AGENTS",
        Kind::List,
        "claude,codex,opencode,pi,aider,agent",
        "agents in the order in which they are tried: agent CLIs, and `agent`, the builtin one",
    ),
    kept("dirs.ack", "DARKMUX_ACK_DIR", Kind::Path),
    kept("dirs.audit", "", Kind::Path),
    acts(
        "dirs.crew",
        "DARKMUX_CREW_DIR",
        Kind::Path,
        "",
        "folder that holds `roles/`, instead of darkmux's folder",
    ),
    acts(
        "dirs.fleet_file",
        "DARKMUX_FLEET_FILE",
        Kind::Path,
        "",
        "the roster of the fleet, instead of `fleet.json` in darkmux's folder",
    ),
    acts(
        "dirs.flows",
        "DARKMUX_FLOWS_DIR",
        Kind::Path,
        "",
        "folder of the flow's day files, instead of `flows` in darkmux's folder",
    ),
    kept("dirs.identity", "DARKMUX_IDENTITY_PATH", Kind::Path),
    kept("dirs.notebook", "DARKMUX_NOTEBOOK_DIR", Kind::Path),
    kept("dirs.openclaw_config", "DARKMUX_OPENCLAW_CONFIG", Kind::Path),
    kept("dirs.runtime_agents", "DARKMUX_RUNTIME_AGENTS_DIR", Kind::Path),
    kept("dirs.skills", "DARKMUX_SKILLS_DIR", Kind::Path),
    kept("dirs.templates", "DARKMUX_TEMPLATES_DIR", Kind::Path),
    acts(
        "flow.sync",
        "DARKMUX_FLOW_SYNC",
        Kind::Text,
        "interval",
        "when records reach the disk: `interval` (within 1 s, ends of sessions at once) or `always`",
    ),
    kept("lms_bin", "DARKMUX_LMS_BIN", Kind::Text),
    acts(
        "lmstudio_url",
        "DARKMUX_LMSTUDIO_URL",
        Kind::Text,
        "http://localhost:1234",
        "base URL of the model endpoint (LM Studio or any OpenAI-compatible server)",
    ),
    acts(
        "machine_id",
        "DARKMUX_MACHINE_ID",
        Kind::MachineId,
        "",
        "this machine's name; without it one is made from the host name and kept",
    ),
    acts(
        "models.context",
        "DARKMUX_MODELS_CONTEXT",
        Kind::Number(0, 100_000_000),
        "0",
        "window of the models in tokens, where the server does not say it right; 0 asks the server",
    ),
    acts(
        "models.default",
        "DARKMUX_MODELS_DEFAULT",
        Kind::Text,
        "",
        "model for roles that name none: `model`, or `endpoint/model`",
    ),
    acts(
        "models.endpoints",
        "DARKMUX_MODELS_ENDPOINTS",
        Kind::List,
        "",
        "further OpenAI-compatible servers, `name=URL` each; they are tried before lmstudio_url and ollama_url",
    ),
    acts(
        "models.keys",
        "DARKMUX_MODELS_KEYS",
        Kind::List,
        "",
        "keys of those servers: `name=env:VARIABLE`, `name=file:PATH` or `name=command:PROGRAM …` each",
    ),
    acts(
        "models.profiles",
        "DARKMUX_PROFILES",
        Kind::Path,
        "",
        "profiles of darkmux 1.9, instead of `profiles.json` in darkmux's folder",
    ),
    acts("ollama_url", "DARKMUX_OLLAMA_URL", Kind::Text, "http://localhost:11434", "base URL of Ollama"),
    acts(
        "orchestrator",
        "DARKMUX_ORCHESTRATOR",
        Kind::Text,
        "",
        "what drives the fleet, such as `claude-code`; written into every record",
    ),
    acts(
        "queue.beat",
        "DARKMUX_QUEUE_BEAT",
        Kind::Duration,
        "15s",
        "time between the signs of life of a running job",
    ),
    acts("queue.dead_ttl", "DARKMUX_QUEUE_DEAD_TTL", Kind::Duration, "30d", "how long dead letters are kept"),
    acts(
        "queue.head_start",
        "DARKMUX_QUEUE_HEAD_START",
        Kind::Duration,
        "300ms",
        "how long a job with `--machine` waits for that machine before any other may claim it",
    ),
    acts(
        "queue.lease",
        "DARKMUX_QUEUE_LEASE",
        Kind::Duration,
        "60s",
        "how long a job without a sign of life stays with its runner; at least 500ms",
    ),
    acts(
        "queue.max",
        "DARKMUX_QUEUE_MAX",
        Kind::Number(1, 1_000_000),
        "5000",
        "waiting jobs at which the queue takes no further one",
    ),
    acts(
        "queue.reconcile",
        "DARKMUX_QUEUE_RECONCILE",
        Kind::Duration,
        "10s",
        "time between the looks for jobs that lost their runner",
    ),
    acts(
        "queue.result_ttl",
        "DARKMUX_QUEUE_RESULT_TTL",
        Kind::Duration,
        "7d",
        "how long an ended job, its result and its output are kept in Redis",
    ),
    acts(
        "redis.ca_file",
        "DARKMUX_REDIS_CA_FILE",
        Kind::Path,
        "",
        "certificates (PEM) that a `rediss://` server must be signed by, instead of the system's",
    ),
    acts("redis.db", "", Kind::Number(0, 1_000_000), "0", "database, where redis.host names the server"),
    acts("redis.enabled", "", Kind::Flag, "false", "use the server of redis.host when there is no redis.url"),
    acts("redis.host", "", Kind::Text, "127.0.0.1", "server of the fleet's queue, with redis.enabled"),
    acts(
        "redis.maxlen",
        "DARKMUX_REDIS_MAXLEN",
        Kind::Number(0, 1_000_000_000),
        "100000",
        "records kept in Redis, about; 0 keeps all",
    ),
    acts(
        "redis.password_command",
        "DARKMUX_REDIS_PASSWORD_COMMAND",
        Kind::Text,
        "",
        "command that prints the password; on macOS without one: the Keychain item `darkmux-redis`",
    ),
    acts(
        "redis.password_file",
        "DARKMUX_REDIS_PASSWORD_FILE",
        Kind::Path,
        "",
        "file whose first line is the password",
    ),
    acts("redis.port", "", Kind::Number(1, 65_535), "6379", "port, where redis.host names the server"),
    acts("redis.stream", "DARKMUX_REDIS_STREAM", Kind::Text, "darkmux:flow", "name of the flow's stream"),
    acts(
        "redis.url",
        "DARKMUX_REDIS_URL",
        Kind::RedisUrl,
        "",
        "the fleet's Redis: redis://, rediss://, unix:// or redis+sentinel://; the same on every machine",
    ),
    acts(
        "runner.accept",
        "DARKMUX_RUNNER_ACCEPT",
        Kind::List,
        "",
        "roles with a command or a shell that jobs of the queue may run here, or `*`; agent roles always may",
    ),
    acts("runner.enabled", "DARKMUX_RUNNER", Kind::Flag, "true", "claim jobs of the queue"),
    acts(
        "runner.env",
        "DARKMUX_RUNNER_ENV",
        Kind::List,
        "",
        "further variables of the daemon that jobs of the queue get",
    ),
    acts(
        "runner.labels",
        "DARKMUX_RUNNER_LABELS",
        Kind::List,
        "",
        "labels of this machine for `--require` and `--prefer`: `key` or `key=value`",
    ),
    acts(
        "runner.log_bytes",
        "DARKMUX_RUNNER_LOG_BYTES",
        Kind::Number(16 * 1024, 256 * MIB),
        "1048576",
        "newest output of a job kept in Redis, in bytes; all of it is on the machine that ran it",
    ),
    acts(
        "runner.slots",
        "DARKMUX_RUNNER_SLOTS",
        Kind::Number(1, 1024),
        "2",
        "jobs of the queue that run here at once",
    ),
    acts(
        "runner.spare_hosts",
        "DARKMUX_RUNNER_SPARE_HOSTS",
        Kind::Number(0, 16),
        "1",
        "session hosts that wait ready for jobs of the queue, at most one a slot; 0 starts each with its job",
    ),
    acts(
        "runner.workdirs",
        "DARKMUX_RUNNER_WORKDIRS",
        Kind::List,
        "",
        "folders below which jobs of the queue may run, beside `worktrees` in darkmux's folder",
    ),
    acts(
        "runner.worktrees_age",
        "DARKMUX_RUNNER_WORKTREES_AGE",
        Kind::Duration,
        "30d",
        "how long the folder of an ended job below `worktrees` stays after the last change in it",
    ),
    kept("runtime.check_updates", "DARKMUX_CHECK_UPDATES", Kind::Flag),
    kept("runtime.daemon_auth_enabled", "", Kind::Flag),
    kept("runtime.daemon_cors_origins", "DARKMUX_DAEMON_CORS_ORIGINS", Kind::List),
    kept("runtime.default_role", "DARKMUX_DEFAULT_ROLE", Kind::Text),
    acts(
        "runtime.feedback_injection",
        "DARKMUX_FEEDBACK_INJECTION",
        Kind::Flag,
        "true",
        "built-in agent: tell a model that is stuck what it does, before the work is given up",
    ),
    kept(
        "runtime.inactivity_timeout_seconds",
        "DARKMUX_INACTIVITY_TIMEOUT_SECONDS",
        Kind::Number(0, 31_536_000),
    ),
    kept("runtime.injected_context_fraction", "DARKMUX_INJECTED_CONTEXT_FRACTION", Kind::Fraction),
    acts(
        "runtime.max_tokens",
        "DARKMUX_RUNTIME_MAX_TOKENS",
        Kind::Number(0, u64::MAX),
        "0",
        "built-in agent: tokens that a job may use altogether; 0 sets no limit",
    ),
    acts(
        "runtime.max_turns",
        "DARKMUX_RUNTIME_MAX_TURNS",
        Kind::Number(0, u64::MAX),
        "200",
        "built-in agent: answers of the model that a job may use; 0 sets no limit",
    ),
    acts(
        "runtime.strict_selection",
        "DARKMUX_STRICT_SELECTION",
        Kind::Flag,
        "false",
        "built-in agent: end rather than take another model than the one that is wanted",
    ),
    acts(
        "sandbox.env",
        "DARKMUX_SANDBOX_ENV",
        Kind::List,
        "",
        "further variables that commands of the built-in agent get",
    ),
    acts(
        "sandbox.network",
        "DARKMUX_SANDBOX_NETWORK",
        Kind::Flag,
        "true",
        "let commands of the built-in agent use the network; Linux closes TCP, from 6.7 on",
    ),
    acts(
        "sandbox.read",
        "DARKMUX_SANDBOX_READ",
        Kind::List,
        "",
        "further files and folders that commands of the built-in agent may read",
    ),
    acts(
        "sandbox.write",
        "DARKMUX_SANDBOX_WRITE",
        Kind::List,
        "",
        "further files and folders that commands of the built-in agent may change",
    ),
    kept("schema_version", "", Kind::Text),
    acts(
        "serve.bind",
        "DARKMUX_SERVE_BIND",
        Kind::Text,
        "127.0.0.1",
        "address the daemon listens on; beside loopback one of a tailnet or WireGuard, or with `serve --i-know` any",
    ),
    acts(
        "serve.hosts",
        "DARKMUX_SERVE_HOSTS",
        Kind::List,
        "",
        "further names (`host` or `host:port`) that requests may carry in `Host`",
    ),
    acts(
        "serve.port",
        "DARKMUX_SERVE_PORT",
        Kind::Number(0, 65_535),
        "8765",
        "port the daemon listens on; 0 takes a free one",
    ),
    acts(
        "serve.require_token",
        "DARKMUX_SERVE_REQUIRE_TOKEN",
        Kind::Text,
        "actions",
        "what asks for a token on loopback: `actions` (and terminals), or `all`",
    ),
    acts(
        "serve.streams",
        "DARKMUX_SERVE_STREAMS",
        Kind::Number(1, 4096),
        "128",
        "event streams open at once; the limit of connections follows it",
    ),
    acts(
        "service.log_bytes",
        "DARKMUX_SERVICE_LOG_BYTES",
        Kind::Number(16 * 1024, 1024 * MIB),
        "8388608",
        "size at which a log in `logs` of darkmux's folder is put aside, in bytes; four older ones are kept",
    ),
    acts(
        "session.detach_key",
        "DARKMUX_SESSION_DETACH_KEY",
        Kind::Text,
        "ctrl-\\",
        "what leaves an attached session running: a key, or up to three one after the other, as `ctrl-a d`",
    ),
    acts(
        "session.grace",
        "DARKMUX_SESSION_GRACE",
        Kind::Duration,
        "5s",
        "time between the polite signals and KILL",
    ),
    acts(
        "session.keep",
        "DARKMUX_SESSION_KEEP",
        Kind::Number(0, 100_000),
        "500",
        "ended sessions that stay; the daemon dismisses the oldest beyond them",
    ),
    acts(
        "session.keep_bytes",
        "DARKMUX_SESSION_KEEP_BYTES",
        Kind::Number(0, 1024 * 1024 * MIB),
        "2147483648",
        "disk that ended sessions may take altogether, in bytes; the daemon dismisses the oldest beyond it",
    ),
    acts(
        "session.log_bytes",
        "DARKMUX_SESSION_LOG_BYTES",
        Kind::Number(64 * 1024, 1024 * 1024 * MIB),
        "67108864",
        "output kept on disk for each session, in bytes",
    ),
    acts(
        "session.scrollback_bytes",
        "DARKMUX_SESSION_SCROLLBACK_BYTES",
        Kind::Number(4096, 1024 * MIB),
        "2097152",
        "output kept in memory for each session, in bytes",
    ),
    acts(
        "tailscale.socket",
        "DARKMUX_TAILSCALE_SOCKET",
        Kind::Path,
        "",
        "socket of the Tailscale daemon, where it is not at its usual place",
    ),
];

/// The setting of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The name most like `name`.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::util::closest(name, KEYS.iter().map(|key| key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        for pair in KEYS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
        }
        let mut vars: Vec<_> = KEYS.iter().filter_map(|key| key.env).collect();
        let count = vars.len();
        vars.sort_unstable();
        vars.dedup();
        assert_eq!(vars.len(), count);
    }
}
