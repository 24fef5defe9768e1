//! The documents: links that lead somewhere, and docs/ENVIRONMENT.md, which is written from the table of
//! settings. `UPDATE_DOCS=1 cargo test --test it tidy::docs` writes it anew.

use std::fmt::Write;

use darkmux::config::keys::{KEYS, Key, Kind, Use};

use super::rust::tests_start;
use super::{File, Findings, Tree};

const ENVIRONMENT: &str = "docs/ENVIRONMENT.md";

/// Variables that are no settings of the table: name and meaning, in the order of the document.
const OTHERS: &[(&str, &str)] = &[
    ("DARKMUX_HOME", "folder of all state, absolute; `~/.darkmux` when unset"),
    (
        "DARKMUX_LOG",
        "what `serve` logs to stderr, as `info`, `debug` or `darkmux::serve=trace`; `info` when unset",
    ),
    ("DARKMUX_LOG_FORMAT", "`json` logs one JSON object a line"),
    (
        "DARKMUX_PIE",
        "read by `cargo build` on Linux: set to anything, the program is linked so that it can lie at any address, and \
         starts slower",
    ),
    (
        "DARKMUX_SERVE_TOKEN",
        "a token (at least 64 hexadecimal digits) that `serve` takes beside its file's. No child process gets it",
    ),
    (
        "CLAUDE_CONFIG_DIR",
        "Claude Code's folder, when it is not `~/.claude`; `skills install` writes below it",
    ),
    (
        "CODEX_HOME",
        "Codex' folder, when it is not `~/.codex`; darkmux looks there whether you have set `notify` yourself",
    ),
    ("BROWSER", "what `open` opens a page with; `%s` stands for the address"),
    ("COMPLETE", "set by the completion scripts of `darkmux completions`; names the shell that asks"),
    ("DISPLAY", "with `WAYLAND_DISPLAY`: whether there is a desktop that `open` can open a browser on"),
    ("DOCKER_HOST", "`unix://` and the container engine's socket, when it is not at a usual place"),
    ("HOME", "the user's home folder"),
    ("NO_COLOR", "anything but an empty text switches colours off"),
    ("PATH", "where agent CLIs are looked for"),
    ("USER", "on macOS, the account of the Keychain item `darkmux-redis`"),
    ("SHELL", "the shell of the role `shell`; `/bin/sh` when unset"),
    ("WAYLAND_DISPLAY", "see `DISPLAY`"),
    ("XDG_RUNTIME_DIR", "where the socket of a container engine without root is looked for"),
];

/// What darkmux sets for the process of a session.
const GIVEN: &[(&str, &str)] = &[
    ("DARKMUX_ATTEMPT", "in jobs of the queue: which attempt it is, from 1"),
    ("DARKMUX_ATTEMPT_TOKEN", "in jobs of the queue: another text for each attempt, to tell doubles apart"),
    ("DARKMUX_JOB_ID", "in jobs of the queue: the job's id"),
    ("DARKMUX_SESSION_ID", "the session's id"),
    ("DARKMUX_SOCKET", "the socket of the session's host"),
    ("COLORTERM", "`truecolor`"),
    ("GMUX", "`1`: hooks made for gmux find what they look for, here and in the four below"),
    ("GMUX_ADAPTER", "the adapter that knows the session's program, else `shell`"),
    ("GMUX_RUNNER_VERSION", "as `TERM_PROGRAM_VERSION`"),
    ("GMUX_SESSION_ID", "as `DARKMUX_SESSION_ID`"),
    ("GMUX_SOCKET", "as `DARKMUX_SOCKET`"),
    ("TERM", "kind of the terminal"),
    ("TERM_PROGRAM", "`darkmux`"),
    ("TERM_PROGRAM_VERSION", "the version of the darkmux that hosts the session, without its commit"),
];

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::MachineId => "machine id".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Flag => "true, false".to_owned(),
        Kind::Number(low, u64::MAX) => format!("number from {low}"),
        Kind::Number(low, high) => format!("{low} to {high}"),
        Kind::Fraction => "fraction".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::RedisUrl => "URL".to_owned(),
        Kind::Duration => "duration".to_owned(),
    }
}

fn code(text: Option<&str>) -> String {
    text.map(|text| format!("`{text}`")).unwrap_or_default()
}

fn rows(out: &mut String, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

fn environment() -> String {
    let mut out = String::from(INTRO);
    let settings = |used: Use| KEYS.iter().filter(move |key| key.used == used);
    let acting = |key: &Key| {
        vec![code(Some(key.name)), code(key.env), kind(key.kind), code(key.default), key.about.to_owned()]
    };
    rows(&mut out, &["key", "variable", "value", "default", "what it is"], settings(Use::Acts).map(acting));
    out.push_str(OTHERS_INTRO);
    let pair = |(name, about): &(&str, &str)| vec![code(Some(name)), (*about).to_owned()];
    rows(&mut out, &["variable", "what it is"], OTHERS.iter().map(pair));
    out.push_str(GIVEN_INTRO);
    rows(&mut out, &["variable", "what it is"], GIVEN.iter().map(pair));
    out.push_str(KEPT_INTRO);
    let kept = |key: &Key| vec![code(Some(key.name)), code(key.env)];
    rows(&mut out, &["key", "variable"], settings(Use::Kept).map(kept));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The document and doctor know the same variables.
#[test]
fn no_variable_of_the_document_is_unknown() {
    let names = OTHERS.iter().chain(GIVEN).map(|(name, _)| (*name, "x"));
    assert_eq!(darkmux::config::Environment::of(names).strangers(), []);
}

const INTRO: &str = "# Settings and environment

<!-- Written from src/config/keys.rs by `UPDATE_DOCS=1 cargo test --test it tidy::docs`. -->

A setting stands in `config.json` of darkmux's folder (`~/.darkmux`) under its dotted key, or in its variable. A flag
wins over a variable, a variable over the file, the file over the default; `darkmux config list --origin` shows
where each value comes from, `darkmux config set KEY VALUE` writes the file. An unknown key is an error. A blank
variable counts as unset; in a variable, a list is separated by commas. A path is absolute or starts with `~/`.
A duration is written `90s`, `10m`, `1h 30m`; a bare number is seconds.

## Settings

";

const OTHERS_INTRO: &str = "## Other variables that are read

";

const GIVEN_INTRO: &str = "## Variables that a session's process gets

The process gets what the caller of darkmux has, less darkmux's secrets, and:

";

const KEPT_INTRO: &str = "## Settings of darkmux 1.9 without effect here

They are accepted, so that a file of 1.9 stays valid, and do nothing. `darkmux doctor` names those that are set.

";

/// Variables that the source names and the document does not.
fn undocumented(tree: &Tree) -> Findings {
    let text = tree.get(ENVIRONMENT).map(|file| file.text.as_str()).unwrap_or_default();
    let mut found = Vec::new();
    for file in tree.under("src/", ".rs") {
        let tests = tests_start(&file.text);
        for before in ["\"DARKMUX_", "env.get(\"", "env.raw(\"", "self.raw(\""] {
            for (at, _) in file.text[..tests].match_indices(before) {
                let quote = at + before.find('"').unwrap_or(0) + 1;
                let name = file.text[quote..].split('"').next().unwrap_or_default();
                let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
                // The binary's own version is set by the build.
                if is_name && name != "DARKMUX_VERSION" && !text.contains(&format!("`{name}`")) {
                    found.push(format!("{}: `{name}` is not in {ENVIRONMENT}", file.at(at)));
                }
            }
        }
    }
    found
}

/// Tests that a document names, as `file::test`, and that are not there.
fn absent_tests(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    let Some(file) = tree.get("docs/TESTING.md") else { return vec!["docs/TESTING.md is missing".into()] };
    for (at, span) in file.text.split('`').scan(0, |at, span| {
        *at += span.len() + 1;
        Some((*at - span.len() - 1, span))
    }) {
        let Some((module, test)) = span.split_once("::") else { continue };
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name(module) || !is_name(test) || tree.has(&format!("tests/it/{module}")) {
            continue;
        }
        let source = tree.get(&format!("tests/it/{module}.rs"));
        if !source.is_some_and(|source| source.text.contains(&format!("fn {test}("))) {
            found.push(format!("{}: there is no test `{span}`", file.at(at)));
        }
    }
    found
}

/// Links to files and headings that are not there.
fn broken_links(tree: &Tree) -> Findings {
    let mut found = Vec::new();
    for file in tree.under("", ".md") {
        for (at, target) in links(&file.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { file.path.clone() } else { beside(file, path) };
            if !tree.has(&path) {
                found.push(format!("{}: `{target}` leads nowhere", file.at(at)));
            } else if !anchor.is_empty() && !tree.get(&path).is_some_and(|file| has_heading(file, anchor)) {
                found.push(format!("{}: `{path}` has no heading `#{anchor}`", file.at(at)));
            }
        }
    }
    found
}

/// Targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut fenced = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        fenced ^= line.trim_start().starts_with("```");
        for (at, _) in line.match_indices("](").filter(|_| !fenced) {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            if !in_code {
                out.push((start + at, target.split(' ').next().unwrap_or_default()));
            }
        }
        start += line.len();
    }
    out
}

/// `path` as seen from the folder of `file`.
fn beside(file: &File, path: &str) -> String {
    let mut parts: Vec<&str> = file.path.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a heading's anchor, as GitHub makes it, is `anchor`.
fn has_heading(file: &File, anchor: &str) -> bool {
    let slug = |heading: &str| -> String {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let headings = file.text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#')).any(|heading| slug(heading) == anchor)
}

#[test]
fn the_table_of_settings_is_written_down() {
    let wanted = environment();
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(Tree::root().join(ENVIRONMENT), &wanted).expect("docs can be written");
    }
    let tree = Tree::read();
    let have = tree.get(ENVIRONMENT).map(|file| file.text.as_str()).unwrap_or_default();
    assert!(have == wanted, "{ENVIRONMENT} is old; run `UPDATE_DOCS=1 cargo test --test it tidy::docs`");
    super::assert_clean(&undocumented(&tree));
}

#[test]
fn links_between_documents_lead_somewhere() {
    super::assert_clean(&broken_links(&Tree::read()));
}

#[test]
fn the_tests_that_are_named_exist() {
    super::assert_clean(&absent_tests(&Tree::read()));
}

#[test]
fn a_test_that_is_gone_is_found() {
    let text = "| a | `flow::is_there` |\n| b | `flow::is_gone`, `none::at_all` and `x y::z` |\n";
    let tree = Tree::of(&[("docs/TESTING.md", text), ("tests/it/flow.rs", "fn is_there() {}")]);
    super::assert_found(
        &absent_tests(&tree),
        &["TESTING.md:2: there is no test `flow::is_gone`", "`none::at_all`"],
    );
}

#[test]
fn broken_links_and_secret_variables_are_found() {
    let tree = Tree::of(&[
        ("README.md", "[a](docs/A.md#two-words) [b](docs/B.md) [c](https://x) `[d](e)`\n```\n[f](g)\n```\n"),
        ("docs/A.md", "# Two words!\n[up](../README.md) [bad](#three) [dir](../docs)\n"),
        (ENVIRONMENT, "`DARKMUX_KNOWN`"),
        ("src/x.rs", "env.get(\"DARKMUX_KNOWN\"); env.get(\"SECRET\"); \"DARKMUX_NEW\""),
    ]);
    super::assert_found(&broken_links(&tree), &["`docs/B.md` leads", "no heading `#three`"]);
    super::assert_found(&undocumented(&tree), &["`DARKMUX_NEW`", "`SECRET`"]);
}
