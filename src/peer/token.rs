//! A peer's token, from where the operator keeps it. It is looked for at each try to connect, so that a changed file
//! counts without a restart; a command, which may ask its user, runs again only after it failed or its token was refused, and
//! less and less often until a token of it is taken.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::config::{Environment, TokenSource};
use crate::fleet::read_token;
use crate::util::{Backoff, Secret, Shutdown};

/// How long a command may take, and a file on a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two runs of a command that fails, or whose token is refused: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(2);

/// Longest token, in bytes.
const TOKEN_MAX: u64 = 4096;

/// Where a token comes from, and what a command came to.
#[derive(Debug)]
pub struct Token {
    source: TokenSource,
    env: Environment,
    shutdown: Shutdown,
    /// The token that the command printed, or why it printed none.
    printed: Option<Result<Secret, String>>,
    /// Whether the peer did not take that token.
    is_refused: bool,
    /// Until then the command is not run again.
    rests_until: Instant,
    backoff: Backoff,
}

impl Token {
    /// Asks for nothing yet.
    pub fn new(source: TokenSource, env: Environment, shutdown: Shutdown) -> Self {
        let (rests_until, backoff) = (Instant::now(), Backoff::new(FIRST_PAUSE, LAST_PAUSE));
        Self { source, env, shutdown, printed: None, is_refused: false, rests_until, backoff }
    }

    /// The token; an error says in words why there is none.
    pub async fn get(&mut self) -> Result<Option<Secret>, String> {
        match &self.source {
            TokenSource::None => Ok(None),
            TokenSource::Given(token) => Ok(Some(token.clone())),
            TokenSource::File(path) => {
                let (path, shown) = (path.clone(), path.display().to_string());
                let read = self.shutdown.spawn_blocking(move || read_token(&path));
                match timeout(PATIENCE, read).await {
                    Ok(Ok(token)) => token.map(Some).map_err(|error| error.to_string()),
                    Ok(Err(error)) => Err(format!("{shown}: {error}")),
                    Err(_) => Err(format!("{shown}: reading it takes too long")),
                }
            }
            TokenSource::Command(command) => {
                let is_good = matches!(&self.printed, Some(Ok(_))) && !self.is_refused;
                if self.printed.is_none() || (!is_good && Instant::now() >= self.rests_until) {
                    let printed = timeout(PATIENCE, self.run(command)).await;
                    let printed = printed.unwrap_or(Err("took longer than 10 s".to_owned()));
                    self.printed =
                        Some(printed.map_err(|why| {
                            format!("`token_command` {why}; run it by hand to see what it says")
                        }));
                    self.is_refused = false;
                    self.rests_until = Instant::now() + self.backoff.pause();
                }
                self.printed.clone().transpose()
            }
        }
    }

    /// The peer did not take the token.
    pub fn refused(&mut self) {
        self.is_refused = true;
    }

    /// The peer took the token.
    pub fn taken(&mut self) {
        self.backoff.reset();
    }

    /// What the command prints. Its errors may quote secrets and are shown to nobody.
    async fn run(&self, command: &str) -> Result<Secret, String> {
        let mut sh = Command::new("/bin/sh");
        sh.arg("-c").arg(command).env_clear().envs(self.env.for_child());
        sh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = sh.spawn().map_err(|error| format!("can't be run: {error}"))?;
        let mut text = String::new();
        if let Some(out) = child.stdout.take() {
            let read = out.take(TOKEN_MAX).read_to_string(&mut text).await;
            read.map_err(|error| format!("prints no text: {error}"))?;
        }
        let status = child.wait().await.map_err(|error| error.to_string())?;
        let token = text.trim();
        match token.bytes().all(|byte| byte.is_ascii_graphic()) {
            _ if !status.success() => Err(format!("failed ({status})")),
            true if !token.is_empty() => Ok(Secret::new(token)),
            _ => Err("prints no token".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn token(source: TokenSource) -> Token {
        let env = Environment::of([("PATH", "/usr/bin:/bin"), ("DARKMUX_SERVE_TOKEN", "canary")]);
        Token::new(source, env, Shutdown::new())
    }

    async fn got(token: &mut Token) -> Result<String, String> {
        token.get().await.map(|token| token.map(|token| token.expose().to_owned()).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_command_runs_once_until_its_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        let command = format!("echo x >> {0}; wc -l < {0}; echo \"$DARKMUX_SERVE_TOKEN\"", runs.display());
        let mut of_command = token(TokenSource::Command(command));
        assert_eq!(got(&mut of_command).await.unwrap(), "1");
        tokio::time::pause();
        tokio::time::advance(LAST_PAUSE).await;
        tokio::time::resume();
        assert_eq!(got(&mut of_command).await.unwrap(), "1");
        of_command.refused();
        assert_eq!(got(&mut of_command).await.unwrap(), "2");
        for (command, says) in [("exit 3", "failed"), ("echo", "no token"), ("echo a b", "no token")] {
            let said = got(&mut token(TokenSource::Command(command.into()))).await.unwrap_err();
            assert!(said.contains(says), "{command}: {said}");
        }
    }

    /// How often a command runs that fails, or whose token is refused, when it is asked for at each of so many seconds.
    async fn runs(command: &str, seconds: u64, is_taken: bool) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let runs = dir.path().join("runs");
        let command = format!("echo x >> {}; {command}", runs.display());
        let mut of_command = token(TokenSource::Command(command));
        for _ in 0..seconds {
            let said = got(&mut of_command).await;
            if is_taken {
                of_command.taken();
            }
            of_command.refused();
            assert!(said.is_ok_and(|token| token == "t") || !is_taken);
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::time::resume();
        }
        std::fs::read_to_string(runs).unwrap().lines().count()
    }

    #[tokio::test]
    async fn a_command_that_is_of_no_use_runs_ever_less_often() {
        // 1, 2, 4, … 64 s, between half of it and all.
        let failing = runs("exit 1", 120, false).await;
        assert!((6..=9).contains(&failing), "{failing}");
        let refused = runs("echo t", 120, false).await;
        assert!((6..=9).contains(&refused), "{refused}");
        let taken = runs("echo t", 12, true).await;
        assert!((11..=12).contains(&taken), "{taken}");
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let mut of_file = token(TokenSource::File(path.clone()));
        assert!(got(&mut of_file).await.is_err());
        for text in ["one", "two"] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(got(&mut of_file).await.unwrap(), text);
        }
    }
}
