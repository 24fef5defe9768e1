//! The built-in agent in jobs of the fleet's queue.

use darkmux::model::{JobState, SessionId};
use darkmux::wire::{JobResult, JobSpec};
use darkmux::work::{Claim, FleetKey, Keeping, Outcome, Queue};
use serde_json::{Value, json};

use crate::runner::{ended, processes_of, wait_for_async};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::queue::{job, numbers, queue, result, seat, take};
use crate::support::repo::Repo;
use crate::support::runner::member;
use crate::support::{Daemon, Home, RedisServer, signal, wait_for};
use crate::travel_hostile::hostile_trees;

fn machine(server: &RedisServer, model: &ModelServer) -> Home {
    machine_of("studio", server, model)
}

fn machine_of(name: &str, server: &RedisServer, model: &ModelServer) -> Home {
    member(name, &server.url())
        .with("DARKMUX_LMSTUDIO_URL", model.url())
        .with("DARKMUX_CREW_AGENTS", "agent")
        .with("NO_COLOR", "1")
}

/// The machine goes away as a whole, in the middle of what it does.
fn crash(home: &Home, mut daemon: Daemon) {
    daemon.process.kill();
    for process in processes_of(home) {
        signal(process, "KILL");
    }
}

/// Waits until Redis has the conversation of a job with its first turn.
async fn first_turn_kept(queue: &Queue, id: &SessionId) {
    wait_for_async(async || {
        let kept = queue.checkpoint(id).await.unwrap()?;
        let checkpoint: Value = serde_json::from_slice(&kept.bytes).unwrap();
        (checkpoint["totals"]["total_turns"] == 1).then_some(())
    })
    .await;
}

fn dispatch(home: &Home) -> SessionId {
    let id =
        home.ok(["crew", "dispatch", "coder", "--fleet", "--no-wait", "-m", "the secret word is kumquat"]);
    SessionId::new(id.trim()).unwrap()
}

#[tokio::test]
async fn a_job_that_is_blocked_fails_with_its_reason_and_shows_what_it_did() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("write", json!({ "path": "notes.md", "content": "tried" })),
        Reply::text("BLOCKED: no network here\n\nI tried."),
    ]);
    let home = machine(&server, &model);
    let _daemon = Daemon::start(&home);
    let id = dispatch(&home);
    let view = ended(&queue(&server.url()), &id).await;
    assert_eq!(view.state, JobState::Failed, "{view:?}");
    let result = view.result.unwrap();
    assert_eq!(result.error.as_deref(), Some("BLOCKED: no network here"));
    let agent: &Value = &result.details["agent"];
    assert_eq!((&agent["result"], &agent["changed"]), (&json!("blocked"), &json!(["notes.md"])));
    let shown = home.ok(["job", "show", id.as_str()]);
    for part in ["no network here", "notes.md", "scripted at lmstudio", "I tried."] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn after_a_crash_of_the_machine_the_next_attempt_goes_on_from_the_checkpoint() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("bash", json!({ "command": "echo first-step > made; cat made" })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]);
    let home = machine(&server, &model).with("DARKMUX_QUEUE_LEASE", "1m");
    let daemon = Daemon::start(&home);
    let id = dispatch(&home);
    wait_for("the second turn", || (model.asked().len() == 2).then_some(()));
    crash(&home, daemon);
    model.then(Reply::call("bash", json!({ "command": "cat made" })));
    model.then(Reply::text("It goes on."));
    let _again = Daemon::start(&home);
    let view = ended(&queue(&server.url()), &id).await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 2), "{view:?}");
    let last = model.asked().last().unwrap()["messages"].to_string();
    assert!(last.contains("kumquat") && last.matches("first-step").count() >= 3, "{last}");
    let agent = &view.result.unwrap().details["agent"];
    assert_eq!((&agent["final"], &agent["totals"]["total_turns"]), (&json!("It goes on."), &json!(3)));
}

#[tokio::test]
async fn after_the_loss_of_the_machine_another_one_goes_on_with_the_conversation() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("bash", json!({ "command": "echo first-step > made; cat made" })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]);
    let [studio, desk] = ["studio", "desk"].map(|name| {
        let home = machine_of(name, &server, &model);
        let path = home.darkmux().join("fleet-key");
        assert!(FleetKey::keep(&path, &"0a".repeat(32)).unwrap());
        home
    });
    let key = FleetKey::read(&desk.darkmux().join("fleet-key")).unwrap();
    let queue = Queue::new(queue(&server.url()).redis().clone(), numbers(), key);
    let daemon = Daemon::start(&studio);
    let id = dispatch(&studio);
    wait_for("the second turn", || (model.asked().len() == 2).then_some(()));
    first_turn_kept(&queue, &id).await;
    crash(&studio, daemon);
    model.then(Reply::call("bash", json!({ "command": "ls; pwd" })));
    model.then(Reply::text("It goes on."));
    let _desk = Daemon::start(&desk);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 2), "{view:?}");
    assert_eq!(view.attempts[1].machine, "desk", "{view:?}");
    let asked = model.asked();
    let messages = asked[2]["messages"].as_array().unwrap();
    let place = desk.darkmux().join("worktrees").join(id.as_str());
    let system = messages[0]["content"].as_str().unwrap();
    assert!(system.contains(place.to_str().unwrap()), "{system}");
    assert!(messages[1]["content"].as_str().unwrap().contains("kumquat"), "{messages:?}");
    assert!(messages[3]["content"].as_str().unwrap().contains("first-step"), "{messages:?}");
    let told = messages[4]["content"].as_str().unwrap();
    assert!(told.contains("was lost") && told.contains(place.to_str().unwrap()), "{told}");
    let listed = asked[3]["messages"].as_array().unwrap().last().unwrap()["content"].to_string();
    assert!(!listed.contains("made") && listed.contains(id.as_str()), "{listed}");
    let agent = &view.result.unwrap().details["agent"];
    assert_eq!((&agent["final"], &agent["totals"]["total_turns"]), (&json!("It goes on."), &json!(3)));
    assert_eq!(
        server.cli(&["--raw", "KEYS", "darkmux:checkpoint:*"]).trim(),
        "",
        "it went with the job's end"
    );
}

/// What became of the changes before the machine was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    All,
    TooMuch,
    Garbage,
    /// A file below a link.
    Hostile,
    /// What is checked out is not what the changes stand upon.
    Unrelated,
}

/// Changes of this kind in the place of those that came; `None` where those are left alone.
fn forged(repo: &Repo<'_>, came: Came) -> Option<Vec<u8>> {
    let head = repo.git(&["rev-parse", "HEAD"]);
    let sent =
        |head: &str, commit: &str, pack: &[u8]| [format!("{head}\n{commit}\n").as_bytes(), pack].concat();
    match came {
        Came::All | Came::TooMuch => None,
        Came::Garbage => Some(sent(&head, &"b".repeat(40), b"PACKgarbage")),
        Came::Hostile => {
            let (commit, pack) = hostile_trees(repo, &repo.path("..")).pop()?;
            Some(sent(&head, &commit, &pack))
        }
        Came::Unrelated => {
            let other = repo.git(&["commit-tree", "HEAD^{tree}", "-m", "other"]);
            let commit = repo.git(&["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "upon it"]);
            let revs = format!("{commit}\n{other}\n");
            let pack = repo.feed(&["pack-objects", "--revs", "--stdout", "-q"], revs.as_bytes());
            Some(sent(&other, &commit, &pack))
        }
    }
}

/// A job in a repository whose first machine is lost after its first turn: what the model is told on the second one, and what
/// it finds there.
async fn lost_after_changes(change: &str, came: Came) -> (String, String, String) {
    let server = RedisServer::start();
    let list = "cat a.txt new.txt b.txt gone.txt sub/c.txt; git log -2 --format=%s; git status --porcelain";
    let model = ModelServer::start([
        Reply::call("bash", json!({ "command": change })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]);
    let [studio, desk] = ["studio", "desk"].map(|name| machine_of(name, &server, &model));
    let files = [("a.txt", "one\n"), ("b.txt", "two\n"), ("gone.txt", "gone\n"), ("sub/c.txt", "three\n")];
    let repo = Repo::new(&studio, "site", &files);
    // Nothing is committed of this when the job begins.
    repo.write("new.txt", b"begun\n");
    let queue = queue(&server.url());
    let daemon = Daemon::start(&studio);
    let id = repo.ok(&["crew", "dispatch", "coder", "--fleet", "--no-wait", "-m", "go on"]);
    let id = SessionId::new(id.trim()).unwrap();
    wait_for("the second turn", || (model.asked().len() == 2).then_some(()));
    first_turn_kept(&queue, &id).await;
    crash(&studio, daemon);
    let kept = queue.checkpoint(&id).await.unwrap().unwrap();
    assert_eq!(kept.changes.is_none(), came == Came::TooMuch, "{came:?}");
    if let Some(changes) = forged(&repo, came) {
        let token = server.cli(&["--raw", "HGET", &format!("darkmux:job:{id}"), "tok"]);
        let claim = claim_of(&id, token.trim());
        let kept = queue.keep_checkpoint(&claim, kept.bytes, Some(changes)).await.unwrap();
        assert_eq!(kept, Keeping::Kept);
    }
    model.then(Reply::call("bash", json!({ "command": list })));
    model.then(Reply::text("It goes on."));
    let _desk = Daemon::start(&desk);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 2), "{view:?}");
    assert_eq!(view.attempts[1].machine, "desk", "{view:?}");
    let asked = model.asked();
    let text = |turn: usize, at: usize| asked[turn]["messages"][at]["content"].as_str().unwrap().to_owned();
    repo.git(&["checkout", "-q", "."]);
    std::fs::remove_file(repo.path("new.txt")).unwrap();
    let mut branch = String::new();
    if view.result.unwrap().workspace.unwrap().changed > 0 {
        repo.ok(&["job", "diff", id.as_str()]);
        branch = repo.git(&["diff", "--name-status", "HEAD", &format!("darkmux/{id}")]);
    }
    (text(2, 4), text(3, 6), branch)
}

#[tokio::test]
async fn what_was_changed_before_the_machine_was_lost_is_there_for_the_next_attempt() {
    let change = "echo first > a.txt; git commit -qam 'by the agent'; echo second > b.txt; echo more >> new.txt; rm -r gone.txt sub";
    let (told, found, branch) = lost_after_changes(change, Came::All).await;
    assert!(told.contains("was lost") && told.contains("also those that you had changed"), "{told}");
    let expected = "first\nbegun\nmore\nsecond\n";
    assert!(found.contains(expected) && found.contains("gone.txt: No such file"), "{found}");
    assert!(
        found.contains("\nby the agent\n")
            && found.contains(" M b.txt\n D gone.txt\n D sub/c.txt\n?? new.txt"),
        "{found}"
    );
    assert_eq!(branch, "M\ta.txt\nM\tb.txt\nD\tgone.txt\nA\tnew.txt\nD\tsub/c.txt");
}

#[tokio::test]
async fn changes_that_are_too_large_or_no_changes_stay_behind_and_the_model_is_told() {
    let large = "echo first > a.txt; head -c 1500000 /dev/urandom > noise.bin";
    let small = "echo first > a.txt";
    for (change, came) in
        [(large, Came::TooMuch), (small, Came::Garbage), (small, Came::Hostile), (small, Came::Unrelated)]
    {
        let (told, found, branch) = lost_after_changes(change, came).await;
        assert!(told.contains("as it was when the task began"), "{came:?}: {told}");
        assert!(found.contains("one\nbegun\ntwo\ngone\nthree\nfirst\n?? new.txt"), "{came:?}: {found}");
        assert_eq!(branch, "", "{came:?}");
    }
}

/// The attempt that holds a job, as far as its checkpoint asks for it.
fn claim_of(id: &SessionId, token: &str) -> Claim {
    let (job, spec) = job(id.as_str(), "true");
    let attempt = token.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
    let before = darkmux::work::Before { fails: 0, losses: 0 };
    Claim { id: id.clone(), token: token.to_owned(), attempt, job, spec, cancel: None, before }
}

#[tokio::test]
async fn a_checkpoint_that_no_machine_of_the_fleet_made_is_not_gone_on_with() {
    let server = RedisServer::start();
    let model = ModelServer::start([
        Reply::call("bash", json!({ "command": "echo one" })),
        Reply::begun([json!({ "content": "thinking" })]).hangs(),
    ]);
    let [studio, desk] = ["studio", "desk"].map(|name| machine_of(name, &server, &model));
    let queue = queue(&server.url());
    let daemon = Daemon::start(&studio);
    let id = dispatch(&studio);
    wait_for("the second turn", || (model.asked().len() == 2).then_some(()));
    first_turn_kept(&queue, &id).await;
    crash(&studio, daemon);
    server.cli(&["SETRANGE", &format!("darkmux:checkpoint:{id}"), "8", "garbage"]);
    model.then(Reply::text("It began anew."));
    let _desk = Daemon::start(&desk);
    let view = ended(&queue, &id).await;
    assert_eq!((view.state, view.attempts.len()), (JobState::Done, 2), "{view:?}");
    let asked = model.asked();
    assert_eq!(asked.last().unwrap()["messages"].as_array().unwrap().len(), 2, "{asked:?}");
    assert_eq!(view.result.unwrap().details["agent"]["totals"]["total_turns"], 1);
}

#[tokio::test]
async fn what_failed_begins_anew_and_an_attempt_that_lost_its_job_keeps_nothing() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let (job, spec) = job("job-1", "true");
    queue.publish(&job, &JobSpec { retries: 1, ..spec }).await.unwrap();
    let claim = take(&queue, &seat("studio")).await;
    assert_eq!(queue.keep_checkpoint(&claim, b"turn 1".to_vec(), None).await.unwrap(), Keeping::Kept);
    assert_eq!(
        queue.keep_checkpoint(&claim, b"turn 2".to_vec(), Some(b"files".to_vec())).await.unwrap(),
        Keeping::Kept
    );
    let kept = queue.checkpoint(&claim.id).await.unwrap().unwrap();
    assert_eq!((kept.attempt, kept.bytes.as_slice()), (1, &b"turn 2"[..]));
    let ttl: i64 = server.cli(&["TTL", "darkmux:checkpoint:job-1"]).trim().parse().unwrap();
    assert!(ttl > 3600, "{ttl}");
    let mut noise = vec![0; 1024 * 1024];
    getrandom::fill(&mut noise).unwrap();
    assert_eq!(queue.keep_checkpoint(&claim, noise, None).await.unwrap(), Keeping::TooLarge);
    assert_eq!(queue.checkpoint(&claim.id).await.unwrap().unwrap().bytes, b"turn 2");
    let stranger = Claim { token: "1-other".to_owned(), ..claim.clone() };
    assert_eq!(queue.keep_checkpoint(&stranger, b"mine".to_vec(), None).await.unwrap(), Keeping::Fenced);
    let failed = JobResult { exit_code: Some(1), ..result() };
    queue.finish(&claim.id, &claim.token, Outcome::Failed, (&failed, 1)).await.unwrap();
    assert_eq!(queue.checkpoint(&claim.id).await.unwrap(), None);
    assert_eq!(queue.keep_checkpoint(&claim, b"late".to_vec(), None).await.unwrap(), Keeping::Fenced);
}
