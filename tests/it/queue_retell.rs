//! What the journal tells a Redis that forgot: what is recent, all of what is open, and one entry whatever another is.

use std::time::SystemTime;

use darkmux::model::SessionId;
use darkmux::util::Clock;
use darkmux::work::{Claim, Journal, Outcome, Queue, Ran};
use jiff::SignedDuration;

use crate::support::RedisServer;
use crate::support::queue::{job, publish, queue, result, seat, take};

/// A claim of no queue.
fn claim(name: &str) -> Claim {
    let (job, spec) = job(name, "true");
    let id = spec.id.clone();
    let token = "1-nonce".to_owned();
    Claim { id, token, attempt: 1, job, spec, cancel: None, before: darkmux::work::Before::default() }
}

fn end(journal: &Journal, claim: &Claim, is_told: bool) {
    journal.ended(&Ran::of(claim), Outcome::Done, &result()).unwrap();
    if is_told {
        journal.answered(&claim.id, &claim.token).unwrap();
    }
}

async fn told_to(queue: &Queue, journal: &Journal) -> Vec<String> {
    let mut told = Vec::new();
    journal.reassert(queue, &seat("studio"), &mut told).await.unwrap();
    journal.republish(queue, &mut told).await.unwrap();
    let mut names: Vec<String> = told.iter().map(SessionId::to_string).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_long_over_is_told_to_nobody_and_goes() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Clock::System.now());
    let journal = Journal::new(dir.path(), clock.clone());
    end(&journal, &claim("told"), true);
    end(&journal, &claim("untold"), false);
    let (work, spec) = job("published", "true");
    journal.published(&work, &spec).unwrap();
    assert_eq!(told_to(&queue, &journal).await, ["published", "told", "untold"]);
    server.cli(&["FLUSHALL"]);
    clock.advance(SignedDuration::from_mins(11));
    // Copies of files are young, and what is in them is not.
    for is_copy in [false, true] {
        for folder in ["ran", "published"] {
            for entry in std::fs::read_dir(dir.path().join(folder)).unwrap().filter(|_| is_copy) {
                let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
                file.set_modified(SystemTime::from(clock.now())).unwrap();
            }
        }
        assert_eq!(told_to(&queue, &journal).await, ["untold"], "{is_copy}");
        server.cli(&["FLUSHALL"]);
    }
    let files = |folder: &str| std::fs::read_dir(dir.path().join(folder)).unwrap().count();
    journal.prune().unwrap();
    assert_eq!((files("ran"), files("published")), (2, 1));
    clock.advance(SignedDuration::from_mins(11));
    journal.prune().unwrap();
    assert_eq!((files("ran"), files("published")), (1, 0), "what is not told stays");
}

#[tokio::test]
async fn however_many_were_told_those_that_run_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path(), Clock::System);
    let one = claim("told");
    end(&journal, &one, true);
    let ran = dir.path().join("ran");
    let told = std::fs::read_dir(&ran).unwrap().next().unwrap().unwrap().path();
    for number in 0..10_500 {
        std::fs::hard_link(&told, ran.join(format!("told-{number}.0.told.json"))).unwrap();
    }
    for number in 0..200 {
        journal.running(&claim(&format!("runs-{number}"))).unwrap();
    }
    assert_eq!(journal.open().unwrap().into_iter().map(Result::unwrap).count(), 200);
    assert_eq!(journal.untold().unwrap().len(), 200);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_absence_and_garbage_is() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path(), Clock::System);
    assert!(journal.open().unwrap().is_empty());
    journal.running(&claim("runs")).unwrap();
    let ran = dir.path().join("ran");
    std::fs::write(ran.join("garbage.0.json"), "{").unwrap();
    std::fs::create_dir(ran.join("folder.0.json")).unwrap();
    assert_eq!(journal.untold().unwrap().len(), 1);
    let path = ran.join("unreadable.0.json");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let open = journal.open().unwrap();
    assert_eq!((open.len(), open.iter().filter(|ran| ran.is_ok()).count()), (2, 1));
    let error = journal.untold().unwrap_err().to_string();
    assert!(error.contains("unreadable.0.json"), "{error}");
}

#[tokio::test]
async fn one_job_s_broken_key_holds_up_no_other() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path(), Clock::System);
    let me = seat("studio");
    // A field that is no number, on the way to another try.
    let id = publish(&queue, "a-broken").await;
    let mut broken = take(&queue, &me).await;
    broken.spec.retries = 1;
    journal.ended(&Ran::of(&broken), Outcome::Failed, &result()).unwrap();
    server.cli(&["HSET", &format!("darkmux:job:{id}"), "fails", "many"]);
    let refused = queue.finish(&id, &broken.token, Outcome::Failed, (&result(), 1)).await.unwrap_err();
    assert!(refused.is_of_the_data(), "{refused}");
    end(&journal, &claim("b-ended"), false);
    // A key that is a list.
    server.cli(&["RPUSH", "darkmux:idem:nightly", "1"]);
    for (name, key) in [("c-keyed", Some("nightly")), ("d-published", None), ("e-published", None)] {
        let (work, mut spec) = job(name, "true");
        spec.key = key.map(str::to_owned);
        journal.published(&work, &spec).unwrap();
    }
    assert_eq!(told_to(&queue, &journal).await, ["b-ended", "d-published", "e-published"]);
}
