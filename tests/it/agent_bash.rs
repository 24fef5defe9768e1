//! The agent's `bash`: real shells under a real guard, to their end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use darkmux::agent::tools::ToolLimits;
use darkmux::agent::tools::confine::Confinement;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::tools::Tools;
use crate::support::{is_alive, signal, wait_for};

/// The process ids that a command wrote, one a line.
fn pids(tools: &Tools, file: &str) -> Vec<i64> {
    let text = fs::read_to_string(tools.root.join(file)).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn assert_gone(pids: &[i64]) {
    for pid in pids {
        assert!(!is_alive(*pid), "process {pid} is left");
    }
}

#[test]
fn a_command_answers_with_its_output_status_and_folder() {
    let mut tools = Tools::new();
    let done = tools.bash("echo out; echo err >&2; mkdir -p sub/deep; cd sub");
    assert!(done.ok, "{}", done.text);
    assert!(
        done.text.starts_with("out\nerr\n(exit 0, ") && done.text.ends_with("starts in sub)"),
        "{}",
        done.text
    );
    assert!(done.shown[0].starts_with("(exit 0, ") && done.shown.len() == 1, "{:?}", done.shown);
    assert_eq!(tools.told[..2], ["out", "err"]);
    let done = tools.bash("pwd; exit 3");
    assert!(!done.ok && done.text.contains("/tree/sub\n(exit 3, "), "{}", done.text);
    // A folder that is gone is no trap.
    assert!(tools.bash("cd ../ && rmdir sub/deep sub; mkdir x; cd x; rmdir ../x").ok);
    assert!(tools.bash("pwd").text.contains("/tree\n"), "back at the root");
    assert!(tools.bash("cat; read line; echo \"[$line]\"").text.starts_with("[]\n"), "there is no input");
    let done = tools.bash("if then");
    assert!(!done.ok && done.text.contains("syntax error"), "{}", done.text);
    let done = tools.bash("kill -9 $$");
    assert!(done.text.contains("ended by signal 9"), "{}", done.text);
}

#[test]
fn a_folder_outside_is_not_kept() {
    let mut tools = Tools::new();
    tools.ok("bash", &json!({"command": "mkdir sub && cd sub"}));
    for command in ["cd /", "cd ..; cd ..; cd ..", "cd /usr/bin", "ln -s / ../root; cd ../root"] {
        let text = tools.bash(command).text;
        assert!(
            text.contains("outside of the work directory; the next command starts in sub again"),
            "{text}"
        );
    }
    assert!(tools.bash("pwd").text.contains("/tree/sub\n"));
}

#[test]
fn what_is_left_in_the_background_ends_with_the_call() {
    let mut tools = Tools::new();
    let done = tools.bash(
        "sleep 600 & echo $! >>pids
         nohup sleep 600 >/dev/null 2>&1 & echo $! >>pids
         setsid sh -c 'echo $$ >>pids; trap \"\" TERM HUP; sleep 600; sleep 600' &
         (setsid sh -c 'sleep 600 & echo $! >>pids' &)
         until [ \"$(wc -l <pids)\" = 4 ]; do :; done",
    );
    assert!(done.ok && done.text.contains("left in the background were ended"), "{}", done.text);
    let pids = pids(&tools, "pids");
    assert_eq!(pids.len(), 4);
    assert_gone(&pids);
}

#[test]
fn a_command_that_takes_too_long_ends_with_all_it_started() {
    let mut tools = Tools::new();
    let began = Instant::now();
    let command = "trap '' TERM; for i in $(seq 200); do sh -c 'trap \"\" TERM; echo $$ >>pids; sleep 600' & done; wait";
    let done = tools.call("bash", &json!({"command": command, "timeout_seconds": 2}));
    assert!(!done.ok && done.text.contains("ended after 2 s"), "{}", done.text);
    assert!(began.elapsed() < Duration::from_mins(1));
    let pids = pids(&tools, "pids");
    assert!(pids.len() > 20, "{}", pids.len());
    assert_gone(&pids);
    assert!(tools.bash("true").ok, "the next one runs");
}

#[test]
fn a_command_with_too_many_processes_is_ended() {
    let limits = ToolLimits { processes: 40, ..ToolLimits::default() };
    let mut tools = Tools::with(limits, |_, _| Confinement::Off);
    let done = tools.bash("for i in $(seq 100); do sh -c 'echo $$ >>pids; exec sleep 600' & done; wait");
    // The superuser is not held to a number by the kernel; others can't start that many.
    assert!(!done.ok, "{}", done.text);
    assert!(done.text.contains("more than 40 processes") || done.text.contains("fork"), "{}", done.text);
    assert_gone(&pids(&tools, "pids"));
}

#[test]
fn huge_output_is_cut_kept_and_ended() {
    let limits = ToolLimits { overflow_bytes: 4 * 1024 * 1024, ..ToolLimits::default() };
    let mut tools = Tools::with(limits, |home, path| {
        Confinement::of_system(darkmux::agent::tools::confine::Rules::standard(Some(home), path))
    });
    let text = tools.ok("bash", &json!({"command": "seq 100000"}));
    assert!(
        text.len() < 32_000 && text.starts_with("1\n2\n") && text.contains("\n100000\n"),
        "{}",
        text.len()
    );
    let file = text.split("all of it is in ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 100_000);
    let page = tools.ok("read", &json!({"path": file, "offset": 50_000, "limit": 1}));
    assert!(page.starts_with(" 50000\t50000\n"), "{page}");
    assert!(tools.bash(&format!("grep -c 77777 {file}")).text.starts_with("1\n"), "commands read it");
    assert!(!tools.bash(&format!("echo x >>{file}")).ok, "and don't change it");
    let endless = tools.bash("yes");
    assert!(!endless.ok && endless.text.contains("ended: it printed too much"), "{}", endless.text);
    assert!(tools.told.len() < 500, "{}", tools.told.len());
}

#[test]
fn a_cancelled_and_a_dropped_call_leave_nothing() {
    let mut tools = Tools::new();
    let cancel = CancellationToken::new();
    let (soon, file) = (cancel.clone(), tools.root.join("pids"));
    let waits = std::thread::spawn(move || {
        wait_for("the command to run", || fs::read_to_string(&file).ok().filter(|text| text.contains('\n')));
        soon.cancel();
    });
    let arguments = json!({"command": "echo $$ >pids; sleep 600"});
    let done = tools.call_within("bash", &arguments, &cancel, Duration::from_mins(1)).unwrap();
    waits.join().unwrap();
    assert!(!done.ok && done.text.contains("ended: it was cancelled"), "{}", done.text);
    assert_gone(&pids(&tools, "pids"));

    let arguments = json!({"command": "setsid sleep 600 & echo $! >>other; echo $$ >>other; wait"});
    let dropped = tools.call_within("bash", &arguments, &CancellationToken::new(), Duration::from_secs(3));
    assert!(dropped.is_none());
    let pids = wait_for("both", || Some(pids(&tools, "other")).filter(|pids| pids.len() == 2));
    for pid in pids {
        wait_for("the process to end", || (!is_alive(pid)).then_some(()));
    }
    assert!(tools.bash("true").ok);
}

#[test]
fn a_guard_that_is_killed_is_told_and_takes_the_command_along() {
    let mut tools = Tools::new();
    let file = tools.root.join("pids");
    let killer = std::thread::spawn(move || {
        let text = wait_for("the command to run", || {
            fs::read_to_string(&file).ok().filter(|text| text.lines().count() == 2)
        });
        signal(text.lines().next().unwrap().parse().unwrap(), "KILL");
    });
    let words = tools
        .refused("bash", &json!({"command": "echo did-a-part; echo $PPID >pids; echo $$ >>pids; sleep 600"}));
    killer.join().unwrap();
    assert!(words.contains("it ended without a word") && words.contains("may have done part"), "{words}");
    assert!(words.ends_with("\ndid-a-part\n") && !words.contains("not run"), "{words}");
    for pid in pids(&tools, "pids") {
        wait_for("the process to end", || (!is_alive(pid)).then_some(()));
    }
}

#[test]
fn without_a_sandbox_nothing_runs_unless_somebody_said_so() {
    let missing = |_: &Path, _: &[std::path::PathBuf]| Confinement::Missing { why: "a test".into() };
    let mut tools = Tools::with(ToolLimits::default(), missing);
    let words = tools.refused("bash", &json!({"command": "touch x"}));
    assert!(words.contains("could not be confined: a test") && words.contains("--no-sandbox"), "{words}");
    assert!(!tools.root.join("x").exists());
    let mut free = Tools::with(ToolLimits::default(), |_, _| Confinement::Off);
    assert!(free.bash("cat ../.ssh/id").text.starts_with("the secret key"));
    assert!(free.toolbox.confinement().to_string().contains("not confined (--no-sandbox)"));
    for (command, why) in [
        (" ".to_owned(), "is empty or holds a NUL"),
        ("touch y; a\0b".to_owned(), "is empty or holds a NUL"),
        (format!("true {}", "x".repeat(120 * 1024)), "put long texts into a file"),
    ] {
        let words = free.refused("bash", &json!({ "command": command }));
        assert!(words.contains(why), "{why}: {words}");
    }
    assert!(!free.root.join("y").exists());
}

#[test]
fn no_command_gets_more_time_than_there_is() {
    let limits = ToolLimits { bash_timeout_max: Duration::from_secs(1), ..ToolLimits::default() };
    let mut tools = Tools::with(limits, |_, _| Confinement::Off);
    let done = tools.call("bash", &json!({"command": "exec sleep 600", "timeout_seconds": 600}));
    assert!(
        !done.ok && done.text.contains("ended after 1 s, its time; timeout_seconds may be up to 1"),
        "{}",
        done.text
    );
    let limits = ToolLimits { bash_timeout: Duration::from_secs(1), ..ToolLimits::default() };
    let done = Tools::with(limits, |_, _| Confinement::Off).bash("exec sleep 600");
    assert!(done.text.contains("ended after 1 s"), "who asks for no time has the usual one: {}", done.text);
}

#[test]
fn a_command_may_clean_up_before_it_is_killed() {
    let mut tools = Tools::with(ToolLimits::default(), |_, _| Confinement::Off);
    let command = "trap 'echo cleaned >ended; exit 0' TERM; while :; do sleep 0.05; done";
    let done = tools.call("bash", &json!({"command": command, "timeout_seconds": 1}));
    assert!(done.text.contains("ended after 1 s"), "{}", done.text);
    assert_eq!(tools.file("ended"), "cleaned\n");
    // One that is stopped is woken up for it.
    let command = "trap 'echo woken >ended; exit 0' TERM; kill -STOP $$; sleep 600";
    tools.call("bash", &json!({"command": command, "timeout_seconds": 1}));
    assert_eq!(tools.file("ended"), "woken\n");
}

#[test]
fn a_command_leaves_no_core_and_has_a_bound_on_processes() {
    let limits = ToolLimits { processes: 40, ..ToolLimits::default() };
    let mut tools = Tools::with(limits, |_, _| Confinement::Off);
    let text = tools.bash("ulimit -Sc; ulimit -Hc; ulimit -Hu").text;
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (Some("0"), Some("0")), "{text}");
    // All that this user runs, and forty more.
    let most: usize = lines.next().unwrap().parse().unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let tasks = all.filter_map(|process| fs::read_dir(process.path().join("task")).ok()).map(Iterator::count);
    assert!((40..tasks.sum::<usize>() + 500).contains(&most), "{text}");
}

/// An engine that runs the container's command here, and notes how it was called.
const ENGINE: &str = r#"#!/bin/sh
dir=$(dirname "$0")
printf '%s\n' "$@" >>"$dir/argv"
if [ "$1" = kill ]; then kill -KILL "$(cat "$dir/pid")"; exit; fi
while [ "$1" != -- ]; do
  case $1 in --workdir=*) cd "${1#--workdir=}";; --env=*=*) export "${1#--env=}";; esac
  shift
done
shift 2
echo $$ >"$dir/pid"
exec /bin/sh "$@"
"#;

#[test]
fn a_container_runs_the_command_in_its_folder_and_is_killed_by_its_name() {
    use std::os::unix::fs::PermissionsExt;
    let engines = tempfile::tempdir().unwrap();
    let docker = engines.path().join("docker");
    fs::write(&docker, ENGINE).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let folders = vec![engines.path().to_owned()];
    let mut tools = Tools::with(ToolLimits::default(), |_, _| {
        Confinement::in_image("rust:1.95", false, &folders).unwrap()
    });
    let text = tools.bash("mkdir sub; cd sub; echo \"$HOME\"; pwd").text;
    assert!(
        text.contains("/darkmux-") && text.contains("/tree/sub\n") && text.contains("starts in sub"),
        "{text}"
    );
    assert!(tools.bash("pwd").text.contains("/tree/sub\n"));
    let done =
        tools.call("bash", &json!({"command": "trap '' TERM; sleep 600; sleep 600", "timeout_seconds": 1}));
    assert!(done.text.contains("ended after 1 s"), "{}", done.text);
    let argv = wait_for("the container's end", || {
        let argv = fs::read_to_string(engines.path().join("argv")).unwrap();
        argv.contains("\nkill\ndarkmux-tool-").then_some(argv)
    });
    let name = argv.lines().skip_while(|word| *word != "--name").nth(1).unwrap();
    assert!(name.starts_with("darkmux-tool-"), "{argv}");
    assert!(argv.contains("--network=none") && !argv.contains("the secret token"), "{argv}");
}
