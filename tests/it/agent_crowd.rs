//! Eight agents at once on one machine: what each of them takes, and that the daemon answers meanwhile.

use std::fs;
use std::process::Output;

use serde_json::json;

use crate::runner::processes_of;
use crate::support::api::Api;
use crate::support::model_server::{ModelServer, Reply};
use crate::support::{Home, describe, wait_for};

/// As many as work at once, and the turns of each.
const AGENTS: usize = 8;
const TURNS: usize = 4;

/// Most that one may take for itself, in KiB.
const PRIVATE_MAX: u64 = 25 * 1024;

/// What a process has of its own, in KiB, where it is an agent.
fn private_of_agent(pid: i64) -> Option<u64> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if !String::from_utf8_lossy(&line).contains("\0run-agent") {
        return None;
    }
    let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let private = memory.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

/// What an agent does in its turns: it looks at much, prints much, and writes much.
fn turns() -> Vec<Reply> {
    let look = [("search", json!({ "pattern": "needle|line 99" })), ("read", json!({ "path": "large.txt" }))];
    let text = "a line of text that is written\n".repeat(100);
    let replies = [
        Reply::calls(&look),
        Reply::call("bash", json!({ "command": "seq 1 300000; cat large.txt" })),
        Reply::call("write", json!({ "path": "made.txt", "content": text })),
    ];
    replies.to_vec()
}

#[test]
#[cfg(target_os = "linux")]
fn eight_agents_at_once_are_small_and_the_daemon_answers() {
    // Whoever asks next gets the next answer, so that all get the same: one kind after the other.
    let models = json!([{ "id": "scripted", "max_model_len": 200_000 }]);
    let model = ModelServer::start([]).serves(&models);
    for reply in turns() {
        (0..AGENTS).for_each(|_| model.then(reply.clone()));
    }
    (0..AGENTS).for_each(|_| model.then(Reply::begun([json!({ "content": "thinking" })]).hangs()));
    let home = Home::new()
        .with("DARKMUX_LMSTUDIO_URL", model.url())
        .with("DARKMUX_CREW_AGENTS", "agent")
        .with("NO_COLOR", "1");
    let work = home.path().join("work");
    fs::create_dir(&work).unwrap();
    for number in 0..2000 {
        fs::write(work.join(format!("file-{number}.txt")), format!("needle {number}\n").repeat(20)).unwrap();
    }
    let lines = "line 1 of a file that is large\n".repeat(40_000);
    fs::write(work.join("large.txt"), lines).unwrap();
    let api = Api::of(home);
    let started: Vec<Output> = std::thread::scope(|scope| {
        let start = || {
            let args =
                ["crew", "dispatch", "coder", "-d", "-m", "go on", "--workdir", work.to_str().unwrap()];
            api.home.run(args)
        };
        let all: Vec<_> = (0..AGENTS).map(|_| scope.spawn(start)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for output in &started {
        assert!(output.status.success(), "{}", describe(output));
    }
    let mut answers = 0;
    wait_for("every agent to be in its last turn", || {
        assert_eq!(api.get("/v1/health").status, 200);
        answers += 1;
        (model.count() == AGENTS * TURNS).then_some(())
    });
    assert!(answers > 0);
    let private: Vec<u64> = processes_of(&api.home).into_iter().filter_map(private_of_agent).collect();
    assert_eq!(private.len(), AGENTS, "{private:?}");
    assert!(private.iter().all(|kib| *kib < PRIVATE_MAX), "{private:?} KiB");
    wait_for("the daemon to show them all", || (api.sessions().len() == AGENTS).then_some(()));
}
