//! What jobs change that is too large for Redis: it waits on the machine that ran the job, and comes from its daemon, where that
//! is a peer, or from its folder.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use darkmux::wire::Bundle;

use crate::runner::ended;
use crate::support::api::Api;
use crate::support::hub::{PeerLine, set_peers};
use crate::support::queue::queue;
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe};
use crate::travel::{dispatch, laptop, stderr};
use crate::travel_large::{break_off, unfinished};

/// Makes more than goes through Redis, of which it commits one half itself.
const SCRIPT: &str = "head -c 5000000 /dev/urandom > one.bin; git add one.bin; git commit -qm 'by the job'; \
                      head -c 5000000 /dev/urandom > two.bin; echo two > a.txt; rm gone.txt";

const FILES: &[(&str, &str)] = &[("a.txt", "one\n"), ("gone.txt", "gone\n")];

/// Whether the repository has what the job left on its machine.
fn has_it_all(repo: &Repo<'_>, machine: &Home, id: &str) {
    let left = machine.darkmux().join("worktrees").join(id);
    for name in ["one.bin", "two.bin"] {
        let bytes = std::fs::read(left.join(name)).unwrap();
        assert!(bytes.len() == 5_000_000 && bytes == std::fs::read(repo.path(name)).unwrap(), "{name}");
    }
    assert_eq!(repo.read("a.txt"), "two\n");
    assert!(!repo.path("gone.txt").exists());
    assert!(repo.git(&["log", "--format=%s", &format!("darkmux/{id}")]).contains("by the job"));
    assert_eq!(unfinished(&repo.path(".git/objects")), Vec::<String>::new());
}

#[tokio::test]
async fn a_result_that_is_too_large_for_redis_comes_from_its_machine_also_when_the_way_broke() {
    let server = RedisServer::start();
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = way.local_addr().unwrap().to_string();
    let studio = Api::of(member("studio", &server.url()).with("DARKMUX_SERVE_HOSTS", &address));
    let breaks = Arc::new(AtomicUsize::new(1));
    break_off(way, studio.daemon.port, Arc::clone(&breaks));
    let home = laptop(&server.url()).with("DARKMUX_RUNNER", "false");
    set_peers(&home, &[PeerLine { url: format!("http://{address}"), ..PeerLine::of("studio", &studio) }]);
    let laptop = Api::of(home);
    laptop.peer_is("studio", "connected");
    let repo = Repo::new(&laptop.home, "site", FILES);
    let output = dispatch(&repo, "job-1", SCRIPT);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("comes from studio itself") && said.contains("did not come back"), "{said}");
    assert_eq!(breaks.load(Ordering::SeqCst), 0, "the way broke");
    assert_eq!(unfinished(&repo.path(".git/objects")), Vec::<String>::new());
    repo.ok(&["job", "apply", "job-1"]);
    has_it_all(&repo, &studio.home, "job-1");
    let view = ended(&queue(&server.url()), &"job-1".parse().unwrap()).await;
    let result = view.result.unwrap().workspace.unwrap();
    assert_eq!(result.bundle, Some(Bundle::at("studio".parse().unwrap(), Vec::new())));
    assert_eq!((result.changed, result.error), (4, None));
    assert!(laptop.home.ok(["job", "show", "job-1"]).contains("4 files; large: it waits on studio"));
    // It has come: the other machine is not asked again.
    drop(studio);
    assert!(repo.ok(&["job", "diff", "job-1", "--stat"]).contains("two.bin"));
}

#[tokio::test]
async fn who_has_no_way_to_a_large_result_is_told_where_it_waits() {
    let server = RedisServer::start();
    let studio = Api::of(member("studio", &server.url()));
    let home = laptop(&server.url()).with("DARKMUX_RUNNER", "false");
    let repo = Repo::new(&home, "site", FILES);
    let output = dispatch(&repo, "job-1", SCRIPT);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = stderr(&output);
    for words in ["waits on studio", "no daemon runs", "darkmux job apply job-1"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let daemon = Daemon::start(&home);
    let refused = repo.darkmux("", &["job", "apply", "job-1"]);
    assert_eq!(refused.status.code(), Some(3), "{}", describe(&refused));
    assert!(stderr(&refused).contains("darkmux fleet join"), "{}", describe(&refused));
    let path = "/v1/jobs/job-1/changes";
    assert_eq!(studio.get(path).status, 200);
    assert_eq!(studio.get("/v1/jobs/job-2/changes").status, 404);
    assert_eq!(crate::http_raw::get(studio.daemon.port, path).status, 401);
    drop(daemon);
    set_peers(&home, &[PeerLine::of("studio", &studio)]);
    let here = Api::of(home);
    let repo = Repo::at(&here.home, "site");
    here.peer_is("studio", "connected");
    let kept = studio.home.darkmux().join("worktrees/job-1");
    std::fs::rename(&kept, kept.with_extension("away")).unwrap();
    let gone = repo.darkmux("", &["job", "apply", "job-1"]);
    assert_eq!(gone.status.code(), Some(3), "{}", describe(&gone));
    assert!(stderr(&gone).contains("waits here"), "{}", describe(&gone));
    std::fs::rename(kept.with_extension("away"), &kept).unwrap();
    repo.ok(&["job", "apply", "job-1"]);
    has_it_all(&repo, &studio.home, "job-1");
}

#[tokio::test]
async fn a_large_result_of_this_machine_needs_no_other_one() {
    let server = RedisServer::start();
    let studio = Api::of(member("studio", &server.url()));
    let repo = Repo::new(&studio.home, "site", FILES);
    let output = dispatch(&repo, "job-1", SCRIPT);
    assert!(stderr(&output).contains("4 files changed · branch darkmux/job-1"), "{}", describe(&output));
    repo.ok(&["job", "apply", "job-1"]);
    has_it_all(&repo, &studio.home, "job-1");
    repo.git(&["clean", "-qfd"]);
    repo.git(&["checkout", "-q", "."]);
    let args = ["crew", "dispatch", "shell", "--worktree", "--session-id", "here-1", "-m", SCRIPT];
    let output = repo.darkmux("", &args);
    assert!(stderr(&output).contains("4 files changed · branch darkmux/here-1"), "{}", describe(&output));
    repo.ok(&["job", "apply", "here-1"]);
    has_it_all(&repo, &studio.home, "here-1");
}
