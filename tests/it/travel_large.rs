//! Repositories that are too large for Redis: the machine that runs the job fetches them from the daemon of the one that
//! it was dispatched on, where that is its peer.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use darkmux::model::JobState;

use crate::peer_calls::Taking;
use crate::runner::{ended, until};
use crate::support::api::Api;
use crate::support::hub::{PeerLine, set_peers};
use crate::support::queue::queue;
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, describe, wait_for};
use crate::travel::{blake3_noise, dispatch, laptop, stderr};

/// More than goes through Redis, however it is compressed.
const LARGE: usize = 9 * 1024 * 1024;

/// A machine that runs nothing and has a daemon, which may also be asked under this address.
fn caller(server: &RedisServer, host: &str) -> Api {
    let home = laptop(&server.url()).with("DARKMUX_RUNNER", "false");
    Api::of(home.with("DARKMUX_SERVE_HOSTS", host))
}

/// A repository with a large file, of which no remote has anything, and changes that are not committed.
fn large(home: &Home) -> Repo<'_> {
    let repo = Repo::new(home, "site", &[("a.txt", "one\n")]);
    repo.write("noise.bin", &blake3_noise(LARGE));
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-qm", "noise"]);
    repo.write("a.txt", b"two\n");
    repo.write("new.txt", b"new\n");
    repo
}

/// The machine that runs jobs, and knows the caller at this address.
fn studio(server: &RedisServer, laptop: &Api, url: String) -> Home {
    let home = member("studio", &server.url());
    set_peers(&home, &[PeerLine { url, ..PeerLine::of("laptop", laptop) }]);
    home
}

/// What is in a folder of objects that is on its way, or was left half.
pub fn unfinished(objects: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(objects).unwrap().chain(std::fs::read_dir(objects.join("pack")).unwrap());
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("tmp")).collect()
}

/// A way to a port that breaks off as often as `breaks` says, in the middle of something large.
pub fn break_off(listener: TcpListener, to: u16, breaks: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut up, mut upward) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut upward);
                let _ = upward.shutdown(Shutdown::Write);
            });
            let breaks = Arc::clone(&breaks);
            std::thread::spawn(move || down(server, client, &breaks));
        }
    });
}

fn down(mut from: TcpStream, mut into: TcpStream, breaks: &AtomicUsize) {
    let (mut piece, mut came) = (vec![0; 64 * 1024], 0);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        came += count;
        let is_large = came > 1024 * 1024;
        if is_large
            && breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            break;
        }
        if into.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
}

#[tokio::test]
async fn a_repository_that_is_too_large_for_redis_comes_from_its_machine_also_when_the_way_breaks() {
    let server = RedisServer::start();
    let way = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = way.local_addr().unwrap().to_string();
    let laptop = caller(&server, &address);
    let breaks = Arc::new(AtomicUsize::new(2));
    break_off(way, laptop.daemon.port, Arc::clone(&breaks));
    let studio = studio(&server, &laptop, format!("http://{address}"));
    let _daemon = Daemon::start(&studio);
    let repo = large(&laptop.home);
    let script = "git status --porcelain > ../seen; git log --format=%s >> ../seen; echo three > a.txt";
    let output = dispatch(&repo, "job-1", script);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    assert!(stderr(&output).contains("fetches it from here"), "{}", describe(&output));
    assert_eq!(breaks.load(Ordering::SeqCst), 0, "the way broke");
    let worktrees = studio.darkmux().join("worktrees");
    let seen = std::fs::read_to_string(worktrees.join("seen")).unwrap();
    assert_eq!(seen, " M a.txt\n?? new.txt\nnoise\n", "without the history before it");
    let noise = std::fs::read(worktrees.join("job-1/noise.bin")).unwrap();
    assert!(noise == blake3_noise(LARGE), "every byte came");
    assert_eq!(
        server.cli(&["--raw", "KEYS", "darkmux:bundle:*"]).lines().count(),
        1,
        "only the result went by Redis"
    );
    repo.ok(&["job", "apply", "job-1"]);
    assert_eq!((repo.read("a.txt"), repo.read("new.txt")), ("three\n".into(), "new\n".into()));
    // What broke off left nothing behind.
    let mirror = std::fs::read_dir(studio.darkmux().join("mirrors")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(unfinished(&mirror.join("objects")), Vec::<String>::new());
}

#[tokio::test]
async fn who_is_refused_a_large_repository_gives_its_job_back_at_once() {
    let server = RedisServer::start();
    let laptop = caller(&server, "laptop.example");
    let studio = member("studio", &server.url());
    set_peers(&studio, &[PeerLine { token: Some("f".repeat(64)), ..PeerLine::of("laptop", &laptop) }]);
    let _daemon = Daemon::start(&studio);
    let repo = large(&laptop.home);
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "--no-wait", "--session-id", "job-1", "-m", "true"]);
    let queue = queue(&server.url());
    let id = "job-1".parse().unwrap();
    let view = until(&queue, &id, "its refusal", |view| !view.declined.is_empty()).await;
    let why = &view.declined["studio"];
    assert!(
        why.contains("laptop does not give its repository to this machine: authentication failed"),
        "{why}"
    );
}

/// A token that is worth nothing any more gets nothing more of a repository that is on its way.
#[test]
fn a_repository_ends_with_the_token_that_asked_for_it() {
    const BYTES: usize = 24 * 1024 * 1024;
    let server = RedisServer::start();
    let laptop = caller(&server, "laptop.example");
    let repo = Repo::new(&laptop.home, "site", &[("a.txt", "one\n")]);
    repo.write("noise.bin", &blake3_noise(BYTES));
    repo.ok(&["crew", "dispatch", "shell", "--fleet", "--no-wait", "--session-id", "job-1", "-m", "true"]);
    let path = "/v1/jobs/job-1/repository";
    let (count, whole) = Taking::begin(&laptop, path, &laptop.token).end();
    assert!(whole && count > BYTES, "{count} bytes");
    let taking = Taking::begin(&laptop, path, &laptop.token);
    laptop.home.ok(["auth", "rotate"]);
    wait_for("the token to be refused", || (laptop.get("/v1/sessions").status == 401).then_some(()));
    let (count, whole) = taking.end();
    assert!(!whole && count < BYTES / 2, "{count} bytes came after the token was worth nothing");
}

#[tokio::test]
async fn who_may_not_have_a_large_repository_is_told_and_the_refusal_says_what_helps() {
    let server = RedisServer::start();
    let laptop = caller(&server, "laptop.example");
    let stranger = member("studio", &server.url());
    let _daemon = Daemon::start(&stranger);
    let repo = large(&laptop.home);
    let args = ["crew", "dispatch", "shell", "--fleet", "--no-wait", "--session-id", "job-1", "-m", "true"];
    repo.ok(&args);
    let queue = queue(&server.url());
    let id = "job-1".parse().unwrap();
    let view = until(&queue, &id, "what it lacks", |view| !view.declined.is_empty()).await;
    assert!(view.declined["studio"].contains("no peer of this machine"), "{view:?}");
    // Neither without a token nor for another job is anything given.
    let path = "/v1/jobs/job-1/repository";
    assert_eq!(laptop.get(path).status, 200);
    assert_eq!(laptop.get("/v1/jobs/job-2/repository").status, 404);
    let nobody = crate::http_raw::get(laptop.daemon.port, path);
    assert_eq!(nobody.status, 401);
    // As soon as it is a peer the same daemon is offered the job again.
    set_peers(&stranger, &[PeerLine::of("laptop", &laptop)]);
    assert_eq!(ended(&queue, &id).await.state, JobState::Done);
    // A snapshot that was let go is not made again.
    repo.git(&["update-ref", "-d", "refs/darkmux-jobs/job-1"]);
    assert_eq!(laptop.get(path).status, 404);

    let home = laptop.home;
    drop(laptop.daemon);
    let output = dispatch(&Repo::at(&home, "site"), "job-3", "true");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = stderr(&output);
    assert!(said.contains("too large to travel") && said.contains("darkmux serve"), "{said}");
}
