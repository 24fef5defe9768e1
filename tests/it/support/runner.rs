//! A runner in miniature: claims jobs, runs their message with `sh`, puts the output into Redis as a terminal
//! would write it, and tells the result. Everything it asks of Redis is asked again until it is answered.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use darkmux::model::MachineId;
use darkmux::wire::{JobResult, MachineBeat, RunnerBeat, Slots};
use darkmux::work::{Beat, Claim, Finish, JobLog, Offer, Outcome, Queue, Seat};
use tokio::io::AsyncReadExt;

use super::queue::{queue, seat};

/// How often it looks.
const TICK: Duration = Duration::from_millis(30);

/// Output of a job that is kept in Redis.
const LOG_BYTES: u64 = 200_000;

/// Claims and runs until it is dropped; then it is gone without a word, as after `kill -9`.
pub struct Runner {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Runner {
    /// A runner on the machine of this name.
    pub fn start(url: &str, machine: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (end, url, seat) = (over.clone(), url.to_owned(), seat(machine));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let work = Work { queue: queue(&url), seat, end: end.clone() };
                tokio::select! {
                    () = work.forever() => {}
                    () = over_is_set(&end) => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn over_is_set(over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        tokio::time::sleep(TICK).await;
    }
}

struct Work {
    queue: Queue,
    seat: Seat,
    end: Arc<AtomicBool>,
}

impl Work {
    async fn forever(&self) {
        let mut nonce = (uuid::Uuid::new_v4().simple().to_string(), false);
        while !self.end.load(Ordering::SeqCst) {
            let offer = async {
                let lanes = self.queue.lanes().await?;
                let mine = lanes.into_iter().filter(|(_, lane)| {
                    lane.admits(self.seat.machine.as_str(), &self.seat.consumer, |_| Ok(())).is_ok()
                });
                let streams: Vec<String> = mine.map(|(stream, _)| stream).collect();
                self.queue.claim(&self.seat, &streams, &nonce.0, nonce.1).await
            };
            match offer.await {
                Ok(Offer::Job(claim)) => {
                    self.run(*claim).await;
                    nonce = (uuid::Uuid::new_v4().simple().to_string(), false);
                }
                Ok(_) => nonce.1 = false,
                Err(_) => nonce.1 = true,
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn run(&self, claim: Claim) {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &claim.job.message]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = shell.spawn().expect("sh runs");
        let mut pipe = child.stdout.take().expect("its output");
        let (mut all, mut told, mut cancelled) = (Vec::new(), 0, false);
        let mut log = self.open(&claim).await;
        let mut buffer = vec![0; 8192];
        let mut beat = tokio::time::interval(self.queue.config().beat);
        loop {
            tokio::select! {
                read = pipe.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        // What a terminal makes of newlines.
                        let text = buffer[..count].iter();
                        all.extend(text.flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) }));
                        self.tell(&claim, &mut log, &all, &mut told).await;
                    }
                },
                _ = beat.tick() => match self.queue.beat(&claim.id, &claim.token).await {
                    Ok(Beat::Cancel(_)) => {
                        cancelled = true;
                        let _ = child.kill().await;
                    }
                    Ok(Beat::Lost) => return,
                    Ok(Beat::Forgotten) => {
                        let _ = self.queue.resume(&self.seat, (&claim.job, &claim.spec), &claim.token).await;
                        told = 0;
                        log = self.open(&claim).await;
                        self.tell(&claim, &mut log, &all, &mut told).await;
                    }
                    Ok(Beat::Held) | Err(_) => {}
                },
            }
        }
        let status = child.wait().await.expect("a status");
        let code = status.code().unwrap_or(143);
        self.tell(&claim, &mut log, &all, &mut told).await;
        self.finish(&claim, (code, cancelled), all.len() as u64).await;
    }

    async fn open(&self, claim: &Claim) -> JobLog {
        loop {
            if let Ok(log) = JobLog::open(&self.queue, &claim.id, claim.attempt, LOG_BYTES).await {
                return log;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Tells what was not told yet; after a failure it looks where Redis is and goes on there.
    async fn tell(&self, claim: &Claim, log: &mut JobLog, all: &[u8], told: &mut usize) {
        while *told < all.len() {
            match log.append(*told as u64, &all[*told..]).await {
                Ok(()) => *told = all.len(),
                Err(_) => {
                    tokio::time::sleep(TICK).await;
                    *log = self.open(claim).await;
                    *told = usize::try_from(log.end()).expect("a size");
                }
            }
        }
    }

    async fn finish(&self, claim: &Claim, (code, cancelled): (i32, bool), output_bytes: u64) {
        let outcome = match (cancelled, code) {
            (true, _) => Outcome::Cancelled,
            (false, 0) => Outcome::Done,
            (false, _) => Outcome::Failed,
        };
        let result = JobResult {
            schema: 1,
            machine: Some(self.seat.machine.clone()),
            attempt: claim.attempt,
            exit_code: Some(code),
            output_bytes,
            ..JobResult::default()
        };
        loop {
            let told =
                self.queue.finish(&claim.id, &claim.token, outcome, (&result, claim.spec.retries)).await;
            match told {
                Ok(Finish::Forgotten) => {
                    let again = (&claim.job, &claim.spec);
                    if self.queue.reassert(again, &claim.token, outcome, &result).await.is_ok() {
                        return;
                    }
                }
                Ok(_) => return,
                Err(_) => {}
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

/// A sign of life of a machine with a runner, as its daemon would write it, for an hour.
pub fn alive(server: &super::RedisServer, machine: &str, change: impl FnOnce(&mut MachineBeat)) {
    let mut beat = MachineBeat {
        machine_uid: format!("uid-{machine}"),
        display_name: machine.to_owned(),
        schema_version: "1.14.0".to_owned(),
        beat_ts_ms: 1,
        machine_id: MachineId::new(machine).ok().map(|id| id.to_string()),
        darkmux_version: Some("0.1.0".to_owned()),
        os: Some("linux".to_owned()),
        slots: Some(Slots { total: 2, busy: 0 }),
        runner: Some(RunnerBeat { enabled: true, draining: false }),
        accept: vec!["*".to_owned()],
        roles: vec!["shell".to_owned(), "faraway".to_owned()],
        ..MachineBeat::default()
    };
    change(&mut beat);
    let text = serde_json::to_string(&beat).expect("JSON");
    server.cli(&["SET", &format!("darkmux:presence:{}", beat.machine_uid), &text, "EX", "3600"]);
}
