//! systemd: user units below `~/.config/systemd/user`, and `systemctl --user`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::manager::{Step, Then};
use super::unit::{Kind, NIGHTLY, Unit};
use super::{Answer, UnitState};

/// Seconds before a service that ended is started again.
const PAUSE: u32 = 2;

/// What is asked about a unit.
const PROPERTIES: &str = "LoadState,ActiveState,SubState,MainPID,ExecMainCode,ExecMainStatus,\
                          ExecMainExitTimestampMonotonic,NRestarts,UnitFileState";

/// What `is-system-running` says where a user's manager is at work.
const AT_WORK: &[&str] = &["running", "degraded", "starting", "initializing", "maintenance"];

fn folder(user_home: &Path) -> PathBuf {
    user_home.join(".config/systemd/user")
}

/// What is switched on and off: the service, or the timer that starts it.
pub(super) fn name(kind: Kind) -> String {
    format!("{}.{}", kind.stem(), if kind.is_lasting() { "service" } else { "timer" })
}

/// The files of a unit, with what belongs into them.
pub(super) fn files(user_home: &Path, unit: &Unit) -> Vec<(PathBuf, String)> {
    let path = |suffix| folder(user_home).join(format!("{}.{suffix}", unit.kind.stem()));
    let mut files = vec![(path("service"), service(unit))];
    if !unit.kind.is_lasting() {
        files.push((path("timer"), timer(unit.kind)));
    }
    files
}

/// Where the files of a unit would be.
pub(super) fn paths(user_home: &Path, kind: Kind) -> Vec<PathBuf> {
    let suffixes: &[&str] = if kind.is_lasting() { &["service"] } else { &["service", "timer"] };
    suffixes.iter().map(|suffix| folder(user_home).join(format!("{}.{suffix}", kind.stem()))).collect()
}

fn step(words: &[&str]) -> Step {
    let argv = ["systemctl", "--user"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    Step { argv, then: Then::Done }
}

/// Asks whether the user's manager is there.
pub(super) fn is_there() -> Vec<String> {
    step(&["is-system-running"]).argv
}

/// Whether the answer to that says so.
pub(super) fn says_it_is_there(answer: &Answer) -> bool {
    AT_WORK.contains(&answer.out.trim())
}

/// What makes systemd read its units again.
pub(super) fn reload() -> Step {
    step(&["daemon-reload"])
}

/// What makes systemd run the unit as its files say.
pub(super) fn load(kind: Kind, changed: bool, state: &UnitState) -> Vec<Step> {
    let name = name(kind);
    let mut steps = Vec::new();
    if changed {
        steps.push(reload());
    }
    steps.push(step(&["enable", "--now", &name]));
    if changed && state.running {
        steps.push(step(&["restart", &name]));
    }
    steps
}

/// What makes systemd stop the unit, and not start it any more.
pub(super) fn unload(kind: Kind) -> Vec<Step> {
    vec![step(&["disable", "--now", &name(kind)])]
}

/// What makes it start anew.
pub(super) fn restart(kind: Kind) -> Vec<Step> {
    vec![step(&["restart", &name(kind)])]
}

/// What asks for the state of a unit; of the nightly one, for that of its timer and of what it starts.
pub(super) fn question(kind: Kind) -> Vec<String> {
    let property = format!("--property={PROPERTIES}");
    let service = format!("{}.service", kind.stem());
    let mut argv = step(&["show", &property, &name(kind)]).argv;
    if !kind.is_lasting() {
        argv.push(service);
    }
    argv
}

/// Reads `systemctl show`. An error is what it says instead.
pub(super) fn state(answer: &Answer) -> Result<UnitState, String> {
    if !answer.is_good() {
        return Err(answer.words());
    }
    // A block a unit, with an empty line between them.
    let blocks: Vec<BTreeMap<&str, &str>> = answer
        .out
        .split("\n\n")
        .map(|block| block.lines().filter_map(|line| line.split_once('=')).collect())
        .collect();
    let Some(main) = blocks.first() else { return Err("nothing is said".to_owned()) };
    let text = |name: &str| main.get(name).copied().unwrap_or_default();
    let run = blocks.last().unwrap_or(main);
    let number = |name: &str| run.get(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
    let signalled = matches!(number("ExecMainCode"), 2 | 3);
    let exit = number("ExecMainStatus") + if signalled { 128 } else { 0 };
    let ended = number("ExecMainExitTimestampMonotonic") > 0;
    Ok(UnitState {
        loaded: text("LoadState") == "loaded" && text("ActiveState") != "inactive",
        running: matches!(text("SubState"), "running" | "waiting" | "start" | "stop" | "elapsed"),
        pid: u32::try_from(number("MainPID")).ok().filter(|pid| *pid > 0),
        last_exit: i32::try_from(exit).ok().filter(|_| ended),
        restarts: main.get("NRestarts").and_then(|count| count.parse().ok()),
        disabled: matches!(text("UnitFileState"), "disabled" | "masked"),
    })
}

fn service(unit: &Unit) -> String {
    let mut out = head(unit.kind);
    let words: Vec<String> = unit.argv.iter().enumerate().map(|(at, word)| argument(word, at == 0)).collect();
    let lasting = unit.kind.is_lasting();
    let mut lines = vec![
        "[Service]".to_owned(),
        format!("Type={}", if lasting { "exec" } else { "oneshot" }),
        format!("ExecStart={}", words.join(" ")),
        "WorkingDirectory=%h".to_owned(),
    ];
    lines.extend(
        unit.env.iter().map(|(name, value)| format!("Environment={}", quoted(&format!("{name}={value}")))),
    );
    let log = specifiers(&unit.log.to_string_lossy());
    lines.extend([format!("StandardOutput=append:{log}"), format!("StandardError=append:{log}")]);
    if lasting {
        lines.extend(["Restart=always".to_owned(), format!("RestartSec={PAUSE}")]);
    }
    if unit.kind == Kind::Serve {
        lines.extend(OUTLIVED.iter().map(|line| (*line).to_owned()));
    }
    if lasting {
        lines.extend(["", "[Install]", "WantedBy=default.target"].map(str::to_owned));
    }
    out.push_str(&lines.join("\n"));
    out.push('\n');
    out
}

/// Sessions run in the service's group of processes, and outlive the daemon.
const OUTLIVED: &[&str] = &[
    "# Sessions and running jobs go on when the daemon stops; the next one finds them.",
    "KillMode=process",
    "# A job that the system ends for want of memory must not take the daemon along.",
    "OOMPolicy=continue",
    "TasksMax=infinity",
];

fn head(kind: Kind) -> String {
    let mut out = String::from(
        "# Written by darkmux, and written anew by it: change settings instead (darkmux config set), or add to it \
         with `systemctl --user edit`.\n[Unit]\n",
    );
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Description={}", kind.about());
    if kind.is_lasting() {
        out.push_str("StartLimitIntervalSec=0\n");
    }
    out.push('\n');
    out
}

fn timer(kind: Kind) -> String {
    let (hour, minute) = NIGHTLY;
    format!(
        "{}[Timer]\nOnCalendar=*-*-* {hour:02}:{minute:02}:00\n# After a night in which the machine was off.\n\
         Persistent=true\n\n[Install]\nWantedBy=timers.target\n",
        head(kind)
    )
}

/// A word of a command line. In the program's own path variables are not looked for.
fn argument(word: &str, is_program: bool) -> String {
    if is_program { quoted(word) } else { quoted(&word.replace('$', "$$")) }
}

/// The program of a unit of ours.
pub(super) fn program(unit: &str) -> Option<String> {
    let words = unit.lines().find_map(|line| line.strip_prefix("ExecStart=\""))?;
    let mut program = String::new();
    let mut letters = words.chars();
    loop {
        match letters.next()? {
            '"' => return Some(program.replace("%%", "%")),
            '\\' => program.push(letters.next()?),
            letter => program.push(letter),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", specifiers(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(out: &str) -> Answer {
        Answer { code: Some(0), out: out.to_owned(), err: String::new() }
    }

    #[test]
    fn what_systemctl_shows_is_read() {
        let running = "LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=4711\nExecMainCode=0\n\
                       ExecMainStatus=0\nExecMainExitTimestampMonotonic=0\nNRestarts=2\nUnitFileState=enabled\n";
        let seen = |text: &str| state(&answer(text)).unwrap();
        assert_eq!(
            seen(running),
            UnitState {
                loaded: true,
                running: true,
                pid: Some(4711),
                restarts: Some(2),
                ..UnitState::default()
            }
        );
        let failing = "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nMainPID=0\nExecMainCode=1\n\
                       ExecMainStatus=2\nExecMainExitTimestampMonotonic=9\nNRestarts=7\nUnitFileState=enabled\n";
        let failing = seen(failing);
        assert_eq!((failing.loaded, failing.running, failing.pid), (true, false, None));
        assert_eq!((failing.last_exit, failing.restarts), (Some(2), Some(7)));
        let killed = "LoadState=loaded\nActiveState=failed\nSubState=failed\nExecMainCode=2\nExecMainStatus=9\n\
                      ExecMainExitTimestampMonotonic=9\n";
        assert_eq!(seen(killed).last_exit, Some(137));
        assert!(!seen("LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\n").loaded);
        let refused = Answer { code: Some(1), err: "Failed to connect to bus".into(), ..Answer::default() };
        assert_eq!(state(&refused), Err("Failed to connect to bus".to_owned()));
    }

    #[test]
    fn the_nightly_check_is_read_from_timer_and_service() {
        let both = "LoadState=loaded\nActiveState=active\nSubState=waiting\nUnitFileState=enabled\n\n\
                    LoadState=loaded\nActiveState=failed\nSubState=failed\nMainPID=0\nExecMainCode=1\nExecMainStatus=2\n\
                    ExecMainExitTimestampMonotonic=5\nUnitFileState=static\n";
        let state = state(&answer(both)).unwrap();
        assert_eq!((state.loaded, state.running, state.last_exit), (true, true, Some(2)));
        assert!(!state.disabled);
    }

    #[test]
    fn hostile_words_stay_words() {
        let unit = Unit {
            kind: Kind::Serve,
            argv: vec!["/a $b/100%".into(), "--x=$HOME %h \"\\".into()],
            env: vec![("X".into(), "a\" %h\\".into())],
            log: "/l %d".into(),
        };
        let text = service(&unit);
        assert_eq!(program(&text).as_deref(), Some("/a $b/100%"));
        assert!(text.contains(r#"ExecStart="/a $b/100%%" "--x=$$HOME %%h \"\\""#), "{text}");
        assert!(text.contains(r#"Environment="X=a\" %%h\\""#) && text.contains("append:/l %%d\n"), "{text}");
    }

    #[test]
    fn a_manager_that_is_not_at_work_is_none() {
        for (said, there) in [("running\n", true), ("degraded\n", true), ("offline\n", false), ("", false)] {
            assert_eq!(says_it_is_there(&answer(said)), there, "{said}");
        }
    }
}
