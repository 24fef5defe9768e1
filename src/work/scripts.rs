//! The scripts, each with its shared head. All of them run in one step and may be sent twice.

use redis::Script;

/// Ahead of each. All that stands here is made anew each time a script runs.
const HEAD: &str = include_str!("scripts/lib.lua");

/// Ahead of all but those that run for each job.
const OTHERS: &str = include_str!("scripts/others.lua");

/// Ahead of those, besides, that put jobs into lanes or tell runners of something.
const QUEUEING: &str = include_str!("scripts/queueing.lua");

/// Those that one script runs both of.
const FINISH: &str = include_str!("scripts/finish.lua");
const CLAIM: &str = include_str!("scripts/claim.lua");
const TURN: &str = include_str!("scripts/turn.lua");

/// What runs also when Redis is at its `maxmemory`: running jobs must be able to end.
const EVEN_FULL: &str = "#!lua flags=allow-oom\n";

/// What is refused then, before it wrote anything.
const IF_ROOM: &str = "#!lua\n";

/// What writes nothing, and is answered also when Redis takes no writes.
const READS: &str = "#!lua flags=no-writes\n";

/// Every script of the queue.
#[derive(Debug)]
pub struct Scripts {
    pub publish: Script,
    pub claim: Script,
    pub adopt: Script,
    pub reject: Script,
    pub refuse: Script,
    pub beat: Script,
    pub finish: Script,
    pub turn: Script,
    pub decline: Script,
    pub offer: Script,
    pub reconcile: Script,
    pub settle: Script,
    pub park: Script,
    pub reassert: Script,
    pub resume: Script,
    pub cancel: Script,
    pub retry: Script,
    pub epoch: Script,
    pub lead: Script,
    pub lost: Script,
    pub list: Script,
    pub newest: Script,
    pub stray: Script,
    pub sweep: Script,
    pub outlive: Script,
    pub watch: Script,
    pub checkpoint: Script,
}

impl Scripts {
    pub fn new() -> Self {
        let script = |flags: &str, body: &str| crate::store::script(&format!("{flags}{HEAD}{body}"));
        let of_each_job = |body: &str| script(EVEN_FULL, body);
        let other = |flags: &str, body: &str| script(flags, &format!("{OTHERS}{body}"));
        let even_full = |body: &str| other(EVEN_FULL, body);
        let queueing = |flags: &str, body: &str| other(flags, &format!("{QUEUEING}{body}"));
        Self {
            publish: queueing(IF_ROOM, include_str!("scripts/publish.lua")),
            claim: of_each_job(CLAIM),
            adopt: even_full(include_str!("scripts/adopt.lua")),
            reject: even_full(include_str!("scripts/reject.lua")),
            refuse: even_full(include_str!("scripts/refuse.lua")),
            beat: of_each_job(include_str!("scripts/beat.lua")),
            finish: of_each_job(FINISH),
            turn: of_each_job(&format!(
                "local function finish(ARGV)\n{FINISH}end\nlocal function claim(ARGV)\n{CLAIM}end\n{TURN}"
            )),
            decline: queueing(EVEN_FULL, include_str!("scripts/decline.lua")),
            offer: queueing(EVEN_FULL, include_str!("scripts/offer.lua")),
            reconcile: queueing(EVEN_FULL, include_str!("scripts/reconcile.lua")),
            park: even_full(include_str!("scripts/park.lua")),
            settle: queueing(EVEN_FULL, include_str!("scripts/settle.lua")),
            reassert: even_full(include_str!("scripts/reassert.lua")),
            resume: even_full(include_str!("scripts/resume.lua")),
            cancel: queueing(EVEN_FULL, include_str!("scripts/cancel.lua")),
            retry: queueing(IF_ROOM, include_str!("scripts/retry.lua")),
            epoch: queueing(EVEN_FULL, include_str!("scripts/epoch.lua")),
            lead: even_full(include_str!("scripts/lead.lua")),
            lost: queueing(EVEN_FULL, include_str!("scripts/lost.lua")),
            list: script(READS, include_str!("scripts/list.lua")),
            newest: script(READS, include_str!("scripts/newest.lua")),
            stray: even_full(include_str!("scripts/stray.lua")),
            sweep: even_full(include_str!("scripts/sweep.lua")),
            outlive: even_full(include_str!("scripts/outlive.lua")),
            watch: other(IF_ROOM, include_str!("scripts/watch.lua")),
            checkpoint: script(IF_ROOM, include_str!("scripts/checkpoint.lua")),
        }
    }
}
