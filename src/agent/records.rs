//! The records that a run leaves in the flow, in the words of darkmux 1.9, and what the session's host is told.
//!
//! Invariant: neither a flow that is locked nor a host that hangs holds the work up: both are written to by a thread of
//! their own, and what it could not write is counted, whatever the reason.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::detect::Signal;
use super::model::{Answer, Call, Usage};
use crate::flow::Flow;
use crate::model::{Category, FlowRecord, Level, Stage, Tier};
use crate::session::AgentSide;
use crate::wire::SessionReport;

/// Records and reports that may wait.
const QUEUE: usize = 256;

/// How long the last of them may take at the end.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// Time between two signs of life of an answer.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Longest reasoning in a record, in characters; a line of the flow takes 64 KiB.
const REASONING_MAX: usize = 32 * 1024;

/// What stands in a record for reasoning that is not kept.
const REASONING_LEFT_OUT: &str = "[not kept; agent.record_reasoning keeps it]";

/// What the runtime is called in records.
const RUNTIME: &str = "agent";

/// Whom the records are about.
#[derive(Debug, Clone)]
pub struct About {
    /// The role.
    pub role: String,
    /// The session.
    pub session: String,
    /// The model.
    pub model: String,
    /// The job of the queue and its attempt.
    pub work: Option<(String, u32)>,
    /// Whether what the model thought stands in records: they are open to everybody on this machine.
    pub keeps_reasoning: bool,
}

/// Writes records, and tells the host what goes on.
#[derive(Debug)]
pub struct Records {
    about: About,
    queue: Option<SyncSender<Told>>,
    writer: Option<JoinHandle<()>>,
    /// Records so far, and how many of them were written.
    told: u64,
    written: Arc<AtomicU64>,
    turn: u64,
    tools: u64,
    beat: Option<(Instant, u64)>,
}

#[derive(Debug)]
enum Told {
    Record(Box<FlowRecord>),
    Report(SessionReport),
}

impl Records {
    /// For this run; without a flow or a socket those are not written to.
    pub fn new(about: About, flow: Option<Flow>, socket: Option<&Path>) -> Self {
        let (queue, told) = sync_channel(QUEUE);
        let host = socket.map(AgentSide::new);
        let writer = std::thread::Builder::new().name("records".to_owned());
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let writer = writer.spawn(move || write(&told, flow, host.as_ref(), &counter)).ok();
        Self { about, queue: Some(queue), writer, told: 0, written, turn: 0, tools: 0, beat: None }
    }

    /// Goes on from an earlier run's counts.
    pub fn go_on_from(&mut self, turns: u64, tools: u64) {
        (self.turn, self.tools) = (turns, tools);
    }

    /// How many are not in the flow, once the run is over.
    pub fn missing(&self) -> u64 {
        self.told.saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// What the session's host shows of it.
    pub fn report(&mut self, report: SessionReport) {
        self.tell(Told::Report(report));
    }

    /// An answer begins.
    pub fn turn_begins(&mut self) {
        self.turn += 1;
        self.beat = Some((Instant::now(), 0));
    }

    /// So many characters of it have come.
    pub fn turn_goes_on(&mut self, chars: usize) {
        let Some((last, index)) = self.beat.filter(|(last, _)| last.elapsed() >= HEARTBEAT) else { return };
        let _ = last;
        self.beat = Some((Instant::now(), index + 1));
        let payload = json!({
            "runtime": RUNTIME, "turn_seq": self.turn, "partial_index": index, "cumulative_chars": chars,
        });
        self.work("dispatch.turn.heartbeat", payload);
    }

    /// An answer came.
    pub fn turn(&mut self, answer: &Answer) {
        if !answer.reasoning.is_empty() {
            let text = if self.about.keeps_reasoning {
                bounded(&answer.reasoning)
            } else {
                REASONING_LEFT_OUT.to_owned()
            };
            let payload = json!({
                "turn_seq": self.turn,
                "reasoning_chars": answer.reasoning.chars().count(),
                "reasoning_text": text,
                "reasoning_format": answer.reasoning_format.unwrap_or("inline-think-tags"),
            });
            self.work("dispatch.reasoning", payload);
        }
        let usage = answer.usage.map(counted);
        let payload = json!({
            "turn_seq": self.turn,
            "finish_reason": answer.finish.as_str(),
            "tool_calls_count": answer.calls.len(),
            "usage": usage,
        });
        self.work("dispatch.turn", payload);
        if let Some(mut payload) = usage {
            payload["turn_seq"] = json!(self.turn);
            self.telemetry("telemetry.tokens", "tokens", payload);
        }
    }

    /// How full the window is.
    pub fn context(&mut self, used: u64, most: Option<u64>) {
        self.telemetry("telemetry.context", "context", json!({ "used": used, "max": most }));
    }

    /// A tool was called.
    pub fn tool(&mut self, call: &Call, ok: bool, result_chars: usize) {
        self.tools += 1;
        let name: String = call.name.chars().take(256).collect();
        let payload = json!({
            "tool_seq": self.tools,
            "tool_name": name,
            "args_chars": call.arguments.chars().count(),
            "result_chars": result_chars,
            "ok": ok,
        });
        self.work("dispatch.tool", payload);
    }

    /// The conversation was summed up.
    pub fn compaction(
        &mut self,
        generation: u64,
        messages: (usize, usize),
        tokens: (u64, u64),
        summary: usize,
    ) {
        let payload = json!({
            "generation": generation,
            "before_messages": messages.0,
            "after_messages": messages.1,
            "summary_chars": summary,
        });
        self.work("dispatch.compaction", payload);
        self.telemetry("telemetry.compaction", "compaction", json!({ "from": tokens.0, "to": tokens.1 }));
    }

    /// The model is stuck, and may have been told so.
    pub fn signals(&mut self, signals: &[Signal], told: bool) {
        for signal in signals {
            let severity = if signal.is_last { "error" } else { "warn" };
            let payload =
                json!({ "kind": signal.kind.as_str(), "severity": severity, "detail": signal.detail });
            self.telemetry("telemetry.detector", "detector", payload);
        }
        if told && !signals.is_empty() {
            let kinds: Vec<&str> = signals.iter().map(|signal| signal.kind.as_str()).collect();
            let payload = json!({ "turn_seq": self.turn, "message_count": 1, "signal_kinds": kinds });
            self.work("dispatch.feedback.injected", payload);
        }
    }

    /// The run is over. Waits until all is written, for a moment.
    pub fn end(&mut self, turns: u64) {
        self.telemetry("telemetry.runtime", "runtime", json!({ "turns": turns }));
        drop(self.queue.take());
        let Some(writer) = self.writer.take() else { return };
        let deadline = std::time::Instant::now() + END_PATIENCE;
        while !writer.is_finished() && std::time::Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn work(&mut self, action: &str, payload: Value) {
        self.record((Category::Work, "crew_dispatch"), action, payload);
    }

    fn telemetry(&mut self, action: &str, source: &str, payload: Value) {
        self.record((Category::Telemetry, source), action, payload);
    }

    fn record(&mut self, (category, source): (Category, &str), action: &str, payload: Value) {
        let class = (Level::Info, category, Tier::Local, Stage::Dispatch);
        let mut record = FlowRecord::new(class, action, &self.about.role);
        record.session_id = Some(self.about.session.clone());
        record.source = Some(source.to_owned());
        record.model = Some(self.about.model.clone());
        (record.work_id, record.attempt) = self.about.work.clone().unzip();
        record.payload = Some(payload);
        self.told += 1;
        self.tell(Told::Record(Box::new(record)));
    }

    fn tell(&self, told: Told) {
        // What finds no room is missing.
        let _ = self.queue.as_ref().map(|queue| queue.try_send(told));
    }
}

/// Reasoning as it stands in a record.
fn bounded(reasoning: &str) -> String {
    let mut text: String = reasoning.chars().take(REASONING_MAX).collect();
    if text.len() < reasoning.len() {
        text.push_str("… [truncated]");
    }
    text
}

fn counted(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total(),
    })
}

/// Writes what is told until nobody tells anything more.
fn write(told: &Receiver<Told>, mut flow: Option<Flow>, host: Option<&AgentSide>, written: &AtomicU64) {
    let mut failed = false;
    while let Ok(one) = told.recv() {
        match one {
            Told::Record(record) => {
                let kept = flow.as_mut().map_or(Ok(()), |flow| flow.append(*record).map(|_| ()));
                match kept {
                    Ok(()) => _ = written.fetch_add(1, Ordering::Relaxed),
                    Err(_) if failed => {}
                    Err(error) => {
                        failed = true;
                        tracing::warn!(%error, "records of the agent are not kept");
                    }
                }
            }
            Told::Report(report) => {
                // The next report says it again.
                let _ = host.map(|host| host.put("/status", &report));
            }
        }
    }
}
