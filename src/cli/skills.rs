//! `darkmux skills`: a short instruction for agents that drive darkmux, put where they look for such things.
//!
//! Invariant: a file that is not exactly as some darkmux wrote it is never overwritten or removed. The file says so
//! itself: its last line has the hash of what stands above it, so that nothing has to be remembered elsewhere.

use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{Cx, Exit, Failure, FailureContext, Outcome};
use crate::config::Environment;
use crate::store::{Durability, write_atomic};
use crate::util::visible_line;

/// The instruction.
const TEXT: &str = include_str!("../../assets/skills/darkmux.md");

/// Folder of the skill, by which agents know it.
const NAME: &str = "darkmux";

/// The name of the file, which the format gives.
const FILE: &str = "SKILL.md";

/// Largest file that may be one of ours, in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// What begins the last line.
const MARK: &str = "<!-- written by darkmux; without changes it is kept up to date: ";
const MARK_END: &str = " -->\n";

/// Instructions for agents that drive darkmux.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)] // A verb's doc comment is on its arguments: it is the help text.
pub enum SkillsVerb {
    Install(InstallArgs),
    Uninstall(UninstallArgs),
}

/// Whose instruction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reader {
    /// Claude Code: ~/.claude/skills
    Claude,
    /// Codex and others that follow the Agent Skills format: ~/.agents/skills
    Agents,
}

/// What both verbs take.
#[derive(Debug, Args)]
struct Common {
    /// For whom; without it, for every agent of these whose folder is there
    #[arg(long = "for", value_name = "AGENT", value_enum)]
    readers: Vec<Reader>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Tell agents how to drive darkmux: write a skill where they look for it.
///
/// A file that was changed by somebody is left alone.
#[derive(Debug, Args)]
pub struct InstallArgs {
    #[command(flatten)]
    common: Common,
    /// Print the skill, and write nothing
    #[arg(long, conflicts_with_all = ["readers", "yes", "dry_run"])]
    print: bool,
}

/// Remove the skill again.
///
/// A file that was changed by somebody is left alone.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    common: Common,
}

/// Runs the verb.
pub fn run(verb: &SkillsVerb, cx: &Cx) -> Outcome {
    match verb {
        SkillsVerb::Install(args) if args.print => {
            cx.printer.bytes(TEXT.as_bytes())?;
            Ok(Exit::Ok)
        }
        SkillsVerb::Install(args) => install(&args.common, cx),
        SkillsVerb::Uninstall(args) => uninstall(&args.common, cx),
    }
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// What this version writes.
    Current,
    /// What another version wrote.
    Older,
    /// Somebody's own.
    Changed,
}

fn install(args: &Common, cx: &Cx) -> Outcome {
    let mut wanted = Vec::new();
    let mut foreign = Vec::new();
    for path in places(args, cx)? {
        match found(&path)? {
            Found::Current => cx.printer.note(&format!("{} is up to date", shown(&path))),
            Found::Changed => foreign.push(path),
            Found::Nothing => wanted.push(("write", path)),
            Found::Older => wanted.push(("replace", path)),
        }
    }
    act(args, cx, &wanted, |path| {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        std::fs::create_dir_all(dir)?;
        write_atomic(path, marked().as_bytes(), Durability::Synced)
    })?;
    Ok(left_alone(cx, &foreign))
}

fn uninstall(args: &Common, cx: &Cx) -> Outcome {
    let mut wanted = Vec::new();
    let mut foreign = Vec::new();
    for path in places(args, cx)? {
        match found(&path)? {
            Found::Nothing => cx.printer.note(&format!("{} is not there", shown(&path))),
            Found::Changed => foreign.push(path),
            Found::Current | Found::Older => wanted.push(("remove", path)),
        }
    }
    act(args, cx, &wanted, |path| {
        std::fs::remove_file(path)?;
        // Whatever else lies in the folder is somebody's.
        let _ = path.parent().map(std::fs::remove_dir);
        Ok(())
    })?;
    Ok(left_alone(cx, &foreign))
}

/// Says what is done, asks, and does it.
fn act(
    args: &Common,
    cx: &Cx,
    wanted: &[(&str, PathBuf)],
    work: impl Fn(&Path) -> io::Result<()>,
) -> Result<(), Failure> {
    let would = if args.dry_run { "would " } else { "" };
    for (verb, path) in wanted {
        cx.printer.line(&format!("{would}{verb} {}", shown(path)))?;
    }
    if wanted.is_empty() || args.dry_run {
        return Ok(());
    }
    if !args.yes {
        agreed(cx)?;
    }
    for (verb, path) in wanted {
        work(path)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot {verb} {}: {error}", shown(path))))?;
    }
    Ok(())
}

fn agreed(cx: &Cx) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nothing was done: --yes does it without a question"));
    }
    cx.printer.note("Go on? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().take(16).read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was done")),
    }
}

fn left_alone(cx: &Cx, foreign: &[PathBuf]) -> Exit {
    for path in foreign {
        let words =
            format!("{} was changed and is left alone; move it away, or remove it yourself", shown(path));
        cx.printer.error(&words);
    }
    if foreign.is_empty() { Exit::Ok } else { Exit::Failed }
}

/// Where the file belongs.
fn places(args: &Common, cx: &Cx) -> Result<Vec<PathBuf>, Failure> {
    let home = cx.env.home().ok_or_else(|| Failure::new(Exit::Usage, "HOME is not set"))?;
    let all = [Reader::Claude, Reader::Agents];
    let wanted = |reader: &Reader| match args.readers.as_slice() {
        [] => reader.is_here(&cx.env, &home),
        named => named.contains(reader),
    };
    let found: Vec<PathBuf> =
        all.into_iter().filter(wanted).map(|reader| reader.place(&cx.env, &home)).collect();
    if found.is_empty() {
        let words = "no agent was found in your home folder; name one with --for claude or --for agents";
        return Err(Failure::new(Exit::Failed, words));
    }
    Ok(found)
}

impl Reader {
    /// The folder in which it keeps its things.
    fn folder(self, env: &Environment, home: &Path) -> PathBuf {
        match self {
            Self::Claude => env
                .raw("CLAUDE_CONFIG_DIR")
                .filter(|dir| !dir.is_empty())
                .map_or_else(|| home.join(".claude"), PathBuf::from),
            Self::Agents => home.join(".agents"),
        }
    }

    fn place(self, env: &Environment, home: &Path) -> PathBuf {
        self.folder(env, home).join("skills").join(NAME).join(FILE)
    }

    fn is_here(self, env: &Environment, home: &Path) -> bool {
        self.folder(env, home).is_dir() || self == Self::Agents && home.join(".codex").is_dir()
    }
}

/// The file as it is written.
fn marked() -> String {
    format!("{TEXT}{}", mark_of(TEXT))
}

fn mark_of(text: &str) -> String {
    format!("{MARK}{}{MARK_END}", blake3::hash(text.as_bytes()).to_hex())
}

fn found(path: &Path) -> Result<Found, Failure> {
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(path, &error)),
    };
    // A link leads to something that somebody keeps elsewhere.
    if !meta.is_file() || meta.len() > FILE_MAX {
        return Ok(Found::Changed);
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).or_exit(Exit::Failed)?;
    Ok(judge(&bytes))
}

fn judge(bytes: &[u8]) -> Found {
    let Ok(text) = std::str::from_utf8(bytes) else { return Found::Changed };
    let Some(at) = text.rfind(MARK) else { return Found::Changed };
    let (above, mark) = text.split_at(at);
    match (mark == mark_of(above), above == TEXT) {
        (true, true) => Found::Current,
        (true, false) => Found::Older,
        (false, _) => Found::Changed,
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot read {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    visible_line(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_darkmux_wrote_is_its_own() {
        let older = "an older text\n";
        assert_eq!(judge(marked().as_bytes()), Found::Current);
        assert_eq!(judge(format!("{older}{}", mark_of(older)).as_bytes()), Found::Older);
        for foreign in [
            TEXT.to_owned(),
            format!("{}\n", marked()),
            format!("x{}", marked()),
            marked().replace("darkmux inbox", "darkmux index"),
            mark_of("another text"),
        ] {
            assert_eq!(judge(foreign.as_bytes()), Found::Changed, "{foreign}");
        }
        assert_eq!(judge(b"\xff"), Found::Changed);
    }
}
