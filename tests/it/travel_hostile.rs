//! What jobs, bundles and results could do to a repository, and do not.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use darkmux::model::JobState;
use darkmux::wire::{Bundle, Workspace};
use darkmux::work::{JobView, Queue};
use serde_json::Value;

use crate::runner::ended;
use crate::support::queue::{job, queue};
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, RedisServer, describe};
use crate::travel::{dispatch, laptop, stderr};

#[tokio::test]
async fn what_a_job_writes_into_its_repository_s_settings_is_never_run() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let trap = studio.path().join("sprung");
    let spring = format!("touch {}; cat", trap.display());
    let script = format!(
        "git config core.fsmonitor '{spring}'; git config filter.evil.clean '{spring}'; \
         git config diff.external '{spring}'; git config core.hooksPath .git/hooks; mkdir -p .git/hooks; \
         for hook in post-index-change pre-commit reference-transaction; do \
         printf '#!/bin/sh\\n{spring}\\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook; done; \
         printf '* filter=evil diff=evil\\n' > .gitattributes; echo two > a.txt; \
         mkdir inner; git -c core.fsmonitor= -c core.hooksPath=/dev/null init -q inner; rm -f {}",
        trap.display()
    );
    let output = dispatch(&repo, "job-1", &script);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(!trap.exists(), "what the job wrote was run");
    assert_eq!(repo.git(&["show", "darkmux/job-1:a.txt"]), "two");
    // A repository that leads elsewhere: what it committed is left out, its files come.
    let secret = Repo::new(&studio, "secret", &[("secret.txt", "secret\n")]);
    let script = format!("rm -rf .git; ln -s {}/.git .git; echo three > a.txt", secret.root().display());
    let output = dispatch(&repo, "job-2", &script);
    assert!(stderr(&output).contains("left out"), "{}", describe(&output));
    assert_eq!(repo.git(&["show", "darkmux/job-2:a.txt"]), "three");
    assert!(!repo.git(&["log", "-p", "darkmux/job-2"]).contains("secret"));
}

#[tokio::test]
async fn what_a_job_borrows_from_another_repository_does_not_come_back() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let private = Repo::new(&studio, "private", &[("secret.txt", "secret\n")]);
    let secret = private.git(&["rev-parse", "HEAD"]);
    // It need not be able to read it: that is git's work, later.
    let script = format!(
        "echo '{}' >> .git/objects/info/alternates; echo {secret} > .git/HEAD; echo two > a.txt",
        private.path(".git/objects").display()
    );
    let output = dispatch(&repo, "job-1", &script);
    assert!(stderr(&output).contains("borrows from elsewhere"), "{}", describe(&output));
    assert_eq!(repo.git(&["show", "darkmux/job-1:a.txt"]), "two");
    let came = repo.git(&["rev-list", "--objects", "darkmux/job-1"]);
    assert!(!came.contains(&secret) && !came.contains("secret.txt"), "{came}");
}

/// Every setting of git's that names a program, by what it would do, each with a file that says that it was run. `$1` is the
/// marker.
const TRAPS: &[(&str, &str)] = &[
    ("fsmonitor", "git config core.fsmonitor \"touch $1;\""),
    (
        "hooks",
        "git config core.hooksPath \"$PWD/hooked\"; mkdir -p hooked; for hook in pre-commit post-index-change \
      reference-transaction post-checkout pre-auto-gc; do printf '#!/bin/sh\\ntouch %s' $1 > hooked/$hook; \
      chmod +x hooked/$hook; done",
    ),
    (
        "clean",
        "git config filter.evil.clean \"touch $1; cat\"; git config filter.evil.smudge \"touch $1; cat\"",
    ),
    ("process", "git config filter.worse.process \"touch $1\"; git config filter.worse.required true"),
    ("diff", "git config diff.external \"touch $1;\"; git config diff.evil.command \"touch $1;\""),
    ("textconv", "git config diff.evil.textconv \"touch $1; cat\""),
    ("merge", "git config merge.evil.driver \"touch $1\""),
    (
        "gpg",
        "git config commit.gpgSign true; git config gpg.program \"$PWD/gpg\"; printf '#!/bin/sh\\ntouch %s' $1 > gpg; \
      chmod +x gpg",
    ),
    ("credential", "git config credential.helper \"!touch $1;\""),
    ("ssh", "git config core.sshCommand \"touch $1;\""),
    ("proxy", "git config core.gitProxy \"touch $1\""),
    ("pager", "git config core.pager \"touch $1; cat\"; git config pager.rev-parse \"touch $1; cat\""),
    ("editor", "git config core.editor \"touch $1;\"; git config sequence.editor \"touch $1;\""),
    ("askpass", "git config core.askPass \"touch $1;\""),
    ("alias", "git config alias.cat-file \"!touch $1\"; git config alias.rev-parse \"!touch $1\""),
    ("alternates", "git config core.alternateRefsCommand \"touch $1;\""),
    ("uploadpack", "git config remote.evil.uploadpack \"touch $1;\""),
    (
        "include",
        "printf '[core]\\n\\tfsmonitor = touch %s;\\n' $1 > included; git config include.path \"$PWD/included\"",
    ),
    (
        "worktree",
        "git config extensions.worktreeConfig true; git config --worktree core.fsmonitor \"touch $1;\"",
    ),
    // The last: it makes the repository one that lacks what is checked out, and says who has it.
    (
        "promisor",
        "git config core.repositoryFormatVersion 1; git config extensions.partialClone evil; \
      git config remote.evil.promisor true; git config remote.evil.url \"ext::sh -c touch% $1\"; \
      git config protocol.allow always; git config protocol.ext.allow always; \
      echo 1234567890123456789012345678901234567890 > .git/HEAD",
    ),
];

#[tokio::test]
async fn no_setting_of_a_job_s_repository_starts_a_program() {
    let server = RedisServer::start();
    let here = laptop(&server.url());
    let studio = member("studio", &server.url());
    // A git before 2.45, which does not know that it is to fetch nothing by itself.
    let bin = studio.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let old = format!("#!/bin/sh\nexec env -u GIT_NO_LAZY_FETCH PATH='{path}' git \"$@\"\n");
    std::fs::write(bin.join("git"), old).unwrap();
    std::fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let studio = studio.with("PATH", format!("{}:{path}", bin.display()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let sprung = studio.path().join("sprung");
    std::fs::create_dir_all(&sprung).unwrap();
    let mut lines = vec![
        "echo two > a.txt; echo w > a.w".to_owned(),
        "printf '* filter=evil diff=evil merge=evil\\n*.w filter=worse\\n' > .gitattributes".to_owned(),
    ];
    lines.extend(TRAPS.iter().map(|(name, trap)| format!("set -- '{}/{name}'; {trap}", sprung.display())));
    lines.push(format!("rm -f '{}'/*", sprung.display()));
    let script = lines.join("\n");
    let output = dispatch(&repo, "job-1", &script);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let run: Vec<_> = std::fs::read_dir(&sprung).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(run.is_empty(), "what the job set was run: {run:?}");
    assert!(stderr(&output).contains("no commit checked out"), "{}", describe(&output));
    assert_eq!(repo.git(&["show", "darkmux/job-1:a.txt"]), "two");
    assert_eq!(repo.git(&["show", "darkmux/job-1:a.w"]), "w");
}

#[tokio::test]
async fn a_link_out_of_the_repository_is_not_applied() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let output = dispatch(&repo, "job-1", "ln -s ../../outside way-out; echo two > a.txt");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let output = repo.darkmux("", &["job", "apply", "job-1"]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(stderr(&output).contains("way-out: it is a link out of the repository"), "{}", describe(&output));
    assert_eq!(repo.read("a.txt"), "one\n");
}

#[tokio::test]
async fn a_result_without_the_fleet_s_signature_is_not_taken_in() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    for home in [&here, &studio] {
        std::fs::create_dir_all(home.darkmux()).unwrap();
        let key = home.darkmux().join("fleet-key");
        std::fs::write(&key, "0b".repeat(32)).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let output = dispatch(&repo, "job-1", "echo two > a.txt");
    assert!(stderr(&output).contains("branch darkmux/job-1"), "{}", describe(&output));
    repo.ok(&[
        "crew",
        "dispatch",
        "shell",
        "--fleet",
        "-d",
        "--session-id",
        "job-2",
        "-m",
        "echo two > a.txt",
    ]);
    let queue = queue(&server.url());
    let view = ended(&queue, &"job-2".parse().unwrap()).await;
    let mut result = serde_json::to_value(view.result.unwrap()).unwrap();
    result["workspace"]["commit"] = Value::from(repo.git(&["rev-parse", "darkmux/job-1"]));
    server.cli(&["HSET", "darkmux:job:job-2", "result", &result.to_string()]);
    let output = repo.darkmux("", &["job", "diff", "job-2"]);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(stderr(&output).contains("not signed"), "{}", describe(&output));
}

#[tokio::test]
async fn a_bundle_that_is_gone_or_another_ends_its_job_with_the_reason() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    for id in ["job-1", "job-2"] {
        repo.ok(&["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", id, "-m", "true"]);
    }
    let key = |id: &str| server.cli(&["--raw", "KEYS", &format!("darkmux:bundle:{id}:*")]).trim().to_owned();
    server.cli(&["DEL", &key("job-1")]);
    server.cli(&["SETRANGE", &key("job-2"), "20", "xxxx"]);
    let _daemon = Daemon::start(&studio);
    let queue = queue(&server.url());
    for id in ["job-1", "job-2"] {
        let view = ended(&queue, &id.parse().unwrap()).await;
        assert_eq!(view.state, JobState::Dead, "{view:?}");
        assert!(view.why.as_deref().is_some_and(|why| why.contains("bundle")), "{view:?}");
    }
}

/// A commit upon `HEAD` of a tree that git itself would not write, and the pack that brings it.
fn hostile(repo: &Repo<'_>, entries: &[(&str, &str, &str)]) -> (String, Vec<u8>) {
    let mut tree = Vec::new();
    for (mode, name, object) in entries {
        tree.extend(format!("{mode} {name}\0").as_bytes());
        tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&object[at..at + 2], 16).unwrap()));
    }
    let tree = repo.feed(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &tree);
    let tree = String::from_utf8(tree).unwrap();
    let commit = repo.git(&["commit-tree", tree.trim(), "-p", "HEAD", "-m", "hostile"]);
    let pack = repo.feed(&["pack-objects", "--revs", "--stdout", "-q"], format!("{commit}\n").as_bytes());
    (commit, pack)
}

/// A commit with a file that nobody else has, and a pack of it that lacks what it stands upon.
fn without_history(repo: &Repo<'_>) -> (String, Vec<u8>) {
    let file = String::from_utf8(repo.feed(&["hash-object", "-w", "--stdin"], b"new\n")).unwrap();
    let (commit, _) = hostile(repo, &[("100644", "b.txt", file.trim())]);
    let pack =
        repo.feed(&["pack-objects", "--revs", "--stdout", "-q"], format!("{commit}\n^HEAD\n").as_bytes());
    (commit, pack)
}

/// Trees that lead out of a repository, or into what is git's own.
pub fn hostile_trees(repo: &Repo<'_>, outside: &Path) -> Vec<(String, Vec<u8>)> {
    let blob = |text: &[u8]| {
        String::from_utf8(repo.feed(&["hash-object", "-w", "--stdin"], text)).unwrap().trim().to_owned()
    };
    let file = blob(b"#!/bin/sh\ntouch /sprung\n");
    let folder = repo.feed(&["mktree"], format!("100755 blob {file}\tpost-checkout\n").as_bytes());
    let folder = String::from_utf8(folder).unwrap().trim().to_owned();
    let link = blob(outside.to_str().unwrap().as_bytes());
    let trees: [&[(&str, &str, &str)]; 7] = [
        &[("100644", "..", &file)],
        &[("40000", "..", &folder)],
        &[("40000", ".git", &folder)],
        &[("40000", ".GIT", &folder)],
        &[("100644", "../escaped", &file)],
        &[("100644", "/escaped", &file)],
        // A file below a link: where it leads, a file would be written.
        &[("120000", "link", &link), ("40000", "link", &folder)],
    ];
    trees.iter().map(|entries| hostile(repo, entries)).collect()
}

async fn bundle(queue: &Queue, id: &str, pack: &[u8]) -> Bundle {
    let none = (Vec::new(), Vec::new());
    queue.put_bundle(&id.parse().unwrap(), pack, none, Duration::from_mins(5)).await.unwrap()
}

#[tokio::test]
async fn a_hostile_bundle_writes_nothing_outside_of_its_folder() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let outside = tempfile::tempdir().unwrap();
    let queue = queue(&server.url());
    let head = repo.git(&["rev-parse", "HEAD"]);
    for (number, (commit, pack)) in hostile_trees(&repo, outside.path()).into_iter().enumerate() {
        let id = format!("job-{number}");
        let (work, mut spec) = job(&id, "true");
        spec.workspace = Some(Workspace {
            repo: "site".to_owned(),
            base: head.clone(),
            state: commit,
            folder: String::new(),
            author: None,
            bundle: bundle(&queue, &id, &pack).await,
        });
        queue.publish(&work, &spec).await.unwrap();
        let view = crate::runner::until(&queue, &spec.id, "its refusal", |view| {
            view.state.is_final() || !view.declined.is_empty()
        })
        .await;
        // For good, and before a file is written: no machine may try it.
        assert_eq!(view.state, JobState::Dead, "{number}: {view:?}");
        assert!(view.why.as_deref().is_some_and(|why| why.contains("is no name")), "{number}: {view:?}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    let worktrees = studio.darkmux().join("worktrees");
    assert!(!worktrees.join("escaped").exists() && !worktrees.join("post-checkout").exists());
    // A pack that is none, one with holes, commits that are not in it or not each other's, and a folder that leads out.
    let (good, pack) = hostile(&repo, &[("100644", "b.txt", &repo.git(&["hash-object", "a.txt"]))]);
    let far = Repo::new(&here, "far", &[("a.txt", "one\n")]);
    let (base, _) = without_history(&far);
    far.git(&["branch", "base", &base]);
    let state = far.git(&["commit-tree", "base^{tree}", "-p", "base", "-m", "state"]);
    let holes =
        far.feed(&["pack-objects", "--revs", "--stdout", "-q"], format!("{state}\n^HEAD\n").as_bytes());
    let other = repo.git(&["commit-tree", &format!("{good}^{{tree}}"), "-p", "HEAD", "-m", "other"]);
    let both =
        repo.feed(&["pack-objects", "--revs", "--stdout", "-q"], format!("{good}\n{other}\n").as_bytes());
    let (good, none) = (good.as_str(), "a".repeat(40));
    for (id, (base, state), folder, bytes) in [
        ("bad-1", (head.as_str(), head.as_str()), "", &b"PACK no pack at all"[..]),
        ("bad-2", (&none, &none), "", pack.as_slice()),
        ("bad-3", (&head, &head), "../../..", pack.as_slice()),
        ("bad-4", (&base, &state), "", holes.as_slice()),
        ("bad-5", (&other, good), "", both.as_slice()),
    ] {
        let (work, mut spec) = job(id, "true");
        let bundle = bundle(&queue, id, bytes).await;
        let repo = if id == "bad-4" { "far" } else { "site" }.to_owned();
        let state = state.to_owned();
        let (base, folder) = (base.to_owned(), folder.to_owned());
        spec.workspace = Some(Workspace { repo, base, state, folder, author: None, bundle });
        queue.publish(&work, &spec).await.unwrap();
        let view = crate::runner::until(&queue, &spec.id, "its refusal", |view| {
            view.state.is_final() || !view.declined.is_empty()
        })
        .await;
        assert_ne!(view.state, JobState::Done, "{id}: {view:?}");
    }
}

#[tokio::test]
async fn a_hostile_result_gets_no_branch_and_touches_no_file() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let forge = Repo::new(&studio, "forge", &[("x", "x\n")]);
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-1", "-m", "true"]);
    let queue = queue(&server.url());
    let id = "job-1".parse().unwrap();
    let view = ended(&queue, &id).await;
    drop(daemon);
    let outside = tempfile::tempdir().unwrap();
    // The first brings nothing that the others stand upon.
    let mut results = vec![without_history(&forge)];
    results.extend(hostile_trees(&forge, outside.path()));
    for (commit, pack) in results {
        let output = applied(&repo, (&server, &queue), &view, (commit, pack)).await;
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        assert_eq!(repo.git(&["status", "--porcelain"]), "", "{}", describe(&output));
        assert_eq!(repo.git(&["branch", "--list", "darkmux/*"]), "", "{}", describe(&output));
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!repo.path(".git/post-checkout").exists());
}

/// `job apply`, after somebody forged that the job came to this commit and these objects.
async fn applied(
    repo: &Repo<'_>,
    (server, queue): (&RedisServer, &Queue),
    view: &JobView,
    (commit, pack): (String, Vec<u8>),
) -> Output {
    let mut result = serde_json::to_value(view.result.as_ref().unwrap()).unwrap();
    result["workspace"]["commit"] = Value::from(commit);
    result["workspace"]["bundle"] = serde_json::to_value(bundle(queue, "job-1", &pack).await).unwrap();
    server.cli(&["HSET", "darkmux:job:job-1", "result", &result.to_string()]);
    repo.darkmux("", &["job", "apply", "job-1"])
}

#[tokio::test]
async fn another_commit_of_a_submodule_is_not_brought_into_the_files() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-1", "-m", "true"]);
    let queue = queue(&server.url());
    let view = ended(&queue, &"job-1".parse().unwrap()).await;
    drop(daemon);
    // A job cannot make this; whoever forges its result can.
    let (file, elsewhere) = (repo.git(&["hash-object", "a.txt"]), "a".repeat(40));
    let (commit, pack) = hostile(&repo, &[("100644", "a.txt", &file), ("160000", "lib", &elsewhere)]);
    let output = applied(&repo, (&server, &queue), &view, (commit, pack)).await;
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("lib: it is another commit of a submodule"), "{said}");
    assert!(!repo.path("lib").exists() && repo.git(&["status", "--porcelain"]).is_empty());
}
