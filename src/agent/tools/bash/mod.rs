//! `bash`: one shell command in the work directory, confined, watched over, and ended with all it started.
//!
//! Invariants: the call ends within the command's time and a little more. The command gets only the environment that
//! was chosen for it and no standard input. The folder that it ended in is kept for the next one only when it lies
//! in the work directory.
//!
//! Not here: the guard's own work ([`mod@guard`]) and the rules of the sandbox ([`super::confine`]).

mod guard;
mod order;
mod output;
mod tell;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

pub use guard::guard;

use super::args::number;
use super::confine::{Mounts, SANDBOX_EXEC, profile};
use super::root::{Root, show};
use super::{Confinement, Done, Refusal, ToolLimits};
use crate::pty::{ProcessTree, Signal};
use crate::store::open_in;
use crate::util::human;
use order::{End, MESSAGE_MAX, Order, Report, encode};
use output::Output;
use tell::Teller;

/// The hidden verb of the binary that is the guard.
pub const GUARD_VERB: &str = "tool-guard";

/// Longest command, in bytes: one argument of a process can't be longer than 128 KiB.
const COMMAND_MAX: usize = 120 * 1024;

/// How long a guard may take beyond the command's time, before it is given up.
const GUARD_SLACK: Duration = Duration::from_secs(20);

/// How long output may still come after the report: somebody who was not ended holds the pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Largest piece of output that is taken at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Longest path of the folder that a command ended in.
const CWD_MAX: u64 = 4096;

/// Where a command leaves the folder that it ended in, in its temporary folder.
const CWD_FILE: &str = ".darkmux-cwd";

/// Variables that commands get when the agent has them: what programs need to run, and nothing that may be a secret.
const ALLOWED: &[&str] = &[
    "CARGO_HOME",
    "CONDA_PREFIX",
    "DARKMUX_ATTEMPT_TOKEN",
    "DARKMUX_JOB_ID",
    "GOPATH",
    "GOROOT",
    "HOME",
    "JAVA_HOME",
    "LANG",
    "LOGNAME",
    "NVM_DIR",
    "PATH",
    "PYENV_ROOT",
    "RUSTUP_HOME",
    "SHELL",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
];

/// What commands get set: programs that would wait for somebody, colour their output or fill caches elsewhere do not.
const GIVEN: &[(&str, &str)] = &[
    ("TERM", "dumb"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_EDITOR", "true"),
];

/// The environment of commands: of `vars` those that are known to be harmless, and those named in `also`.
pub fn environment<'a>(
    vars: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
    also: &[String],
) -> Vec<(OsString, OsString)> {
    let allowed = |name: &OsStr| {
        ALLOWED.iter().any(|allowed| name == *allowed)
            || name.as_bytes().starts_with(b"LC_")
            || also.iter().any(|allowed| name == allowed.as_str())
    };
    let vars = vars.into_iter().filter(|(name, _)| allowed(name));
    vars.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What `bash` takes.
#[derive(Debug, Deserialize)]
pub struct Args {
    #[serde(alias = "cmd")]
    command: String,
    #[serde(default, deserialize_with = "number", alias = "timeout")]
    timeout_seconds: Option<u64>,
}

/// What a command needs of the toolbox.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The work directory.
    pub root: &'a Root,
    /// Where whole outputs go.
    pub overflow: &'a Path,
    /// Bounds.
    pub limits: &'a ToolLimits,
}

/// The shell of one toolbox: what lasts from one command to the next.
#[derive(Debug)]
pub struct Bash {
    confinement: Confinement,
    env: Vec<(OsString, OsString)>,
    darkmux: PathBuf,
    temp: TempDir,
    /// Relative to the root.
    cwd: PathBuf,
}

/// What a guard did.
struct Run {
    output: Output,
    report: Option<Report>,
    took: Duration,
    /// Whether the guard has its order, and what became of it where it was lost after that.
    ordered: bool,
    lost: Option<io::Error>,
    /// Why the guard was told to stop, where it was.
    stopped: Option<&'static str>,
}

impl Bash {
    /// A shell that starts in the work directory.
    pub fn new(
        confinement: Confinement,
        env: Vec<(OsString, OsString)>,
        darkmux: PathBuf,
        temp: TempDir,
    ) -> Self {
        Self { confinement, env, darkmux, temp, cwd: PathBuf::from(".") }
    }

    /// How commands are confined.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Runs a command to its end.
    pub(super) async fn run(
        &mut self,
        room: Room<'_>,
        args: Args,
        cancel: &CancellationToken,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Done, Refusal> {
        if args.command.trim().is_empty() || args.command.contains('\0') {
            return Err(Refusal::new("`command` is empty or holds a NUL; give a shell command"));
        }
        if args.command.len() > COMMAND_MAX {
            return Err(Refusal::new(format!(
                "the command is longer than {COMMAND_MAX} bytes; put long texts into a file with `write`"
            )));
        }
        if room.root.folder(&self.cwd, false).is_err() {
            self.cwd = PathBuf::from(".");
        }
        let timeout =
            args.timeout_seconds.filter(|seconds| *seconds > 0).map_or(room.limits.bash_timeout, |seconds| {
                Duration::from_secs(seconds).min(room.limits.bash_timeout_max)
            });
        let order = self.order(room, &args.command, timeout).map_err(|why| refused(&why))?;
        let _ = std::fs::remove_file(self.temp.path().join(CWD_FILE));
        let ran = self.under_guard(&order, room, cancel, tell).await;
        let ran =
            ran.map_err(|error| refused(&format!("the guard ({}): {error}", self.darkmux.display())))?;
        let folder = self.keep_folder(room.root);
        answer(ran, timeout, room.limits, folder)
    }

    fn order(&self, room: Room<'_>, command: &str, timeout: Duration) -> Result<Order, String> {
        let temp = self.temp.path();
        let temp_text = temp.to_str().ok_or("TMPDIR is not UTF-8")?;
        let cwd_file = shell_words::quote(&format!("{temp_text}/{CWD_FILE}")).into_owned();
        let at_end = format!("pwd -P >{cwd_file} 2>/dev/null");
        let script = format!("trap {} EXIT; eval \"$1\"", shell_words::quote(&at_end));
        let shell = shell();
        let in_shell: Vec<OsString> = [shell, "-c", &script, shell, command].map(OsString::from).into();
        let mut env = self.env.clone();
        env.extend(GIVEN.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        env.extend(["TMPDIR", "TMP", "TEMP"].map(|name| (name.into(), temp.into())));
        let order = |argv, env, landlock, stop| Order {
            root: room.root.path().into(),
            cwd: self.cwd.clone().into(),
            argv,
            env,
            landlock,
            stop,
            timeout,
            processes: room.limits.processes,
        };
        let caches = |mut env: Vec<(OsString, OsString)>| {
            let below = |name: &str| OsString::from(format!("{temp_text}/cache/{name}"));
            env.extend(
                [
                    ("XDG_CACHE_HOME", below("xdg")),
                    ("npm_config_cache", below("npm")),
                    // Compiled modules would come back with the work.
                    ("PYTHONPYCACHEPREFIX", below("python")),
                ]
                .map(|(n, v)| (n.into(), v)),
            );
            env
        };
        match &self.confinement {
            Confinement::Landlock { rules, .. } => {
                let mut rules = rules.clone().with(room.root.path(), temp);
                rules.read.push(room.overflow.to_owned());
                Ok(order(in_shell, caches(env), Some(rules), None))
            }
            Confinement::Seatbelt(rules) => {
                let mut rules = rules.clone().with(room.root.path(), temp);
                rules.read.push(room.overflow.to_owned());
                let argv =
                    [SANDBOX_EXEC.into(), "-p".into(), profile(&rules)?.into()].into_iter().chain(in_shell);
                Ok(order(argv.collect(), caches(env), None, None))
            }
            Confinement::Image(image) => {
                let name =
                    format!("darkmux-tool-{:016x}", getrandom::u64().map_err(|error| error.to_string())?);
                let cwd = room.root.path().join(&self.cwd);
                let mounts = Mounts { root: room.root.path(), cwd: &cwd, temp, overflow: room.overflow };
                let argv = image.run(&name, mounts, &env, [&script, command])?;
                Ok(order(argv, env, None, Some(image.kill(&name))))
            }
            Confinement::Off => Ok(order(in_shell, env, None, None)),
            Confinement::Missing { .. } => Err(self.confinement.to_string()),
        }
    }

    /// Starts a guard, gives it the order, and collects output until the guard has reported.
    async fn under_guard(
        &self,
        order: &Order,
        room: Room<'_>,
        cancel: &CancellationToken,
        tell: &mut dyn FnMut(&str),
    ) -> io::Result<Run> {
        let began = Instant::now();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let (reader, writer) = io::pipe()?;
        let mut guard = tokio::process::Command::new(&self.darkmux);
        guard.arg(GUARD_VERB).env_clear().stdin(Stdio::from(OwnedFd::from(theirs)));
        guard.stdout(Stdio::from(writer.try_clone()?)).stderr(Stdio::from(writer));
        let mut child = guard.spawn()?;
        // The command holds its ends of the pipe and of the link; with it they are closed here.
        drop(guard);
        ours.set_nonblocking(true)?;
        let mut link = UnixStream::from_std(ours)?;
        let mut pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let whole =
            room.overflow.join(format!("bash-{:016x}.txt", getrandom::u64().map_err(io::Error::other)?));
        let mut run = Run {
            output: Output::new(room.limits.output_bytes, room.limits.overflow_bytes, whole),
            report: None,
            took: Duration::ZERO,
            ordered: false,
            lost: None,
            stopped: None,
        };
        let mut lines = Teller::default();
        let mut take = |run: &mut Run, piece: &[u8]| {
            lines.tell(piece, tell);
            run.output.push(piece)
        };
        let collect = collect(&mut run, order, (&mut link, &mut pipe), cancel, &mut take);
        let ended = tokio::time::timeout(order.timeout + GUARD_SLACK, collect).await;
        if !matches!(ended, Ok(Ok(()))) {
            // It was killed or hangs; what it left in its session ends here.
            if let Some(tree) = child.id().and_then(|pid| ProcessTree::of_leader(pid).ok()) {
                tree.signal(Signal::KILL);
            }
        }
        drop(link);
        // What it printed last.
        let mut piece = vec![0; PIECE];
        let rest = async {
            while let Ok(count @ 1..) = pipe.read(&mut piece).await {
                lines.tell(&piece[..count], tell);
                run.output.push(&piece[..count]);
            }
        };
        let _ = tokio::time::timeout(LAST_OUTPUT, rest).await;
        lines.end(tell);
        let _ = tokio::time::timeout(LAST_OUTPUT, child.wait()).await;
        run.took = began.elapsed();
        match ended {
            Ok(Err(error)) if run.ordered => Ok(Run { lost: Some(error), ..run }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(run),
        }
    }

    /// Keeps the folder that the command ended in, when it lies in the work directory. Says where the next one
    /// starts, where that is not the root or not where this one ended.
    fn keep_folder(&mut self, root: &Root) -> Option<String> {
        let file = open_in(self.temp.path(), CWD_FILE).ok();
        let bytes =
            file.and_then(|file| super::root::read_whole(&file, usize::try_from(CWD_MAX).ok()?).ok()?);
        let ended =
            bytes.map(|bytes| PathBuf::from(OsStr::from_bytes(bytes.strip_suffix(b"\n").unwrap_or(&bytes))));
        let before = show(&self.cwd);
        if let Some(ended) = ended {
            let inside = ended.strip_prefix(root.path()).ok().map(or_here);
            let Some(inside) = inside.filter(|inside| root.folder(inside, false).is_ok()) else {
                let ended = show(&ended);
                return Some(format!(
                    "it ended in {ended}, outside of the work directory; the next command starts in {before} again"
                ));
            };
            inside.clone_into(&mut self.cwd);
        }
        (self.cwd != Path::new(".")).then(|| format!("the next command starts in {}", show(&self.cwd)))
    }
}

/// The path, or that of the folder itself where it is empty.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Bash where there is one.
fn shell() -> &'static str {
    ["/bin/bash", "/usr/bin/bash"].into_iter().find(|shell| Path::new(shell).is_file()).unwrap_or("/bin/sh")
}

fn refused(why: &str) -> Refusal {
    Refusal::new(format!("the command was not run: {why}"))
}

/// Gives the guard its order, and collects output until it has reported; `take` says whether there is room for more.
async fn collect(
    run: &mut Run,
    order: &Order,
    (link, pipe): (&mut UnixStream, &mut pipe::Receiver),
    cancel: &CancellationToken,
    take: &mut dyn FnMut(&mut Run, &[u8]) -> bool,
) -> io::Result<()> {
    link.write_all(&encode(order)?).await?;
    run.ordered = true;
    let (mut piece, mut answer) = (vec![0; PIECE], Vec::new());
    let mut open = true;
    // The report is the guard's last word; it comes whole or not at all.
    while run.report.is_none() {
        tokio::select! {
            read = pipe.read(&mut piece), if open => {
                let count = read?;
                open = count > 0;
                if !take(run, &piece[..count]) && run.stopped.is_none() {
                    stop(run, link, "it printed too much").await?;
                }
            }
            read = link.read_buf(&mut answer) => {
                if read? == 0 || answer.len() > MESSAGE_MAX {
                    return Err(io::Error::other("it ended without a word"));
                }
                run.report = order::receive(answer.as_slice()).ok();
            }
            () = cancel.cancelled(), if run.stopped.is_none() => stop(run, link, "it was cancelled").await?,
        }
    }
    Ok(())
}

async fn stop(run: &mut Run, link: &mut UnixStream, why: &'static str) -> io::Result<()> {
    run.stopped = Some(why);
    link.write_all(b"s").await
}

fn answer(run: Run, timeout: Duration, limits: &ToolLimits, folder: Option<String>) -> Result<Done, Refusal> {
    let Run { output, report, took, lost, stopped, ordered: _ } = run;
    let Some(Report { end, left, stuck }) = report else {
        let why = match lost {
            Some(error) => format!(
                "the command's guard was lost ({error}) and the command was ended; it may have done part of its work, \
                 look before you repeat it"
            ),
            None => "the command hung and its guard was given up; make it smaller".to_owned(),
        };
        return Err(Refusal::new(format!("{why}\n{}", output.text())));
    };
    let took = human::duration(took);
    let end = match end {
        End::NotStarted(why) => return Err(refused(&why)),
        End::Code(code) => (code == 0, format!("exit {code}")),
        End::Signal(signal) => (false, format!("ended by signal {signal}")),
        End::TimedOut => {
            let most = limits.bash_timeout_max.as_secs();
            let seconds = timeout.as_secs();
            (false, format!("ended after {seconds} s, its time; timeout_seconds may be up to {most}"))
        }
        End::Stopped => (false, format!("ended: {}", stopped.unwrap_or("it was to stop"))),
        End::TooMany => (false, format!("ended: it had more than {} processes", limits.processes)),
    };
    let (ok, how) = end;
    let mut text = output.text();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let _ = write!(text, "({how}");
    let steady = Some(text.len());
    let _ = write!(text, ", {took})");
    if left > 0 {
        let _ = write!(text, "\n(processes left in the background were ended with the command: {left})");
    }
    if stuck > 0 {
        let _ = write!(text, "\n({stuck} of its processes could not be ended)");
    }
    if let Some(folder) = folder {
        let _ = write!(text, "\n({folder})");
    }
    Ok(Done { ok, text, steady, shown: vec![format!("({how}, {took})")], changed: Vec::new() })
}
