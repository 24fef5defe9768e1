//! Queued jobs that no machine of the fleet can run as it is: they are marked with every machine's reason, until
//! the fleet changes. A role that nobody knows is no job for anybody: such a job ends as a dead letter. What machines
//! gave back they are offered again, ever more rarely: a disk was full, and is not any more.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use super::Runner;
use super::transitions::Transition;
use crate::fleet::{Facts, Presence, PresenceReader, meets};
use crate::model::{JobState, Level, Requirement, SessionId};
use crate::wire::{JOB_SCHEMA, JobResult, Lane, MachineBeat};
use crate::work::{JobView, Seat, WorkError};

/// What the reason of a machine begins with that does not know the role.
pub const UNKNOWN_ROLE: &str = "unknown role";

/// Jobs that are marked at a time.
const AT_ONCE: usize = 32;

/// Longest list of reasons, in characters.
const WHY_MAX: usize = 2000;

/// Since when no machine knew the role of these jobs. One that does may only be starting again.
pub type Unknown = HashMap<SessionId, Instant>;

/// Looks at the jobs that wait in lanes which not everybody reads.
pub async fn look(
    runner: &Runner,
    reader: &PresenceReader,
    waiting: &[(SessionId, String)],
    unknown: &mut Unknown,
) -> Result<(), WorkError> {
    unknown.retain(|id, _| waiting.iter().any(|(waits, _)| waits == id));
    if waiting.is_empty() {
        return Ok(());
    }
    let presence = reader.machines().await?;
    let lanes: BTreeMap<String, Lane> = runner.queue.lanes().await?.into_iter().collect();
    let why =
        |(id, stream): &(SessionId, String)| Some((id.clone(), why_nobody(lanes.get(stream)?, &presence)));
    let whys: Vec<(SessionId, Option<String>)> = waiting.iter().filter_map(why).collect();
    let stuck: Vec<SessionId> =
        whys.iter().filter(|(_, why)| why.is_some()).map(|(id, _)| id.clone()).collect();
    let jobs = runner.queue.jobs_of(&stuck).await?;
    let jobs: HashMap<&SessionId, &JobView> = jobs.iter().map(|job| (&job.id, job)).collect();
    let mut marks = Vec::new();
    for (id, why) in &whys {
        let is_unknown = jobs.get(id).is_some_and(|job| nobody_knows_the_role(job, &presence));
        if let (Some(why), true) = (why, is_unknown) {
            let since = *unknown.entry(id.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= runner.queue.config().lease {
                bury(runner, id, why).await?;
                continue;
            }
        } else {
            unknown.remove(id);
        }
        marks.push((id, why.as_deref()));
    }
    let marking: Vec<_> = marks.iter().map(|(id, why)| runner.queue.park(id, *why)).collect();
    let news: Vec<bool> = stream::iter(marking).buffered(AT_ONCE).try_collect().await?;
    for ((id, why), _) in marks.into_iter().zip(news).filter(|(_, is_news)| *is_news) {
        let (action, level) =
            if why.is_some() { ("job.parked", Level::Warn) } else { ("job.unparked", Level::Info) };
        tell(runner, id, (action, level), why).await;
    }
    offer_again(runner, waiting, &lanes).await
}

/// Offers jobs to those that gave them back a while ago.
async fn offer_again(
    runner: &Runner,
    waiting: &[(SessionId, String)],
    lanes: &BTreeMap<String, Lane>,
) -> Result<(), WorkError> {
    let again = |(id, stream): &(SessionId, String)| Some((id.clone(), lanes.get(stream)?.offered_again()?));
    let jobs: Vec<(SessionId, Lane)> = waiting.iter().filter_map(again).collect();
    let asked = jobs.iter().map(|(id, lane)| runner.queue.offer_again(id, lane, false));
    let offered: Vec<bool> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
    for ((id, _), _) in jobs.iter().zip(offered).filter(|(_, offered)| *offered) {
        tell(runner, id, ("job.offered", Level::Info), None).await;
    }
    Ok(())
}

/// Every machine's reason; `None` when one can run it, or when there is none to ask.
fn why_nobody(lane: &Lane, presence: &Presence) -> Option<String> {
    let mut reasons = Vec::new();
    for beat in runners(presence) {
        reasons.push(format!("{}: {}", beat.name(), why_not(lane, beat)?));
    }
    (!reasons.is_empty()).then(|| reasons.join("; ").chars().take(WHY_MAX).collect())
}

/// The machines that claim jobs.
fn runners(presence: &Presence) -> impl Iterator<Item = &MachineBeat> {
    let beats = presence.machines.iter().map(|seen| &seen.beat);
    beats.filter(|beat| beat.runner.is_some_and(|runner| runner.enabled))
}

fn why_not(lane: &Lane, beat: &MachineBeat) -> Option<String> {
    let facts = Facts::of_beat(beat)?;
    let seat = Seat::of_boot(facts.machine_id.clone(), beat.boot.as_deref().unwrap_or_default());
    let met = |text: &str| {
        let requirement: Requirement = text.parse().map_err(|error| format!("{error}"))?;
        meets(&facts, &requirement)
    };
    lane.admits(seat.machine.as_str(), &seat.consumer, met).err()
}

fn nobody_knows_the_role(job: &JobView, presence: &Presence) -> bool {
    let unknown =
        |beat: &MachineBeat| job.declined.get(beat.name()).is_some_and(|why| why.starts_with(UNKNOWN_ROLE));
    let mut machines = runners(presence).peekable();
    job.state == JobState::Queued && machines.peek().is_some() && machines.all(unknown)
}

async fn bury(runner: &Runner, id: &SessionId, why: &str) -> Result<(), WorkError> {
    let why = format!("no machine of the fleet knows its role ({why})");
    let result = JobResult {
        schema: JOB_SCHEMA,
        exit_code: Some(127),
        error: Some(why.clone()),
        ..JobResult::default()
    };
    let spec = runner.queue.job(id).await?.and_then(|job| job.spec);
    if runner.queue.end_queued(id, JobState::Dead, &result, &why).await? {
        if let Some(session) = spec.and_then(|spec| spec.legacy_session) {
            runner.transitions.tell_1_9((&session, ""), 127, None).await;
        }
        tell(runner, id, ("job.dead", Level::Error), Some(&why)).await;
    }
    Ok(())
}

async fn tell(runner: &Runner, id: &SessionId, (action, level): (&'static str, Level), why: Option<&str>) {
    let payload = why.map(|why| json!({ "why": why })).unwrap_or_default();
    runner.transitions.tell(Transition { action, level, id, role: None, attempt: None, payload }).await;
}
