//! What of a repository does not travel with a job: submodules, and the content of Git LFS files. It is said, and what
//! the job changes besides comes back without touching them, nor a branch that somebody works on.

use crate::runner::ended;
use crate::support::queue::queue;
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, RedisServer, describe};
use crate::travel::{dispatch, laptop, stderr};

/// What Git LFS keeps in the place of a file.
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00ff\nsize 12\n";

#[tokio::test]
async fn a_submodule_stays_empty_there_and_as_it_was_here() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let library = Repo::new(&here, "library", &[("lib.txt", "library\n")]);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    let from = library.root().to_str().unwrap();
    repo.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", from, "vendor/lib"]);
    repo.git(&["commit", "-q", "-m", "with a submodule"]);
    // Also changes within it stay here.
    repo.write("vendor/lib/lib.txt", b"changed\n");
    let pinned = repo.git(&["rev-parse", "HEAD:vendor/lib"]);
    let script = "test -d vendor/lib || exit 3; test -z \"$(ls -A vendor/lib)\" || exit 4; git status --porcelain > ../seen; \
                  echo theirs > vendor/lib/made.txt; echo two > a.txt";
    let output = dispatch(&repo, "job-1", script);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("1 submodules or repositories inside of it stay empty there"), "{said}");
    let seen = std::fs::read_to_string(studio.darkmux().join("worktrees/seen")).unwrap();
    assert_eq!(seen, "", "the job begins with nothing changed");
    assert_eq!(repo.git(&["rev-parse", "darkmux/job-1:vendor/lib"]), pinned);
    assert_eq!(repo.git(&["diff", "--name-only", "HEAD", "darkmux/job-1"]), "a.txt");
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!((repo.read("a.txt"), repo.read("vendor/lib/lib.txt")), ("two\n".into(), "changed\n".into()));
    ended(&queue(&server.url()), &"job-1".parse().unwrap()).await;
}

#[tokio::test]
async fn files_of_git_lfs_travel_as_pointers_and_come_back_as_they_were() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let files = [
        ("art/.gitattributes", "*.psd filter=lfs diff=lfs merge=lfs -text\n"),
        ("art/logo.psd", POINTER),
        ("a.txt", "one\n"),
    ];
    let repo = Repo::new(&here, "site", &files);
    // As the real one: the work tree has the content, the commits have the pointer.
    repo.git(&["config", "filter.lfs.clean", &format!("printf '{}'", POINTER.replace('\n', "\\n"))]);
    repo.git(&["config", "filter.lfs.smudge", "echo the content"]);
    repo.git(&["config", "filter.lfs.required", "true"]);
    std::fs::remove_file(repo.path("art/logo.psd")).unwrap();
    repo.git(&["checkout", "art/logo.psd"]);
    assert_eq!(repo.read("art/logo.psd"), "the content\n");
    let output = dispatch(&repo, "job-1", "cp art/logo.psd ../seen; echo two > a.txt");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(stderr(&output).contains("travel as pointers, without their content"), "{}", describe(&output));
    assert_eq!(std::fs::read_to_string(studio.darkmux().join("worktrees/seen")).unwrap(), POINTER);
    assert_eq!(repo.git(&["diff", "--name-only", "HEAD", "darkmux/job-1"]), "a.txt");
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!((repo.read("a.txt"), repo.read("art/logo.psd")), ("two\n".into(), "the content\n".into()));
}

#[tokio::test]
async fn a_branch_that_is_checked_out_elsewhere_is_not_moved() {
    let server = RedisServer::start();
    let (here, studio) = (laptop(&server.url()), member("studio", &server.url()));
    let _daemon = Daemon::start(&studio);
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    // Of that name, and without a commit so far: nothing but its being checked out keeps it.
    repo.git(&["worktree", "add", "-q", "--detach", "../other"]);
    let other = Repo::at(&here, "other");
    other.git(&["checkout", "-q", "--orphan", "darkmux/job-1"]);
    let output = dispatch(&repo, "job-1", "echo two > a.txt");
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("the branch darkmux/job-1 is in use or was moved, and stays as it is"), "{said}");
    assert_eq!(repo.git(&["branch", "--list", "darkmux/job-1"]), "", "it has no commit still");
    assert_eq!(other.git(&["status", "--porcelain"]), "A  a.txt");
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!(repo.read("a.txt"), "two\n");
}
