//! Running the program `git`: argument vectors only, nothing asked of anybody, every run with an end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;

use super::WorkspaceError;
use crate::config::Environment;
use crate::util::visible_line;

/// How long a run may take: adding files, packing and checking out in a large repository are the slowest.
const TIME_MAX: Duration = Duration::from_mins(5);

/// Most output of a run that is text, in bytes.
const TEXT_MAX: usize = 64 * 1024 * 1024;

/// Bytes of what is printed that are taken at once.
const PIECE: usize = 256 * 1024;

/// What is kept of an error, in bytes, and shown of it, in characters.
const ERROR_MAX: u64 = 16 * 1024;
const SHOWN_MAX: usize = 400;

/// Settings for every run: no hook, no program that watches or pages, no transport.
const EVERYWHERE: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "advice.detachedHead=false",
    "color.ui=false",
];

/// Settings where the content is foreign: no attribute or ignore file of the user, files exactly as they are in the tree, and
/// bounded memory.
const FOREIGN: &[&str] = &[
    "safe.directory=*",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.bigFileThreshold=64m",
    "core.commitGraph=false",
    "core.multiPackIndex=false",
    "pack.useBitmaps=false",
    "pack.threads=1",
];

/// Input that comes piece by piece, or why it broke off.
pub type Pieces = mpsc::Receiver<Result<Bytes, String>>;

/// A way to run git: where, with which settings and variables.
#[derive(Debug, Clone)]
pub struct Git {
    dir: PathBuf,
    settings: Vec<&'static str>,
    vars: Vec<(OsString, OsString)>,
}

impl Git {
    /// In a repository of the user, whose own settings count.
    pub fn of_user(env: &Environment, dir: &Path) -> Self {
        // A variable of git would lead elsewhere: this may be a hook's environment.
        let vars = env.for_child().filter(|(name, _)| !name.to_string_lossy().starts_with("GIT_"));
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { dir: dir.to_owned(), settings: EVERYWHERE.to_vec(), vars }.quiet()
    }

    /// Where the content is foreign: no settings but ours.
    pub fn neutral(env: &Environment, dir: &Path) -> Self {
        let kept = ["PATH", "TMPDIR"];
        let vars = kept.iter().filter_map(|name| Some((OsString::from(name), env.raw(name)?.to_owned())));
        let git =
            Self { dir: dir.to_owned(), settings: [EVERYWHERE, FOREIGN].concat(), vars: vars.collect() };
        git.quiet()
            .var("HOME", "/dev/null")
            .var("GIT_CONFIG_NOSYSTEM", "1")
            .var("GIT_CONFIG_SYSTEM", "/dev/null")
            .var("GIT_CONFIG_GLOBAL", "/dev/null")
            .var("GIT_ATTR_NOSYSTEM", "1")
    }

    fn quiet(self) -> Self {
        self.var("LC_ALL", "C")
            .var("GIT_TERMINAL_PROMPT", "0")
            .var("GIT_ASKPASS", "false")
            .var("SSH_ASKPASS", "false")
            // Two of a kind: git before 2.45 does not know the first. The second is a list, on which there is nothing, and
            // beats what a repository's settings allow.
            .var("GIT_NO_LAZY_FETCH", "1")
            .var("GIT_ALLOW_PROTOCOL", "none")
            .var("GIT_NO_REPLACE_OBJECTS", "1")
            .var("GIT_LITERAL_PATHSPECS", "1")
            .var("GIT_OPTIONAL_LOCKS", "0")
    }

    /// With this variable.
    pub fn var(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.vars.retain(|(known, _)| known != name);
        self.vars.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Git with these arguments, and with pipes.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.args(args).current_dir(&self.dir).env_clear().envs(self.vars.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Why git with these arguments could not be started or talked with.
    fn failed(&self, args: &[&str], error: &io::Error) -> WorkspaceError {
        match error.kind() {
            io::ErrorKind::NotFound if self.dir.is_dir() => WorkspaceError::NoGit,
            _ => failure(args, &error.to_string()),
        }
    }

    /// Starts git; what it prints, at most `most` bytes, comes piece by piece. `input` is short.
    pub async fn prints(&self, args: &[&str], input: &[u8], most: u64) -> Result<Printed, WorkspaceError> {
        let failed = |error: io::Error| self.failed(args, &error);
        let mut child = self.command(args).stderr(Stdio::null()).spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await.map_err(failed)?;
        }
        let verb = args.first().copied().unwrap_or_default().to_owned();
        let stdout = child.stdout.take().ok_or_else(|| failed(io::Error::other("it has no pipe")))?;
        Ok(Printed { verb, child, stdout, most, left: most })
    }

    /// Runs git to its end with input that comes piece by piece; one that breaks off ends it.
    pub async fn feed(&self, args: &[&str], mut pieces: Pieces) -> Result<(), WorkspaceError> {
        let failed = |error: io::Error| self.failed(args, &error);
        let mut child = self.command(args).stdout(Stdio::null()).spawn().map_err(failed)?;
        let (Some(mut stdin), Some(stderr)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        let feed = async {
            while let Some(piece) = pieces.recv().await {
                let piece = piece.map_err(WorkspaceError::Lacks)?;
                let written = tokio::time::timeout(TIME_MAX, stdin.write_all(&piece)).await;
                if !matches!(written, Ok(Ok(()))) {
                    // It says why by its status.
                    break;
                }
            }
            drop(stdin);
            Ok(())
        };
        let (all, said) = tokio::join!(feed, read_error(stderr));
        all?;
        let ended = tokio::time::timeout(TIME_MAX, child.wait()).await;
        let good = ended.map_err(io::Error::from).and_then(|ended| ended).map_err(failed)?.success();
        if good { Ok(()) } else { Err(failure(args, &said.map_err(failed)?)) }
    }

    /// Runs git to its end and takes what it prints, at most `most` bytes.
    async fn run(&self, args: &[&str], input: &[u8], most: usize) -> Result<Ran, WorkspaceError> {
        let failed = |error: io::Error| self.failed(args, &error);
        let mut child = self.command(args).spawn().map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        let feed = async move {
            // Who does not read all of it says why by its status.
            let _ = stdin.write_all(input).await;
        };
        let work = async {
            let ((), out, err) = tokio::join!(feed, read_at_most(stdout, most), read_error(stderr));
            let (out, err) = (out.map_err(failed)?, err.map_err(failed)?);
            let Some(out) = out else { return Ok(Ran { good: false, out: None, err }) };
            let good = child.wait().await.map_err(failed)?.success();
            Ok(Ran { good, out: Some(out), err })
        };
        // What runs longer is killed as its handle is dropped.
        let late = failure(args, "it took more than five minutes");
        tokio::time::timeout(TIME_MAX, work).await.unwrap_or(Err(late))
    }

    /// What git prints, which must succeed.
    pub async fn bytes(&self, args: &[&str], input: &[u8]) -> Result<Vec<u8>, WorkspaceError> {
        let most = format!("more than {TEXT_MAX} bytes came out");
        match self.run(args, input, TEXT_MAX).await? {
            Ran { good: true, out: Some(out), .. } => Ok(out),
            Ran { out: Some(_), err, .. } => Err(failure(args, &err)),
            Ran { out: None, .. } => Err(failure(args, &most)),
        }
    }

    /// As [`Git::bytes`], without input, as text without the last line's end.
    pub async fn text(&self, args: &[&str]) -> Result<String, WorkspaceError> {
        let out = self.bytes(args, b"").await?;
        Ok(String::from_utf8_lossy(&out).trim_end_matches('\n').to_owned())
    }

    /// Whether git says yes.
    pub async fn says(&self, args: &[&str], input: &[u8]) -> Result<Result<(), String>, WorkspaceError> {
        let ran = self.run(args, input, TEXT_MAX).await?;
        Ok(if ran.good { Ok(()) } else { Err(ran.err) })
    }

    /// What git prints, `None` when that is more than `most` bytes.
    pub async fn at_most(
        &self,
        args: &[&str],
        input: &[u8],
        most: usize,
    ) -> Result<Option<Vec<u8>>, WorkspaceError> {
        match self.run(args, input, most).await? {
            Ran { good: false, out: Some(_), err } => Err(failure(args, &err)),
            Ran { out, .. } => Ok(out),
        }
    }
}

/// What a git that runs prints. It ends when this is dropped.
#[derive(Debug)]
pub struct Printed {
    verb: String,
    child: Child,
    stdout: ChildStdout,
    /// How much it may be, and how much of that is left.
    most: u64,
    left: u64,
}

impl Printed {
    /// The next piece; `None` once git has ended well. Fails where there is more than was asked for at most.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WorkspaceError> {
        let failed = |why: String| WorkspaceError::Git { verb: self.verb.clone(), why };
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = tokio::time::timeout(TIME_MAX, self.stdout.read_buf(&mut piece)).await;
        let count = read.map_err(io::Error::from).and_then(|count| count);
        let count = count.map_err(|error| failed(error.to_string()))? as u64;
        if count > self.left {
            return Err(WorkspaceError::Refused(format!("it has more than {} bytes", self.most)));
        }
        if count > 0 {
            self.left -= count;
            return Ok(Some(piece.freeze()));
        }
        let ended = self.child.wait().await.map_err(|error| failed(error.to_string()))?;
        if ended.success() { Ok(None) } else { Err(failed(ended.to_string())) }
    }
}

struct Ran {
    good: bool,
    /// `None` when it was too much.
    out: Option<Vec<u8>>,
    err: String,
}

fn failure(args: &[&str], err: &str) -> WorkspaceError {
    let verb = args.first().copied().unwrap_or_default().to_owned();
    let why = err.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    let why = visible_line(why.trim_start_matches("fatal: ").trim_start_matches("error: "));
    WorkspaceError::Git { verb, why: why.chars().take(SHOWN_MAX).collect() }
}

async fn read_at_most(from: impl AsyncRead + Unpin, most: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// The beginning of what it complains of; all of it is read, so that it never waits for us.
async fn read_error(mut from: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut bytes = Vec::new();
    (&mut from).take(ERROR_MAX).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Git in a new repository.
    async fn git(dir: &Path) -> Git {
        let env = Environment::of_process().with("HOME", dir);
        let git = Git::of_user(&env, dir);
        git.bytes(&["init", "-q"], b"").await.unwrap();
        git
    }

    #[tokio::test]
    async fn what_is_carried_has_a_bound_on_both_sides() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (git(from.path()).await, git(to.path()).await);
        let noise: Vec<u8> =
            (0..300_000_u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..1].to_vec()).collect();
        let blob = from.bytes(&["hash-object", "-w", "--stdin"], &noise).await.unwrap();
        let pack = from.bytes(&["pack-objects", "--stdout", "-q"], &blob).await.unwrap();
        let printed = async |most| {
            let mut printed = from.prints(&["pack-objects", "--stdout", "-q"], &blob, most).await.unwrap();
            let mut all = Vec::new();
            while let Some(piece) = printed.next().await? {
                all.extend_from_slice(&piece);
            }
            Ok::<_, WorkspaceError>(all)
        };
        assert_eq!(printed(pack.len() as u64).await.unwrap(), pack);
        let refused = printed(pack.len() as u64 - 1).await.unwrap_err().to_string();
        assert!(refused.contains("it has more than 300"), "{refused}");
        let taken = async |most| {
            let (send, pieces) = mpsc::channel(1);
            let feed = async {
                for piece in pack.chunks(64 * 1024) {
                    let _ = send.send(Ok(Bytes::copy_from_slice(piece))).await;
                }
                drop(send);
            };
            tokio::join!(super::super::pack::take_in(&to, pieces, most), feed).0
        };
        let refused = taken(100_000).await.unwrap_err().to_string();
        assert!(refused.contains("exceeds maximum"), "{refused}");
        taken(pack.len() as u64).await.unwrap();
    }
}
