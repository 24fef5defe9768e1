//! A dispatch from a repository whose answer was lost is repeated under its id, as its message says; or it is refused.

use std::path::PathBuf;

use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe, wait_for};
use crate::travel::{dispatch, laptop, stderr};

/// What the machine that dispatched it keeps of a job.
fn record(home: &Home) -> PathBuf {
    home.darkmux().join("workspaces/job-1.json")
}

/// Keys of bundles in Redis.
fn bundles(server: &RedisServer) -> usize {
    server.cli(&["KEYS", "darkmux:bundle:*"]).lines().filter(|line| !line.trim().is_empty()).count()
}

#[test]
fn a_dispatch_that_is_repeated_brings_back_what_the_first_one_began_with() {
    let server = RedisServer::start();
    let here = laptop(&server.url());
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n"), ("b.txt", "b\n")]);
    repo.write("b.txt", b"as it was sent\n");
    let script = "cat b.txt > c.txt";
    let args = ["crew", "dispatch", "shell", "--fleet", "-d", "--session-id", "job-1", "-m", script];
    // Its answer was lost, so nothing was kept here; or it came, and something was.
    for answered in [false, true] {
        repo.write("b.txt", b"as it was sent\n");
        repo.ok(&args);
        let first = std::fs::read(record(&here)).unwrap();
        if !answered {
            std::fs::remove_file(record(&here)).unwrap();
        }
        repo.write("b.txt", b"changed since\n");
        let state =
            |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["state"].clone();
        let again = repo.darkmux("", &args);
        assert_eq!(again.status.code(), Some(0), "{}", describe(&again));
        assert!(stderr(&again).contains("is there already"), "{}", describe(&again));
        assert_eq!(state(&std::fs::read(record(&here)).unwrap()), state(&first));
        assert_eq!(bundles(&server), 1, "what was sent for nothing does not stay");
        let studio = member("studio", &server.url());
        let daemon = Daemon::start(&studio);
        let waited = repo.darkmux("", &["job", "wait", "job-1"]);
        assert_eq!(waited.status.code(), Some(0), "{}", describe(&waited));
        assert!(repo.ok(&["job", "diff", "job-1"]).contains("+as it was sent"));
        drop(daemon);
        server.cli(&["FLUSHALL"]);
        std::fs::remove_file(record(&here)).unwrap();
        let _ = std::fs::remove_dir_all(here.darkmux().join("queue"));
        repo.git(&["branch", "-q", "-D", "darkmux/job-1"]);
    }
}

#[test]
fn what_was_sent_for_a_refused_dispatch_does_not_stay() {
    let server = RedisServer::start();
    let here = laptop(&server.url()).with("DARKMUX_QUEUE_MAX", "1");
    let repo = Repo::new(&here, "site", &[("a.txt", "one\n")]);
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "--no-repo", "-d", "-m", "true"]);
    let refused = dispatch(&repo, "job-1", "true");
    assert_ne!(refused.status.code(), Some(0));
    assert!(stderr(&refused).contains("not accepted"), "{}", describe(&refused));
    wait_for("the bundle's end", || (bundles(&server) == 0).then_some(()));
    assert!(!record(&here).exists());
}
