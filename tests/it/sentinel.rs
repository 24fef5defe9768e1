//! Redis with a replica and Sentinels: the master dies, another one takes its place, and the queue goes on.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkmux::model::JobState;
use darkmux::store::{Redis, RedisClass, RedisTarget};
use darkmux::util::Clock;
use darkmux::work::{Beat, Doorbell, Hint, Journal, Outcome, Queue, Ran};
use tempfile::TempDir;

use crate::support::queue::{job, numbers, publish, result, seat, take};
use crate::support::{Fault, FaultProxy, PATIENCE, RedisServer, Running, free_port, redis_server, wait_for};

/// A Sentinel process.
struct Sentinel {
    port: u16,
    process: Running,
}

/// A master, a replica, and three Sentinels that watch them.
struct Cluster {
    master: RedisServer,
    replica: RedisServer,
    /// Between the two.
    link: FaultProxy,
    sentinels: Vec<Sentinel>,
    _dir: TempDir,
}

impl Cluster {
    fn start() -> Self {
        let master = RedisServer::start();
        let link = FaultProxy::before(master.port());
        let of = format!("127.0.0.1 {}", link.port());
        let replica = RedisServer::with(&["--save", "", "--appendonly", "no", "--replicaof", &of]);
        wait_for("the replica", || {
            replica.cli(&["INFO", "replication"]).contains("link_status:up").then_some(())
        });
        let dir = tempfile::Builder::new().prefix("dmxsentinel").tempdir().expect("a folder");
        let sentinels: Vec<Sentinel> = (0..3).map(|number| sentinel(&dir, number, master.port())).collect();
        let knows = |sentinel: &Sentinel, what: &str| {
            ask(sentinel.port, &["SENTINEL", "MASTER", "fleet"]).contains(&format!("{what}\n"))
        };
        wait_for("the Sentinels to know each other", || {
            let all = |what| sentinels.iter().all(|sentinel| knows(sentinel, what));
            (all("num-other-sentinels\n2") && all("num-slaves\n1")).then_some(())
        });
        Self { master, replica, link, sentinels, _dir: dir }
    }

    fn url(&self) -> String {
        let nodes: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        format!("redis+sentinel://{}/fleet", nodes.join(","))
    }

    fn queue(&self) -> Queue {
        Queue::new(Redis::new(RedisTarget::parse(&self.url()).unwrap()), numbers(), None)
    }

    /// Waits until the Sentinels name the replica.
    fn promoted(&self) {
        let port = self.replica.port().to_string();
        let deadline = Instant::now() + PATIENCE * 2;
        while !ask(self.sentinels[2].port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet"]).contains(&port)
        {
            assert!(Instant::now() < deadline, "nobody was promoted");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn sentinel(dir: &TempDir, number: u8, master: u16) -> Sentinel {
    let port = free_port();
    let file: PathBuf = dir.path().join(format!("sentinel-{number}.conf"));
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor fleet 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds fleet 600\nsentinel failover-timeout fleet 4000\n"
    );
    std::fs::write(&file, text).expect("its configuration");
    let log = std::fs::File::create(dir.path().join(format!("sentinel-{number}.log"))).expect("a log");
    let child = redis_server()
        .arg(&file)
        .arg("--sentinel")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .expect("a Redis is installed: tests/run installs it");
    Sentinel { port, process: Running(child) }
}

fn ask(port: u16, words: &[&str]) -> String {
    let output =
        Command::new("redis-cli").args(["-p", &port.to_string()]).args(words).output().expect("redis-cli");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks until it is answered, as runners do.
async fn until_answered<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_goes_on_when_the_master_dies_and_the_first_sentinel_too() {
    let mut cluster = Cluster::start();
    let queue = cluster.queue();
    let me = seat("studio");
    let waiting = publish(&queue, "waiting").await;
    let id = publish(&queue, "running").await;
    let first = take(&queue, &me).await;
    let running = take(&queue, &me).await;
    assert_eq!((&first.id, &running.id), (&waiting, &id));
    queue.finish(&first.id, &first.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let epoch = queue.epoch().await.unwrap();
    let synced = cluster.master.cli(&["WAIT", "1", "5000"]);
    assert_eq!(synced, "1");
    cluster.sentinels[0].process.kill();
    cluster.master.kill();
    let fault = queue.beat(&id, &running.token).await.unwrap_err().to_string();
    assert!(fault.contains("sentinel 127.0.0.1"), "{fault}");
    let beat = until_answered("the new master", async || queue.beat(&id, &running.token).await.ok()).await;
    assert_eq!(beat, Some(Beat::Held), "the job is still its runner's");
    assert_ne!(queue.epoch().await.unwrap(), epoch, "another server");
    queue.finish(&id, &running.token, Outcome::Done, (&result(), 0)).await.unwrap();
    for id in [&waiting, &id] {
        assert_eq!(queue.job(id).await.unwrap().unwrap().state, JobState::Done);
    }
    let more = publish(&queue, "more").await;
    assert_eq!(take(&queue, &me).await.id, more);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_replica_had_not_got_is_told_from_the_journal() {
    let mut cluster = Cluster::start();
    let queue = cluster.queue();
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path(), Clock::System);
    let me = seat("studio");
    let ended = publish(&queue, "ended").await;
    let claim = take(&queue, &me).await;
    journal.running(&claim).unwrap();
    cluster.master.cli(&["WAIT", "1", "5000"]);
    cluster.link.set(Fault::BlackHole);
    // From here on the replica hears nothing.
    let ran = Ran::of(&claim);
    journal.ended(&ran, Outcome::Done, &result()).unwrap();
    queue.finish(&ended, &claim.token, Outcome::Done, (&result(), 0)).await.unwrap();
    let (work, spec) = job("late", "true");
    queue.publish(&work, &spec).await.unwrap();
    journal.published(&work, &spec).unwrap();
    cluster.master.kill();
    until_answered("the new master", async || queue.epoch().await.ok()).await;
    assert_eq!(queue.job(&spec.id).await.unwrap(), None, "the replica had it after all");
    let mut told = Vec::new();
    until_answered("the journal", async || journal.reassert(&queue, &me, &mut told).await.ok()).await;
    until_answered("the journal", async || journal.republish(&queue, &mut told).await.ok()).await;
    assert!(told.contains(&spec.id), "{told:?}");
    assert_eq!(queue.job(&ended).await.unwrap().unwrap().state, JobState::Done);
    assert_eq!(take(&queue, &me).await.id, spec.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_before_that_still_answers_is_left() {
    let cluster = Cluster::start();
    let queue = cluster.queue();
    publish(&queue, "one").await;
    let mut bell = Doorbell::hang(&queue).await.unwrap();
    let before = queue.redis().server().borrow().clone().unwrap().run_id;
    cluster.master.cli(&["WAIT", "1", "5000"]);
    // The Sentinels elect another, and the old one does not hear of it: as if it were cut off from them.
    let told = ask(cluster.sentinels[1].port, &["SENTINEL", "FAILOVER", "fleet"]);
    assert!(told.contains("OK"), "{told}");
    cluster.promoted();
    until_answered("the new master", async || {
        queue.redis().follow_master().await;
        let _ = queue.epoch().await;
        let now = queue.redis().server().borrow().clone().unwrap().run_id;
        (now != before).then_some(())
    })
    .await;
    // The bell hangs at the old one, and says so instead of being silent for ever.
    let rang =
        until_answered("the bell", async || match bell.wait(&[], &[], Duration::from_millis(200)).await {
            Ok(Hint::Quiet) => None,
            other => Some(other),
        })
        .await;
    assert!(rang.is_err(), "{rang:?}");
    publish(&queue, "two").await;
    assert_eq!(take(&queue, &seat("m")).await.id.as_str(), "one");
    assert_eq!(take(&queue, &seat("m")).await.id.as_str(), "two");
}

#[tokio::test]
async fn what_is_wrong_with_sentinels_is_said() {
    let cluster = Cluster::start();
    let port = cluster.sentinels[0].port;
    let class = async |url: String| {
        let redis = Redis::new(RedisTarget::parse(&url).unwrap());
        let fault = redis.query::<String>(&redis::cmd("PING")).await.unwrap_err();
        (fault.class(), fault.to_string())
    };
    let (unknown, text) = class(format!("redis+sentinel://127.0.0.1:{port}/other")).await;
    assert_eq!(unknown, RedisClass::Config, "{text}");
    assert!(text.contains("knows no master `other`"), "{text}");
    let (none, text) = class(format!("redis+sentinel://127.0.0.1:{}/fleet", free_port())).await;
    assert_eq!(none, RedisClass::Unreachable, "{text}");
    let (no_sentinel, text) =
        class(format!("redis+sentinel://127.0.0.1:{}/fleet", cluster.master.port())).await;
    assert!(matches!(no_sentinel, RedisClass::Other | RedisClass::Foreign), "{text}");
}
