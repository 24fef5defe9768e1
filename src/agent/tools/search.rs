//! `search`: text in the work directory's files, or the files themselves, by ripgrep's own crates.
//!
//! Invariants: it ends within its time, its answer is bounded, and it opens every file below the root, so that a
//! link shows nothing of the world outside. What is found is sorted, so that the same search has the same answer.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, MmapChoice, Searcher, SearcherBuilder, Sink, SinkMatch};
use ignore::overrides::OverrideBuilder;
use ignore::{WalkBuilder, WalkParallel, WalkState};
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::args::number;
use super::root::{Root, show};
use super::text::{count, cut};
use super::{Done, Refusal, ToolLimits};
use crate::util::{human, visible_line};

/// Results when the call does not say, and at most.
const RESULTS: usize = 50;
const RESULTS_MAX: usize = 500;

/// Results after which nothing more is looked for; of those, the first in order are shown.
const FOUND_MAX: usize = 5_000;

/// Longest line that is shown, in characters.
const LINE_MAX: usize = 300;

/// Largest file that is looked through.
const FILE_MAX: u64 = 256 * 1024 * 1024;

/// Longest line that is looked through, in bytes: a file may be one line, and each thread holds one.
const HEAP_MAX: usize = 16 * 1024 * 1024;

/// Threads that look.
const THREADS_MAX: usize = 8;

/// What `search` takes.
#[derive(Debug, Deserialize)]
pub struct Args {
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default, alias = "include")]
    glob: Option<String>,
    #[serde(default)]
    literal: bool,
    #[serde(default, alias = "case_insensitive")]
    ignore_case: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default, deserialize_with = "number")]
    max_results: Option<u64>,
}

/// One line that matches, or a file where files are listed (line 0).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    path: PathBuf,
    line: u64,
    text: String,
}

/// What all threads share.
struct Hunt {
    root: Arc<Root>,
    matcher: Option<RegexMatcher>,
    deadline: Instant,
    stop: CancellationToken,
    found: AtomicUsize,
    /// Whether something was not looked at, because of the time or the number of results.
    late: AtomicBool,
    /// Files that were not looked at to their end.
    skipped: AtomicUsize,
}

/// Looks for a pattern.
pub async fn run(
    root: &Arc<Root>,
    args: Args,
    limits: &ToolLimits,
    cancel: &CancellationToken,
) -> Result<Done, Refusal> {
    let (matcher, note) = matcher(&args)?;
    let place = root.place(args.path.as_deref().unwrap_or("."))?;
    // Also for a path that is no folder, or leads out: opening it tells.
    root.read(&place).map_err(|error| root.refusal(&place, &error))?;
    let walk = walk(root, &place, &args)?;
    let stop = cancel.child_token();
    // A future that is dropped ends its threads as well.
    let _guard: DropGuard = stop.clone().drop_guard();
    let hunt = Hunt {
        root: Arc::clone(root),
        matcher,
        deadline: Instant::now() + limits.search_timeout,
        stop: stop.clone(),
        found: AtomicUsize::new(0),
        late: AtomicBool::new(false),
        skipped: AtomicUsize::new(0),
    };
    let answer = tokio::task::spawn_blocking(move || {
        let found = hunt.run(walk);
        (found, hunt)
    });
    let (found, hunt) = answer
        .await
        .map_err(|error| Refusal::new(format!("the search failed ({error}); try another pattern")))?;
    if cancel.is_cancelled() {
        return Err(Refusal::new("the search was cancelled"));
    }
    let most = args.max_results.map_or(RESULTS, |most| usize::try_from(most).unwrap_or(RESULTS_MAX));
    Ok(answer_of(&args, found, &hunt, most.clamp(1, RESULTS_MAX), limits, note))
}

/// The pattern, and what to say of it. One that is no regular expression is looked for as it is written.
fn matcher(args: &Args) -> Result<(Option<RegexMatcher>, Option<String>), Refusal> {
    if args.pattern.is_empty() {
        let nothing = args.glob.is_none() && args.path.is_none();
        let words = "give a `pattern` to look for, or a `glob` or `path` to list files";
        return if nothing { Err(Refusal::new(words)) } else { Ok((None, None)) };
    }
    let build = |literal: bool| {
        let mut builder = RegexMatcherBuilder::new();
        builder.case_insensitive(args.ignore_case).line_terminator(Some(b'\n')).fixed_strings(literal);
        builder.build(&args.pattern)
    };
    match build(args.literal) {
        Ok(matcher) => Ok((Some(matcher), None)),
        Err(error) if args.literal => Err(Refusal::new(format!("the pattern can't be looked for: {error}"))),
        Err(error) if args.pattern.contains('\n') || args.pattern.contains("\\n") => Err(Refusal::new(
            format!("the pattern can't be looked for: {error}; a search is line by line, look for one line"),
        )),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim().to_owned();
            let plain =
                build(true).map_err(|_| Refusal::new(format!("the pattern can't be looked for: {why}")))?;
            Ok((
                Some(plain),
                Some(format!("the pattern is no regular expression ({why}); it was taken literally")),
            ))
        }
    }
}

fn walk(root: &Root, place: &Path, args: &Args) -> Result<WalkParallel, Refusal> {
    let mut builder = WalkBuilder::new(root.path().join(place));
    builder.hidden(!args.hidden).follow_links(false).require_git(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    builder.threads(threads);
    if args.hidden {
        // Git's own folder is no work of anybody.
        builder.filter_entry(|entry| entry.file_name() != ".git");
    }
    if let Some(glob) = &args.glob {
        let wrong = |error: ignore::Error| {
            Refusal::new(format!("`{}` is no glob: {error}; write `*.rs` or `src/**`", visible_line(glob)))
        };
        let mut globs = OverrideBuilder::new(root.path());
        globs.add(glob).map_err(wrong)?;
        builder.overrides(globs.build().map_err(wrong)?);
    }
    Ok(builder.build_parallel())
}

impl Hunt {
    fn run(&self, walk: WalkParallel) -> Vec<Found> {
        let (tell, told) = sync_channel::<Vec<Found>>(1024);
        std::thread::scope(|scope| {
            let collected = scope.spawn(move || {
                let mut all: Vec<Found> = told.into_iter().flatten().collect();
                all.sort_unstable();
                all
            });
            walk.run(|| {
                let tell = tell.clone();
                // Each thread has its own: what a matcher keeps for speed is shared badly.
                let (mut searcher, matcher) = (searcher(), self.matcher.clone());
                Box::new(move |entry| self.visit(entry, matcher.as_ref(), &mut searcher, &tell))
            });
            drop(tell);
            collected.join().unwrap_or_default()
        })
    }

    fn visit(
        &self,
        entry: Result<ignore::DirEntry, ignore::Error>,
        matcher: Option<&RegexMatcher>,
        searcher: &mut Searcher,
        tell: &SyncSender<Vec<Found>>,
    ) -> WalkState {
        if self.is_over() {
            return WalkState::Quit;
        }
        // What can't be read is passed over, as by ripgrep.
        let Ok(entry) = entry else { return WalkState::Continue };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let Some(path) = entry.path().strip_prefix(self.root.path()).ok().filter(|_| is_file) else {
            return WalkState::Continue;
        };
        let found = match matcher {
            None => {
                self.found.fetch_add(1, Ordering::Relaxed);
                vec![Found { path: path.to_owned(), line: 0, text: String::new() }]
            }
            Some(matcher) => self.lines(path, matcher, searcher).unwrap_or_default(),
        };
        if !found.is_empty() {
            let _ = tell.send(found);
        }
        WalkState::Continue
    }

    fn lines(&self, path: &Path, matcher: &RegexMatcher, searcher: &mut Searcher) -> io::Result<Vec<Found>> {
        let file: File = self.root.read(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(Vec::new());
        }
        if meta.len() > FILE_MAX {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(Vec::new());
        }
        let mut lines = Lines { hunt: self, path, found: Vec::new() };
        // What was found before something went wrong is found.
        if searcher.search_file(matcher, &file, &mut lines).is_err() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(lines.found)
    }

    /// Whether to look no further. Notes that something was left out.
    fn is_over(&self) -> bool {
        let enough = self.found.load(Ordering::Relaxed) >= FOUND_MAX;
        let over = enough || self.stop.is_cancelled() || Instant::now() >= self.deadline;
        if over {
            self.late.store(true, Ordering::Relaxed);
        }
        over
    }
}

fn searcher() -> Searcher {
    SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .line_number(true)
        .heap_limit(Some(HEAP_MAX))
        // A file that shrinks under a map would end the process.
        .memory_map(MmapChoice::never())
        .build()
}

/// Collects the lines of one file.
struct Lines<'a> {
    hunt: &'a Hunt,
    path: &'a Path,
    found: Vec<Found>,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> io::Result<bool> {
        // A bounded part before it is made text: a line may be as long as its file.
        let bytes = &line.bytes()[..line.bytes().len().min(LINE_MAX * 4)];
        let text = String::from_utf8_lossy(bytes);
        let text = cut(text.trim_end_matches(['\n', '\r']), LINE_MAX);
        self.found.push(Found { path: self.path.to_owned(), line: line.line_number().unwrap_or(0), text });
        self.hunt.found.fetch_add(1, Ordering::Relaxed);
        Ok(!self.hunt.is_over())
    }
}

fn answer_of(
    args: &Args,
    found: Vec<Found>,
    hunt: &Hunt,
    most: usize,
    limits: &ToolLimits,
    note: Option<String>,
) -> Done {
    let is_files = hunt.matcher.is_none();
    let total = found.len();
    let (mut text, mut given) = (String::new(), 0);
    for Found { path, line, text: found } in found.into_iter().take(most) {
        if text.len() >= limits.answer_bytes {
            break;
        }
        let path = show(&path);
        let _ = if is_files { writeln!(text, "{path}") } else { writeln!(text, "{path}:{line}: {found}") };
        given += 1;
    }
    let late = hunt.late.load(Ordering::Relaxed);
    let what = if is_files { "file" } else { "line" };
    if total == 0 {
        let _ = writeln!(text, "No {what} was found.");
    }
    if given < total || late {
        let least = if late { "at least " } else { "" };
        let all = format!("{least}{}", count(total, what));
        let _ = writeln!(text, "({given} of {all}; narrow it with `path` or `glob`)");
    }
    if late && total < FOUND_MAX {
        let seconds = limits.search_timeout.as_secs();
        let _ = writeln!(text, "(the search was ended after {seconds} s, before everything was looked at)");
    }
    let skipped = hunt.skipped.load(Ordering::Relaxed);
    if skipped > 0 {
        let _ = writeln!(
            text,
            "({} not looked at to the end: larger than {}, with a line longer than {}, or broken)",
            count(skipped, "file"),
            human::bytes(FILE_MAX),
            human::bytes(HEAP_MAX as u64)
        );
    }
    if let Some(note) = note {
        let _ = writeln!(text, "(note: {note})");
    }
    let shown = if is_files { args.glob.as_deref().unwrap_or("files") } else { args.pattern.as_str() };
    let shown = vec![format!("{shown}: {}", count(total, what))];
    Done { ok: true, text, steady: None, shown, changed: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_is_cancelled_looks_no_further() {
        let dir = tempfile::tempdir().unwrap();
        for name in 0..200 {
            std::fs::write(dir.path().join(format!("{name}.txt")), "needle\n").unwrap();
        }
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let args: Args = serde_json::from_value(serde_json::json!({ "pattern": "needle" })).unwrap();
        let hunt = |cancelled: bool| {
            let stop = CancellationToken::new();
            if cancelled {
                stop.cancel();
            }
            let hunt = Hunt {
                root: Arc::clone(&root),
                matcher: matcher(&args).unwrap().0,
                deadline: Instant::now() + std::time::Duration::from_mins(1),
                stop,
                found: AtomicUsize::new(0),
                late: AtomicBool::new(false),
                skipped: AtomicUsize::new(0),
            };
            let found = hunt.run(walk(&root, Path::new("."), &args).unwrap());
            (found.len(), hunt.late.into_inner())
        };
        assert_eq!(hunt(false), (200, false));
        assert_eq!(hunt(true), (0, true));
    }
}
