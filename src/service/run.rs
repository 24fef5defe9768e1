//! Asking a program of the system: bounded in time and in what it may say.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::ServiceError;
use crate::config::Environment;
use crate::util::visible_line;

/// How long a program may take. A service manager answers at once; stopping a service may take it seconds.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Most bytes that are read of each of its outputs.
const BOUND: u64 = 256 * 1024;

/// Most characters of its words in a message.
const WORDS: usize = 300;

/// What a program said, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

impl Answer {
    /// Whether it did what it was asked to do.
    pub fn is_good(&self) -> bool {
        self.code == Some(0)
    }

    /// Its last words, on one line.
    pub fn words(&self) -> String {
        let text = if self.err.trim().is_empty() { &self.out } else { &self.err };
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("without a word");
        visible_line(line).chars().take(WORDS).collect()
    }
}

/// Runs a program to its end. It gets the environment without darkmux's secrets. An error means that it did not run, or
/// did not end in time; what it said is the caller's to judge.
pub async fn run(argv: &[String], env: &Environment, limit: Duration) -> Result<Answer, ServiceError> {
    let failed = |problem: String| ServiceError::Command {
        command: visible_line(&argv.join(" ")).into_owned(),
        problem,
    };
    let io_failed = |error: io::Error| failed(format!("could not be run: {error}"));
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("is empty".to_owned()))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env.for_child()).envs(runtime_dir(env));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(io_failed)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(read(out), read(err), child.wait()) };
    let (out, err, status) = tokio::time::timeout(limit, ended)
        .await
        .map_err(|_| failed(format!("did not end within {} s", limit.as_secs_f32())))?;
    Ok(Answer { code: status.map_err(io_failed)?.code(), out, err })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What it says after the bound is not heard.
        let _ = pipe.take(BOUND).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where the user's systemd listens, for a shell that was not told (`su`, some ssh servers).
fn runtime_dir(env: &Environment) -> Option<(&'static str, String)> {
    let dir = format!("/run/user/{}", rustix::process::getuid().as_raw());
    let is_needed = env.raw("XDG_RUNTIME_DIR").is_none() && std::path::Path::new(&dir).is_dir();
    is_needed.then_some(("XDG_RUNTIME_DIR", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(text: &str, limit: Duration) -> Result<Answer, ServiceError> {
        let env = Environment::of([("PATH", "/usr/bin:/bin"), ("DARKMUX_SERVE_TOKEN", "canary")]);
        run(&["sh".into(), "-c".into(), text.into()], &env, limit).await
    }

    #[tokio::test]
    async fn what_it_says_and_how_it_ends_is_known() {
        let answer = sh("echo out; echo no >&2; echo why >&2; exit 3", LIMIT).await.unwrap();
        assert_eq!((answer.code, answer.out.as_str(), answer.words()), (Some(3), "out\n", "why".to_owned()));
        let answer = sh("echo $DARKMUX_SERVE_TOKEN", LIMIT).await.unwrap();
        assert_eq!((answer.is_good(), answer.out.as_str()), (true, "\n"));
    }

    #[tokio::test]
    async fn endless_words_and_endless_work_end() {
        let answer = sh("yes | head -c 10000000; echo $?", LIMIT).await.unwrap();
        assert_eq!(answer.out.len() as u64, BOUND);
        let error = sh("sleep 60", Duration::from_millis(100)).await.unwrap_err().to_string();
        assert!(error.contains("did not end within 0.1 s"), "{error}");
        let error = run(&["/nowhere/x".into()], &Environment::default(), LIMIT).await.unwrap_err();
        assert!(error.to_string().contains("could not be run"), "{error}");
    }
}
