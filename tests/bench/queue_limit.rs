//! Limits of the queue: a stream with a consumer group, read and acknowledged over a bare socket.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::broker::{Broker, Reply, Wire};

const STREAM: &[u8] = b"limit:work";
const GROUP: &[u8] = b"g";

/// Fills the backlog with this many small jobs.
pub fn fill(broker: &Broker, jobs: usize) {
    let mut wire = broker.wire();
    for batch in 0..jobs.div_ceil(64) {
        let count = 64.min(jobs - batch * 64);
        for job in 0..count {
            publish(&mut wire, &(batch * 64 + job).to_string());
        }
        wire.flush();
        for _ in 0..count {
            wire.reply();
        }
    }
}

/// Puts one job.
pub fn publish(wire: &mut Wire, payload: &str) {
    wire.put(&[b"XADD", STREAM, b"*", b"p", payload.as_bytes()]);
}

/// Makes the stream and its group.
pub fn prepare(broker: &Broker) {
    broker.wire().ask(&[b"XGROUP", b"CREATE", STREAM, GROUP, b"0", b"MKSTREAM"]);
}

/// Takes and acknowledges jobs until `left` more were taken by all: the acknowledgement goes out in one write with
/// the next read, one round trip a job.
pub fn drain(broker: &Broker, name: &str, left: &AtomicU64) {
    let mut worker = Worker { wire: broker.wire(), name: name.to_owned(), acks: 0 };
    while left.load(Ordering::Relaxed) > 0 {
        if let Some((entry, _)) = worker.take("1") {
            left.fetch_sub(1, Ordering::Relaxed);
            worker.done(&entry);
        }
    }
    worker.settle();
}

/// Starts `program` with `args` and the job's payload for each job, and waits for its end, until told to stop.
pub fn run_programs(broker: &Broker, program: &Path, args: &[&Path], stop: &AtomicBool) {
    let mut worker = Worker { wire: broker.wire(), name: "exec".to_owned(), acks: 0 };
    while !stop.load(Ordering::Relaxed) {
        if let Some((entry, payload)) = worker.take("50") {
            Command::new(program).args(args).arg(payload).status().expect("the job starts");
            worker.done(&entry);
        }
    }
    worker.settle();
}

struct Worker {
    wire: Wire,
    name: String,
    acks: usize,
}

impl Worker {
    fn take(&mut self, block_ms: &str) -> Option<(Vec<u8>, String)> {
        let words: &[&[u8]] =
            &[b"XREADGROUP", b"GROUP", GROUP, self.name.as_bytes(), b"COUNT", b"1", b"BLOCK"];
        let rest: &[&[u8]] = &[block_ms.as_bytes(), b"STREAMS", STREAM, b">"];
        self.wire.put(&[words, rest].concat());
        self.settle();
        entry(self.wire.reply())
    }

    fn done(&mut self, entry: &[u8]) {
        self.wire.put(&[b"XACK", STREAM, GROUP, entry]);
        self.acks += 1;
    }

    /// Sends what waits and takes the replies of acknowledgements.
    fn settle(&mut self) {
        self.wire.flush();
        while self.acks > 0 {
            self.wire.reply();
            self.acks -= 1;
        }
    }
}

/// Entry and payload of a reply with one of each.
fn entry(reply: Reply) -> Option<(Vec<u8>, String)> {
    let last = |reply| match reply {
        Reply::Many(mut parts) => parts.pop(),
        _ => None,
    };
    let entries = last(last(reply)?)?;
    let Reply::Many(mut parts) = last(entries)? else { return None };
    let payload = last(parts.pop()?)?;
    match (parts.pop()?, payload) {
        (Reply::Text(entry), Reply::Text(payload)) => Some((entry, String::from_utf8(payload).ok()?)),
        _ => None,
    }
}
