//! Jobs take the repository along: two machines, a real Redis, real git, and what comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use darkmux::model::JobState;
use serde_json::Value;

use crate::runner::{ended, running, until, wait_for_async};
use crate::support::queue::queue;
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe, wait_for};

/// A machine that dispatches and runs nothing.
pub fn laptop(url: &str) -> Home {
    Home::new().with("DARKMUX_MACHINE_ID", "laptop").with("DARKMUX_REDIS_URL", url)
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Dispatches a shell script to the fleet under this id and waits for its end.
pub fn dispatch(repo: &Repo<'_>, id: &str, script: &str) -> Output {
    repo.darkmux("", &["crew", "dispatch", "shell", "--fleet", "--session-id", id, "-m", script])
}

fn worktree(home: &Home, id: &str) -> PathBuf {
    home.darkmux().join("worktrees").join(id)
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o100 != 0
}

/// A repository with every kind of change that is not committed.
fn dirty(home: &Home) -> Repo<'_> {
    let files = [
        ("kept.txt", "kept\n"),
        ("changed.txt", "one\ntwo\nthree\n"),
        ("staged.txt", "before\n"),
        ("gone.txt", "gone\n"),
        ("old name.txt", "a text that is long enough to be known again\n"),
        ("tool.sh", "#!/bin/sh\necho tool\n"),
        ("crlf.txt", "one\r\ntwo\r\n"),
        ("src/deep/file.txt", "deep\n"),
        (".gitignore", "*.log\n"),
    ];
    let repo = Repo::new(home, "site", &files);
    repo.write("changed.txt", b"one\nTWO\nthree\n");
    repo.write("staged.txt", b"after\n");
    repo.git(&["add", "staged.txt"]);
    std::fs::remove_file(repo.path("gone.txt")).unwrap();
    repo.git(&["mv", "old name.txt", "new näme.txt"]);
    std::fs::set_permissions(repo.path("tool.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    repo.write("crlf.txt", b"one\r\nzwei\r\n");
    repo.write("new/untracked.bin", &[0, 1, 2, 255, 0]);
    repo.write("noise.log", b"ignored\n");
    std::os::unix::fs::symlink("kept.txt", repo.path("link")).unwrap();
    repo
}

#[tokio::test]
async fn a_dirty_repository_arrives_as_it_was_and_its_changes_come_back() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = dirty(&here);
    let (before, index) = (repo.git(&["status", "--porcelain"]), repo.git(&["ls-files", "-s"]));
    let script = "git status --porcelain > ../seen-status; git --no-pager log --format=%s > ../seen-log; \
                  git config user.name >> ../seen-log; pwd > ../seen-pwd; \
                  echo four >> changed.txt; rm staged.txt; printf '\\000\\001\\003' > new/untracked.bin; \
                  chmod 644 tool.sh; printf 'one\\r\\ndrei\\r\\n' > crlf.txt; mkdir -p made; echo hi > 'made/it.txt'; \
                  ln -s made/it.txt second; echo noise > other.log";
    let output = dispatch(&repo, "job-1", script);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(stderr(&output).contains("7 files changed · branch darkmux/job-1"), "{}", describe(&output));
    // As it was: the same changes, staged or not, and nothing that is ignored.
    let there = worktree(&studio, "job-1");
    let seen = |name: &str| std::fs::read_to_string(studio.darkmux().join("worktrees").join(name)).unwrap();
    assert_eq!(seen("seen-status").trim_end(), before);
    assert_eq!(seen("seen-log"), "first\nAda\n");
    assert_eq!(seen("seen-pwd").trim_end(), there.to_str().unwrap());
    assert!(!there.join("noise.log").exists() && there.join("link").is_symlink());
    assert_eq!(std::fs::read(there.join("new näme.txt")).unwrap(), repo.read("new näme.txt").into_bytes());
    // Here nothing was touched.
    assert_eq!(repo.git(&["status", "--porcelain"]), before);
    assert_eq!(repo.git(&["ls-files", "-s"]), index);
    // The base is in the job's row, and the branch says what was whose.
    let job = here.json(["job", "show", "job-1", "--json"]);
    let head = repo.git(&["rev-parse", "HEAD"]);
    assert_eq!(job["job"]["spec"]["workspace"]["base"], Value::from(head.as_str()), "{job}");
    assert_eq!(job["job"]["result"]["workspace"]["changed"], 7);
    let log = repo.git(&["log", "--first-parent", "--format=%s", "darkmux/job-1"]);
    assert_eq!(log, "What job-1 left\nWhat was not committed when job-1 began\nfirst");
    assert_eq!(repo.git(&["show", "darkmux/job-1:changed.txt"]), "one\nTWO\nthree\nfour");
    // The patch is what the job did, and no more.
    let patch = repo.ok(&["job", "diff", "job-1"]);
    assert!(patch.contains("+four") && !patch.contains("+TWO") && !patch.contains("other.log"), "{patch}");
    assert!(repo.ok(&["job", "diff", "job-1", "--stat"]).contains("made/it.txt"));
    // It is tried without a change, and then applied upon the changes that were there.
    let dry = repo.ok(&["job", "apply", "job-1", "--dry-run"]);
    assert!(
        dry.contains("M changed.txt  (has changes of yours, which stay)") && dry.contains("A made/it.txt"),
        "{dry}"
    );
    assert!(dry.contains("M new/untracked.bin  (git does not track it"), "{dry}");
    assert_eq!(repo.git(&["status", "--porcelain"]), before);
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!(repo.read("changed.txt"), "one\nTWO\nthree\nfour\n");
    assert_eq!(repo.read("crlf.txt"), "one\r\ndrei\r\n");
    assert_eq!(std::fs::read(repo.path("new/untracked.bin")).unwrap(), [0, 1, 3]);
    assert!(!repo.path("staged.txt").exists() && !is_executable(&repo.path("tool.sh")));
    assert_eq!(std::fs::read_link(repo.path("second")).unwrap(), Path::new("made/it.txt"));
    assert_eq!(repo.git(&["ls-files", "-s"]), index, "nothing is staged");
    let again = repo.darkmux("", &["job", "apply", "job-1"]);
    assert!(again.status.success() && stderr(&again).contains("nothing to do"), "{}", describe(&again));
}

#[tokio::test]
async fn a_conflict_changes_nothing_and_says_where() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let script = "echo two > a.txt; echo two > b.txt; git commit -qam 'mine: two'";
    let json = ["crew", "dispatch", "shell", "--fleet", "--session-id", "job-1", "--json", "-m", script];
    let document: Value = serde_json::from_str(&repo.ok(&json)).unwrap();
    let came = &document["workspace"];
    assert_eq!((&came["branch"], &came["changed"]), (&"darkmux/job-1".into(), &2.into()), "{document}");
    // What it committed itself comes as it committed it.
    assert_eq!(repo.git(&["log", "--format=%an %s", "darkmux/job-1"]), "Ada mine: two\nAda first");
    repo.write("b.txt", b"three\n");
    let output = repo.darkmux("", &["job", "apply", "job-1"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("b.txt:1") && said.contains("git stash -u"), "{said}");
    assert!(said.contains("then `git merge darkmux/job-1`"), "{said}");
    assert_eq!((repo.read("a.txt"), repo.read("b.txt")), ("one\n".to_owned(), "three\n".to_owned()));
    let output = repo.darkmux("", &["job", "apply", "job-1", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["outcome"], "conflicts", "{document}");
    // A branch that its user moved stays.
    repo.git(&["branch", "-f", "darkmux/job-1", "main"]);
    repo.ok(&["job", "diff", "job-1"]);
    assert_eq!(repo.git(&["rev-parse", "darkmux/job-1"]), repo.git(&["rev-parse", "main"]));
}

#[tokio::test]
async fn outside_of_a_repository_and_with_no_repo_nothing_travels() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let output = repo.darkmux("", &["crew", "dispatch", "shell", "--fleet", "--no-repo", "-m", "ls -A"]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b""[..]),
        "{}",
        describe(&output)
    );
    let output = here.run(["crew", "dispatch", "shell", "--fleet", "-m", "ls -A"]);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b""[..]),
        "{}",
        describe(&output)
    );
    assert_eq!(server.cli(&["--raw", "KEYS", "darkmux:bundle:*"]), "");
    assert!(!here.darkmux().join("workspaces").exists());
    // In a folder of the repository, the job begins in that folder.
    repo.write("sub/b.txt", b"b\n");
    let output = repo.darkmux("sub", &["crew", "dispatch", "shell", "--fleet", "-m", "ls; cat ../a.txt"]);
    assert_eq!(output.stdout, b"b.txt\none\n", "{}", describe(&output));
    let none = Repo::new(&here, "none", &[]);
    none.git(&["update-ref", "-d", "HEAD"]);
    let output = none.darkmux("", &["crew", "dispatch", "shell", "--fleet", "-m", "true"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(stderr(&output).contains("no commit yet") && stderr(&output).contains("--no-repo"));
}

#[tokio::test]
async fn a_machine_that_dies_half_way_is_replaced_and_the_result_is_the_second_s() {
    let server = RedisServer::start();
    let here = laptop(&server.url());
    let (studio, tower) = (member("studio", &server.url()), member("tower", &server.url()));
    let mut daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    repo.write("a.txt", b"one\nand more\n");
    let script = "echo \"by $DARKMUX_MACHINE_ID\" >> a.txt; test $DARKMUX_ATTEMPT = 2 || sleep 300";
    let id = repo.ok(&["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-1", "-m", script]);
    assert_eq!(id, "job-1\n");
    let queue = queue(&server.url());
    let id = "job-1".parse().unwrap();
    running(&queue, &id).await;
    let file = worktree(&studio, "job-1").join("a.txt");
    wait_for("the first attempt's work", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("by studio"))
    });
    daemon.process.kill();
    let _other = Daemon::start(&tower);
    let view = ended(&queue, &id).await;
    assert_eq!(
        (view.state, view.machine.as_deref(), view.attempt),
        (JobState::Done, Some("tower"), 2),
        "{view:?}"
    );
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!(repo.read("a.txt"), "one\nand more\nby tower\n");
}

#[tokio::test]
async fn the_machine_that_dispatches_runs_it_without_the_bundle() {
    let server = RedisServer::start();
    let home = member("studio", &server.url());
    let repo = Repo::new(&home, "site", &[("a.txt", "one\n")]);
    repo.write("a.txt", b"two\n");
    repo.ok(&[
        "crew",
        "dispatch",
        "shell",
        "--fleet",
        "-d",
        "--session-id",
        "job-1",
        "-m",
        "cat a.txt; echo three > a.txt",
    ]);
    let key = server.cli(&["--raw", "KEYS", "darkmux:bundle:*"]);
    let ttl: u64 = server.cli(&["TTL", key.trim()]).trim().parse().unwrap();
    assert!(ttl > 7 * 24 * 3600, "{ttl}");
    server.cli(&["DEL", key.trim()]);
    let _daemon = Daemon::start(&home);
    let queue = queue(&server.url());
    let view = ended(&queue, &"job-1".parse().unwrap()).await;
    assert_eq!(view.state, JobState::Done, "{view:?}");
    assert_eq!(repo.ok(&["job", "logs", "job-1"]), "two\n");
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!(repo.read("a.txt"), "three\n");
    // Its folder borrows what it did not change.
    let packs = worktree(&home, "job-1").join(".git/objects/pack");
    assert_eq!(std::fs::read_dir(packs).map_or(0, Iterator::count), 0);
}

#[tokio::test]
async fn a_large_repository_travels_upon_what_a_clone_over_there_has() {
    let server = RedisServer::start();
    let here = laptop(&server.url());
    let code = tempfile::tempdir().unwrap();
    let studio =
        member("studio", &server.url()).with("DARKMUX_RUNNER_WORKDIRS", code.path().to_str().unwrap());
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let noise: Vec<u8> = blake3_noise(9 * 1024 * 1024);
    repo.write("noise.bin", &noise);
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-qm", "noise"]);
    let args = [
        "crew",
        "dispatch",
        "shell",
        "--fleet",
        "--session-id",
        "job-1",
        "-m",
        "git --no-pager log --format=%s; cat a.txt; echo three >> a.txt",
    ];
    let output = repo.darkmux("", &args);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(stderr(&output).contains("too large to travel"), "{}", describe(&output));
    // A remote has it, and so has a clone on the other machine.
    let bare = here.path().join("bare.git");
    repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    repo.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
    repo.git(&["fetch", "-q", "origin"]);
    repo.write("a.txt", b"two\n");
    let _daemon = Daemon::start(&studio);
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-0", "-m", "true"]);
    let queue = queue(&server.url());
    let given_back =
        until(&queue, &"job-0".parse().unwrap(), "what it lacks", |view| !view.declined.is_empty()).await;
    assert!(given_back.declined["studio"].contains("builds upon commit"), "{given_back:?}");
    repo.git(&["clone", "-q", bare.to_str().unwrap(), code.path().join("clone").to_str().unwrap()]);
    let output = repo.darkmux("", &args);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert_eq!(output.stdout, b"noise\nfirst\ntwo\n");
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!(repo.read("a.txt"), "two\nthree\n");
}

/// Bytes that no compression makes smaller.
pub fn blake3_noise(length: usize) -> Vec<u8> {
    (0..length as u64 / 32).flat_map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes()).collect()
}

#[tokio::test]
async fn a_long_history_is_cut_and_still_comes_back() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    repo.write("noise.bin", &blake3_noise(9 * 1024 * 1024));
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-qm", "noise"]);
    repo.git(&["rm", "-q", "noise.bin"]);
    repo.git(&["commit", "-qm", "less noise"]);
    repo.write("b.txt", b"b\n");
    let output = dispatch(
        &repo,
        "job-1",
        "git --no-pager log --format=%s; echo two > a.txt; git commit -qam two; cat b.txt",
    );
    assert_eq!(output.stdout, b"less noise\nb\n", "{}", describe(&output));
    let log = repo.git(&["log", "--format=%s", "darkmux/job-1"]);
    assert_eq!(log, "What job-1 left\ntwo\nless noise\nnoise\nfirst");
}

#[tokio::test]
async fn a_session_of_this_machine_gets_a_worktree_of_its_own() {
    let home = Home::new();
    let repo = Repo::new(&home, "site", &[("a.txt", "one\n"), ("sub/b.txt", "b\n")]);
    repo.write("a.txt", b"two\n");
    let args = [
        "crew",
        "dispatch",
        "shell",
        "--worktree",
        "--session-id",
        "s-1",
        "-m",
        "pwd; cat ../a.txt; echo three > ../a.txt",
    ];
    let output = repo.darkmux("sub", &args);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.ends_with("/worktrees/s-1/sub\ntwo\n"), "{text}");
    assert!(stderr(&output).contains("1 file changed · branch darkmux/s-1"), "{}", describe(&output));
    assert_eq!(repo.read("a.txt"), "two\n");
    repo.ok(&["job", "apply", "s-1"]);
    assert_eq!(repo.read("a.txt"), "three\n");
    // One that still runs shows what it has by now; it has no branch yet.
    let args = [
        "crew",
        "dispatch",
        "shell",
        "--worktree",
        "-d",
        "--session-id",
        "s-2",
        "-m",
        "echo four > a.txt; sleep 300",
    ];
    repo.ok(&args);
    wait_for_async(async || repo.ok(&["job", "diff", "s-2"]).contains("+four").then_some(())).await;
    assert_eq!(repo.git(&["branch", "--list", "darkmux/s-2"]), "");
    // A command runs where it is called; no worktree without a repository.
    assert_eq!(repo.ok(&["crew", "dispatch", "shell", "-m", "pwd"]).trim(), repo.root().to_str().unwrap());
    let output = home.run(["crew", "dispatch", "shell", "--worktree", "-m", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    // One that does not start leaves none.
    let output =
        repo.darkmux("", &["crew", "dispatch", "shell", "--worktree", "--session-id", "s-1", "-m", "true"]);
    assert_ne!(output.status.code(), Some(0), "{}", describe(&output));
}

#[test]
fn what_is_old_goes_with_the_snapshot_and_the_branch_stays() {
    let home = Home::new().with("DARKMUX_RUNNER_WORKTREES_AGE", "1ms");
    let repo = Repo::new(&home, "site", &[("a.txt", "one\n")]);
    repo.ok(&["crew", "dispatch", "shell", "--worktree", "--session-id", "s-1", "-m", "echo two > a.txt"]);
    let record = home.darkmux().join("workspaces/s-1.json");
    assert!(record.exists() && repo.git(&["for-each-ref", "refs/darkmux-jobs"]).contains("s-1"));
    let _daemon = Daemon::start(&home);
    wait_for("the sweep", || (!worktree(&home, "s-1").exists() && !record.exists()).then_some(()));
    assert_eq!(repo.git(&["for-each-ref", "refs/darkmux-jobs"]), "");
    assert_eq!(repo.git(&["show", "darkmux/s-1:a.txt"]), "two");
}
