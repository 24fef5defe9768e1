//! Traps of Redis streams that a queue can fall into, a test each. The number is that of the list which the queue
//! was designed against.

use std::time::{Duration, Instant};

use darkmux::model::{JobState, SessionId};
use darkmux::store::{Redis, RedisTarget};
use darkmux::util::Clock;
use darkmux::work::{
    Beat, Cancelled, Change, Doorbell, Finish, Hint, Offer, Outcome, Published, Queue, Reconciler,
};

use crate::support::queue::{claim_now, job, numbers, publish, queue, result, seat, take};
use crate::support::{Fault, FaultProxy, RedisServer};

const GROUP: &str = "darkmux-runners";
const MAIN: &str = "darkmux:work";

async fn done(queue: &Queue, id: &SessionId, token: &str) -> Finish {
    queue.finish(id, token, Outcome::Done, (&result(), 0)).await.unwrap()
}

async fn state(queue: &Queue, id: &SessionId) -> JobState {
    queue.job(id).await.unwrap().unwrap().state
}

fn observer(queue: &Queue) -> Reconciler {
    Reconciler::new(queue.clone(), Clock::System, ("darkmux:flow".into(), uuid::Uuid::new_v4().to_string()))
}

/// Looks until `wanted` is among the changes; the time that it took.
async fn look_until(observer: &mut Reconciler, wanted: &Change) -> Duration {
    let began = Instant::now();
    while !observer.look().await.unwrap().contains(wanted) {
        assert!(began.elapsed() < Duration::from_secs(15), "waited for {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn trap_01_a_group_that_begins_at_the_newest_entry() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let id = publish(&queue, "early").await;
    // The group is there with the first job, so that a runner of 1.9 cannot make it begin after that.
    assert!(server.cli(&["XGROUP", "CREATE", MAIN, GROUP, "$"]).contains("BUSYGROUP"));
    server.cli(&["XGROUP", "DESTROY", MAIN, GROUP]);
    assert_eq!(server.cli(&["XGROUP", "CREATE", MAIN, GROUP, "$"]), "OK");
    let me = seat("m");
    assert!(matches!(claim_now(&queue, &me).await, Offer::Nothing { .. }), "the trap is set");
    look_until(&mut observer(&queue), &Change::Restored(id.clone())).await;
    assert_eq!(take(&queue, &me).await.id, id);
}

#[tokio::test]
async fn trap_02_reading_what_pends_makes_it_look_fresh() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("m");
    publish(&queue, "job-1").await;
    let claim = take(&queue, &me).await;
    let pending = || {
        let reply = server.cli(&["XPENDING", MAIN, GROUP, "-", "+", "10"]);
        let words: Vec<String> = reply.lines().map(str::to_owned).collect();
        let [_, consumer, idle, deliveries] = &words[..] else { panic!("{words:?}") };
        (consumer.clone(), idle.parse::<u64>().unwrap(), deliveries.clone())
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        assert!(matches!(claim_now(&queue, &me).await, Offer::Nothing { .. }));
        queue.beat(&claim.id, &claim.token).await.unwrap();
    }
    let (consumer, idle, deliveries) = pending();
    assert_eq!((consumer, deliveries.as_str()), (me.consumer, "1"));
    assert!(idle >= 200, "{idle}");
}

#[tokio::test]
async fn trap_06_a_bounded_stream_drops_what_nobody_has_read() {
    let server = RedisServer::start();
    let mut few = numbers();
    few.max = 250;
    let queue = Queue::new(Redis::new(RedisTarget::parse(&server.url()).unwrap()), few, None);
    for number in 0..250 {
        publish(&queue, &format!("job-{number}")).await;
    }
    let (more, spec) = job("one-more", "true");
    assert!(queue.publish(&more, &spec).await.unwrap_err().to_string().contains("full"));
    let me = seat("m");
    for number in 0..250 {
        let claim = take(&queue, &me).await;
        assert_eq!(claim.id.as_str(), format!("job-{number}"));
        done(&queue, &claim.id, &claim.token).await;
    }
    assert_eq!(queue.publish(&more, &spec).await.unwrap(), Published::New);
}

#[tokio::test]
async fn trap_08_what_is_acknowledged_and_not_deleted_comes_again_with_a_new_group() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("m");
    for (number, end) in ["done", "cancelled", "dead"].into_iter().enumerate() {
        let id = publish(&queue, &format!("job-{number}")).await;
        if end == "cancelled" {
            assert_eq!(queue.cancel(&id, "no").await.unwrap(), Cancelled::Now);
            continue;
        }
        let claim = take(&queue, &me).await;
        if end == "dead" {
            queue.refuse(&id, &claim.token, "never").await.unwrap();
        } else {
            done(&queue, &id, &claim.token).await;
        }
    }
    let running = publish(&queue, "running").await;
    let claim = take(&queue, &me).await;
    server.cli(&["XGROUP", "DESTROY", MAIN, GROUP]);
    assert!(matches!(claim_now(&queue, &seat("other")).await, Offer::Nothing { .. }));
    assert_eq!(queue.beat(&running, &claim.token).await.unwrap(), Some(Beat::Held));
    assert_eq!(done(&queue, &running, &claim.token).await, Finish::Accepted);
    assert_eq!(server.cli(&["XLEN", MAIN]), "0");
}

#[tokio::test]
async fn trap_11_a_reader_that_is_gone_without_a_word_gets_no_job() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let (gone, here) = (queue(&proxy.url()), queue(&server.url()));
    let mut bell = Doorbell::hang(&gone).await.unwrap();
    let listening =
        tokio::spawn(async move { bell.wait(&[MAIN.into()], &["0-0".into()], Duration::from_secs(2)).await });
    // Its read blocks in the server when the network goes.
    let began = Instant::now();
    while !server.cli(&["INFO", "clients"]).contains("blocked_clients:1") {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.set(Fault::BlackHole);
    let id = publish(&here, "job-1").await;
    assert_eq!(take(&here, &seat("here")).await.id, id);
    assert!(gone.claim(&seat("gone"), &[MAIN.into()], "n", false).await.is_err());
    listening.abort();
}

#[tokio::test]
async fn trap_12_no_memory_leaves_nothing_half_done() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let me = seat("m");
    let mut ids = Vec::new();
    for name in ["finish", "cancel", "lose", "decline", "claim"] {
        ids.push(publish(&queue, name).await);
    }
    let finish = take(&queue, &me).await;
    let cancel = take(&queue, &me).await;
    let lose = take(&queue, &me).await;
    let decline = take(&queue, &me).await;
    let mut eye = observer(&queue);
    eye.look().await.unwrap();
    let before = server.cli(&["DBSIZE"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let (more, mut spec) = job("more", "true");
    spec.key = Some("key".into());
    spec.lane.require = vec!["gpu".into()];
    assert!(queue.publish(&more, &spec).await.unwrap_err().to_string().contains("maxmemory"));
    assert_eq!(server.cli(&["DBSIZE"]), before, "a refused publish left something");
    assert_eq!(server.cli(&["SISMEMBER", "darkmux:live", "more"]), "0");
    assert_eq!(queue.beat(&finish.id, &finish.token).await.unwrap(), Some(Beat::Held));
    assert_eq!(done(&queue, &finish.id, &finish.token).await, Finish::Accepted);
    assert_eq!(queue.cancel(&cancel.id, "no").await.unwrap(), Cancelled::Asked);
    queue.finish(&cancel.id, &cancel.token, Outcome::Cancelled, (&result(), 0)).await.unwrap();
    queue.decline(&me, &decline, "not here").await.unwrap();
    assert_eq!(state(&queue, &decline.id).await, JobState::Queued);
    look_until(&mut eye, &Change::Requeued(lose.id.clone())).await;
    // An observer that begins now has room for its name.
    server.cli(&["DEL", "darkmux:reconciler", "darkmux:epoch"]);
    observer(&queue).look().await.unwrap();
    let mut left = Vec::new();
    while let Offer::Job(claim) = claim_now(&queue, &seat("other")).await {
        left.push(claim.id.to_string());
        done(&queue, &claim.id, &claim.token).await;
    }
    left.sort();
    assert_eq!(left, ["claim", "decline", "lose"]);
}

#[tokio::test]
async fn trap_14_the_server_forgets_its_scripts() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "yes"]);
    let queue = queue(&server.url());
    let me = seat("m");
    let flush = |server: &RedisServer| assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    flush(&server);
    let id = publish(&queue, "job-1").await;
    flush(&server);
    let claim = take(&queue, &me).await;
    flush(&server);
    assert_eq!(queue.beat(&id, &claim.token).await.unwrap(), Some(Beat::Held));
    server.kill();
    server.restart();
    let mut told = queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await;
    let began = Instant::now();
    while told.is_err() && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        told = queue.finish(&id, &claim.token, Outcome::Done, (&result(), 0)).await;
    }
    assert_eq!(told.unwrap(), Finish::Accepted);
    flush(&server);
    observer(&queue).look().await.unwrap();
}

#[tokio::test]
async fn trap_16_a_read_that_waits_is_cut_off_by_no_timeout_and_delays_nobody() {
    let server = RedisServer::start();
    let queue = queue(&server.url());
    let mut bell = Doorbell::hang(&queue).await.unwrap();
    let began = Instant::now();
    let listening = tokio::spawn(async move {
        let heard = bell.wait(&[], &[], Duration::from_millis(1900)).await;
        (heard, bell)
    });
    let mut slowest = Duration::ZERO;
    while !listening.is_finished() {
        let asked = Instant::now();
        queue.gates(&seat("m").machine).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (heard, mut bell) = listening.await.unwrap();
    assert_eq!(heard.unwrap(), Hint::Quiet);
    assert!(began.elapsed() >= Duration::from_millis(1850), "cut off after {:?}", began.elapsed());
    assert!(slowest < Duration::from_millis(900), "a request waited {slowest:?} behind the read");
    // The connection is as good as new, and nothing was delivered to nobody.
    let id = publish(&queue, "job-1").await;
    let heard = bell.wait(&[MAIN.into()], &["0-0".into()], Duration::from_secs(2)).await.unwrap();
    assert_eq!(heard, Hint::Work);
    assert_eq!(server.cli(&["XPENDING", MAIN, GROUP]).lines().next(), Some("0"));
    assert_eq!(take(&queue, &seat("m")).await.id, id);
}

#[tokio::test]
async fn trap_17_the_answer_to_a_claim_is_lost() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let (direct, cut) = (queue(&server.url()), queue(&proxy.url()));
    let me = seat("studio");
    let streams = [MAIN.to_owned()];
    let none = cut.claim(&me, &["darkmux:work:none".into()], "n0", false).await.unwrap();
    assert!(matches!(none, Offer::Nothing { .. }));
    for asks_again in [true, false] {
        let id = publish(&direct, &format!("job-{asks_again}")).await;
        let claimed_with = format!("n-{asks_again}");
        proxy.set(Fault::DropReplies);
        assert!(cut.claim(&me, &streams, &claimed_with, false).await.is_err());
        proxy.set(Fault::None);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(state(&direct, &id).await, JobState::Running);
        if asks_again {
            let Offer::Job(claim) = cut.claim(&me, &streams, &claimed_with, true).await.unwrap() else {
                panic!("no job")
            };
            assert_eq!((&claim.id, claim.token), (&id, format!("1-{claimed_with}")));
            done(&direct, &id, &format!("1-{claimed_with}")).await;
        } else {
            look_until(&mut observer(&direct), &Change::Requeued(id.clone())).await;
            assert_eq!(take(&direct, &seat("laptop")).await.attempt, 2);
        }
    }
}

#[cfg(target_os = "linux")]
mod skewed {
    use super::*;

    /// A Redis whose wall clock a test can set wrong.
    struct Skewed {
        server: RedisServer,
        dir: tempfile::TempDir,
    }

    impl Skewed {
        fn start() -> Self {
            let dir = tempfile::Builder::new().prefix("dmxclock").tempdir().unwrap();
            let library = dir.path().join("clock.so");
            let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/traps/clock.c");
            let built = std::process::Command::new("cc")
                .args(["-shared", "-fPIC", "-O1", "-o"])
                .args([&library, &source])
                .output()
                .expect("a C compiler");
            assert!(built.status.success(), "{}", crate::support::describe(&built));
            let (library, file) =
                (library.display().to_string(), dir.path().join("skew").display().to_string());
            let vars = [("LD_PRELOAD", library.as_str()), ("SKEW_FILE", file.as_str())];
            let server = RedisServer::with_env(&["--save", "", "--appendonly", "no"], &vars);
            Self { server, dir }
        }

        fn set(&self, seconds: i64) {
            std::fs::write(self.dir.path().join("skew"), seconds.to_string()).unwrap();
            let theirs: i64 = self.server.cli(&["TIME"]).lines().next().unwrap().parse().unwrap();
            let ours = jiff::Timestamp::now().as_second();
            assert!((theirs - ours - seconds).abs() < 5, "the clock is not wrong: {theirs}, {ours}");
        }
    }

    #[tokio::test]
    async fn trap_18_the_wall_clock_of_redis_steps() {
        let skewed = Skewed::start();
        let queue = queue(&skewed.server.url());
        let lives = publish(&queue, "lives").await;
        let living = take(&queue, &seat("studio")).await;
        let lost = publish(&queue, "lost").await;
        let _never_heard_of = take(&queue, &seat("gone")).await;
        let mut eye = observer(&queue);
        for step in [3600, -3600, 0] {
            let mut found = None;
            skewed.set(step);
            let began = Instant::now();
            while began.elapsed() < numbers().lease * 3 {
                assert_eq!(queue.beat(&lives, &living.token).await.unwrap(), Some(Beat::Held));
                for change in eye.look().await.unwrap() {
                    assert_eq!(change, Change::Requeued(lost.clone()), "by a step of {step} s");
                    found = Some(began.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if step == 3600 {
                let took = found.expect("the lost one is found while the clock is wrong");
                assert!(took < numbers().lease * 3, "{took:?}");
            }
        }
        assert_eq!(done(&queue, &lives, &living.token).await, Finish::Accepted);
        // What the clock of before has put into the stream does not hold back what comes with an earlier one.
        skewed.set(-3600);
        let later = publish(&queue, "later").await;
        let mut taken = vec![take(&queue, &seat("m")).await.id, take(&queue, &seat("m")).await.id];
        taken.sort();
        assert_eq!(taken, [later, lost]);
    }
}

#[tokio::test]
async fn trap_20_a_publish_sent_again_makes_no_second_job() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let (direct, cut) = (queue(&server.url()), queue(&proxy.url()));
    publish(&cut, "first").await;
    let (work, spec) = job("job-1", "true");
    proxy.set(Fault::DropReplies);
    let began = Instant::now();
    assert!(cut.publish(&work, &spec).await.is_err(), "nobody can know");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    proxy.set(Fault::None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for queue in [&cut, &direct, &cut] {
        assert_eq!(queue.publish(&work, &spec).await.unwrap(), Published::Before(spec.id.clone()));
    }
    assert_eq!(server.cli(&["XLEN", MAIN]), "2");
    assert_eq!(server.cli(&["SCARD", "darkmux:live"]), "2");
}
