//! The server itself: finding its program, seeing who listens, starting and ending it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::{LIMIT, ServiceError, run};
use super::{HubFile, HubFiles};
use crate::config::Environment;
use crate::store::{Redis, RedisClass, RedisFault};

/// The programs that will do, in the order in which they are looked for, with the oldest version of each.
const PROGRAMS: &[(&str, (u32, u32))] = &[("redis-server", (7, 0)), ("valkey-server", (7, 2))];

/// How long a server may take to answer after its start.
const STARTING: Duration = Duration::from_secs(20);

/// How long it may take to read its data.
const READING: Duration = Duration::from_mins(10);

/// How long it may take to end.
const ENDING: Duration = Duration::from_secs(30);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The program of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerProgram {
    /// Its path: a link of a package manager stays one.
    pub path: PathBuf,
    /// Such as `7.0.15`.
    pub version: String,
}

impl ServerProgram {
    /// The one on `PATH`.
    pub async fn find(env: &Environment) -> Result<Self, ServiceError> {
        let dirs: Vec<PathBuf> = env.path_dirs().into_iter().filter(|dir| dir.is_absolute()).collect();
        let at = |name: &str| dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        let found = PROGRAMS.iter().find_map(|(name, oldest)| Some((at(name)?, *oldest)));
        let Some((path, oldest)) = found else {
            return Err(ServiceError::Refused(
                "redis-server is not on PATH; install it (`brew install redis`, `apt install redis-server`), then run \
                 this again"
                    .to_owned(),
            ));
        };
        let argv = [path.to_string_lossy().into_owned(), "--version".to_owned()];
        let answer = run(&argv, env, LIMIT).await?;
        let version = version(&answer.out).ok_or_else(|| ServiceError::Command {
            command: argv.join(" "),
            problem: format!("does not say which version it is: {}", answer.words()),
        })?;
        if number(&version) < oldest {
            return Err(ServiceError::Refused(format!(
                "{} is of version {version}; the queue needs Redis 7.0 or Valkey 7.2: upgrade it",
                path.display()
            )));
        }
        Ok(Self { path, version })
    }
}

/// `Redis server v=7.0.15 sha=…`.
fn version(said: &str) -> Option<String> {
    let word = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let is_version = |c: char| c.is_ascii_digit() || c == '.';
    (word.len() < 32 && !word.is_empty() && word.chars().all(is_version)).then(|| word.to_owned())
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Who listens on the hub's port.
#[derive(Debug)]
pub enum Found {
    /// Nobody.
    Nobody,
    /// Our server.
    Ours,
    /// Our server, which does not answer yet, or can't: for this reason.
    NotYet(RedisFault),
    /// Something else, which said this.
    Other(RedisFault),
}

/// Looks who listens on the hub's port.
pub async fn look(files: &HubFiles, hub: &HubFile) -> Result<Found, ServiceError> {
    if !files.password().exists() {
        // Whoever it is, it does not know our password.
        let answer =
            tokio::time::timeout(PROBE, tokio::net::TcpStream::connect(("127.0.0.1", hub.port))).await;
        return Ok(match answer {
            Ok(Ok(_)) => Found::Other(RedisFault::new(RedisClass::Foreign, "", "it was there before")),
            _ => Found::Nobody,
        });
    }
    // A new connection each time: what failed is remembered by the one before.
    let redis = Redis::new(files.admin(hub)?);
    let answer = redis.data_dir().await;
    Ok(match answer {
        // A server that has no password takes any.
        Ok(dir) if is_same(Path::new(&dir), &files.data()) => Found::Ours,
        Ok(_) => Found::Other(RedisFault::new(RedisClass::Foreign, redis.shown(), "another Redis")),
        Err(fault) => match fault.class() {
            RedisClass::Unreachable => Found::Nobody,
            RedisClass::Loading | RedisClass::Busy | RedisClass::MisConf | RedisClass::Oom => {
                Found::NotYet(fault)
            }
            _ => Found::Other(fault),
        },
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// How long a connection to a port of this machine may take.
const PROBE: Duration = Duration::from_secs(1);

/// Waits until the server answers; one that reads its data may take longer. An error tells the end of its log.
pub async fn until_answers(files: &HubFiles, hub: &HubFile) -> Result<(), ServiceError> {
    let began = Instant::now();
    let mut deadline = began + STARTING;
    loop {
        let why = match look(files, hub).await? {
            Found::Ours => return Ok(()),
            Found::Nobody => "nothing listens on its port".to_owned(),
            Found::Other(fault) => fault.to_string(),
            Found::NotYet(fault) => {
                deadline = (Instant::now() + STARTING).min(began + READING);
                fault.to_string()
            }
        };
        if Instant::now() > deadline {
            return Err(ServiceError::Refused(format!(
                "Redis does not answer after its start: {why}; its log is {}{}",
                files.log().display(),
                last_words(files.log())
            )));
        }
        sleep(PAUSE).await;
    }
}

fn last_line(log: &Path) -> Option<String> {
    let (text, _) = super::super::last_lines(log, 1).ok()?;
    let line = crate::util::visible_line(String::from_utf8_lossy(&text).trim()).into_owned();
    (!line.is_empty()).then(|| line.chars().take(300).collect())
}

fn last_words(log: &Path) -> String {
    last_line(log).map(|line| format!(", and ends with: {line}")).unwrap_or_default()
}

/// Starts the server without a service manager: it goes into the background by itself.
pub async fn start_detached(
    program: &ServerProgram,
    files: &HubFiles,
    env: &Environment,
) -> Result<(), ServiceError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let argv = [
        text(&program.path),
        text(&files.conf()),
        "--daemonize".into(),
        "yes".into(),
        "--pidfile".into(),
        text(&files.pid()),
    ];
    let answer = run(&argv, env, LIMIT).await?;
    if answer.is_good() {
        return Ok(());
    }
    let problem = format!("did not start: {}{}", answer.words(), last_words(files.log()));
    Err(ServiceError::Command { command: argv.join(" "), problem })
}

/// Ends the server; whether one ran. It writes down what it has first.
pub async fn shut_down(files: &HubFiles, hub: &HubFile) -> Result<bool, ServiceError> {
    let deadline = Instant::now() + ENDING;
    let mut ran = false;
    loop {
        match look(files, hub).await? {
            Found::Nobody => return Ok(ran),
            Found::Other(_) => return Ok(false),
            Found::Ours if !ran => {
                let redis = Redis::new(files.admin(hub)?);
                redis.shut_down().await.map_err(|fault| ServiceError::Refused(fault.to_string()))?;
                ran = true;
            }
            Found::Ours | Found::NotYet(_) => {}
        }
        if Instant::now() > deadline {
            return Err(ServiceError::Refused(format!(
                "Redis on port {} does not end; {} has its process id",
                hub.port,
                files.pid().display()
            )));
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (said, want) in [
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4", Some("7.0.15")),
            ("Valkey server v=8.1.0 sha=0:0", Some("8.1.0")),
            ("v=\u{1b}[2J", None),
            ("", None),
        ] {
            assert_eq!(version(said).as_deref(), want, "{said}");
        }
        assert!(number("7.0.15") >= (7, 0) && number("6.2.14") < (7, 0) && number("10.0") > (7, 2));
    }
}
