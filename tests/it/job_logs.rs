//! `job logs` on the machine that runs the job: whose output it is, and which end.

use crate::support::runner::member;
use crate::support::{BIN, Daemon, RedisServer, describe, wait_for};

#[test]
fn following_on_the_machine_that_runs_it_ends_with_the_job() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let id = studio.ok(["crew", "dispatch", "shell", "--fleet", "-d", "-m", "echo begun; sleep 60"]);
    let id = id.trim();
    let out = tempfile::tempfile().unwrap();
    let seen = out.try_clone().unwrap();
    let mut follower = studio.command(BIN);
    let mut follower = follower.args(["job", "logs", "-f", id]).stdout(out).spawn().unwrap();
    wait_for("its output", || (seen.metadata().unwrap().len() > 0).then_some(()));
    studio.ok(["job", "cancel", id]);
    // As any other machine says it, not as its session ended.
    assert_eq!(follower.wait().unwrap().code(), Some(130));
}

#[test]
fn each_attempt_has_its_own_output_and_following_goes_on_to_the_last_one() {
    let server = RedisServer::start();
    let studio = member("studio", &server.url());
    let _daemon = Daemon::start(&studio);
    let script = "if [ \"$DARKMUX_ATTEMPT\" = 1 ]; then echo first; sleep 1; exit 3; fi; echo second; \
                  until [ -e ../enough ]; do sleep 0.1; done; exit 5";
    let id = studio.ok(["crew", "dispatch", "shell", "--fleet", "-d", "--retries", "1", "-m", script]);
    let id = id.trim();
    let mut follower = studio.command(BIN);
    let follower =
        follower.args(["job", "logs", "-f", id]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let job = || studio.json(["job", "show", id, "--json"])["job"].clone();
    wait_for("the end of the first attempt", || (job()["state"] == "waiting").then_some(()));
    // Nobody waits for the pause between two attempts.
    server.cli(&["HSET", &format!("darkmux:job:{id}"), "due", "1"]);
    let both = || studio.run(["job", "logs", id]);
    wait_for("the second attempt", || both().stdout.ends_with(b"second\n").then_some(()));
    assert_eq!(both().stdout, b"first\nsecond\n", "{}", describe(&both()));
    assert_eq!(studio.ok(["job", "logs", "--attempt", "1", id]), "first\n");
    assert_eq!(studio.ok(["job", "logs", "--last-attempt", id]), "second\n");
    // Of several that are tried again, one that can't be stops none.
    let several = studio.run(["job", "retry", "no-such-job", id]);
    let said = String::from_utf8_lossy(&several.stderr).into_owned();
    assert!(said.contains("no-such-job") && said.contains("has not ended"), "{}", describe(&several));
    std::fs::write(studio.darkmux().join("worktrees/enough"), "").unwrap();
    let seen = follower.wait_with_output().unwrap();
    assert_eq!((seen.status.code(), seen.stdout), (Some(5), b"first\nsecond\n".to_vec()));
}
