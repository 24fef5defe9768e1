//! darkmux 1.9 on the same queue: jobs that it published, and jobs of ours that its runners took.

use std::time::Duration;

use redis::streams::StreamRangeReply;
use serde_json::Value;

use super::queue::Queue;
use super::{Foreign, WorkError};
use crate::model::{JobState, OnLoss, SessionId};
use crate::util::clock::whole_ms;
use crate::wire::{JOB_SCHEMA, JobResult, JobSpec, Lane, WORK_SCHEMA, WorkJob};

/// Records looked through for the end of a job that a 1.9 runner has.
const LOOK_BACK: usize = 2000;

/// After this time nobody starts a job any more, if it is published, adopted or tried again now.
pub const NOT_AFTER: Duration = Duration::from_hours(7 * 24);

/// A job made of an entry that darkmux 1.9 published, or why it is none; `now_ms` is what time Redis has.
pub fn adopted_spec(foreign: &Foreign, now_ms: u64) -> Result<(WorkJob, JobSpec), String> {
    let field = |name: &str| foreign.fields.get(name).map(Vec::as_slice);
    match field("schema") {
        None => {}
        Some(schema) if schema == WORK_SCHEMA.as_bytes() => {}
        Some(schema) => {
            let schema = String::from_utf8_lossy(&schema[..schema.len().min(20)]).into_owned();
            return Err(format!("it is of version `{schema}`, and this machine knows {WORK_SCHEMA}"));
        }
    }
    let job = WorkJob::parse(field("record").ok_or("it has no record")?)?;
    let spec = JobSpec {
        schema: JOB_SCHEMA,
        id: session_id(&job.session_id)?,
        name: None,
        lane: Lane::default(),
        first: Vec::new(),
        prefer: Vec::new(),
        timeout_ms: Some(u64::from(job.timeout_seconds) * 1000),
        retries: 0,
        on_loss: OnLoss::Stop,
        delay_ms: 0,
        key: None,
        not_after_ms: now_ms.saturating_add(whole_ms(NOT_AFTER)),
        published_by: job.published_by_machine.as_deref().and_then(|name| name.parse().ok()),
        legacy_session: Some(job.session_id.clone()),
        workspace: None,
    };
    Ok((job, spec))
}

/// 1.9 takes any text as a session's id; ours name files.
fn session_id(text: &str) -> Result<SessionId, String> {
    if let Ok(id) = SessionId::new(text) {
        return Ok(id);
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    SessionId::new(format!("job-{}", &hash[..20])).map_err(|error| error.to_string())
}

impl Queue {
    /// How a job ended that a 1.9 runner took, from the newest records of the flow; `None` while nothing says.
    pub async fn legacy_end(
        &self,
        flow_stream: &str,
        session: &str,
    ) -> Result<Option<(JobState, JobResult)>, WorkError> {
        let records = self.newest_records(flow_stream, "-").await?;
        let end = records.into_iter().find(|record| {
            record["session_id"] == session
                && matches!(
                    record["action"].as_str(),
                    Some("dispatch complete" | "dispatch.complete" | "dispatch error" | "dispatch.error")
                )
        });
        Ok(end.map(|record| verdict(&record)))
    }

    /// Whether one of the newest records of the flow is of this machine and not older than `within` milliseconds.
    pub(super) async fn legacy_heard(
        &self,
        flow_stream: &str,
        machine: &str,
        within: u64,
    ) -> Result<bool, WorkError> {
        let (seconds, _): (u64, u64) = self.redis.query(&redis::cmd("TIME")).await?;
        let since = seconds.saturating_mul(1000).saturating_sub(within).to_string();
        let records = self.newest_records(flow_stream, &since).await?;
        Ok(records.iter().any(|record| record["machine_id"] == machine))
    }

    /// The newest records of the flow from this entry on, newest first, as far as one look goes.
    async fn newest_records(&self, flow_stream: &str, from: &str) -> Result<Vec<Value>, WorkError> {
        let mut range = redis::cmd("XREVRANGE");
        range.arg(flow_stream).arg("+").arg(from).arg("COUNT").arg(LOOK_BACK);
        let reply: StreamRangeReply = self.redis.query(&range).await?;
        let record = |entry: &redis::streams::StreamId| match entry.map.get("record") {
            Some(redis::Value::BulkString(bytes)) => serde_json::from_slice::<Value>(bytes).ok(),
            _ => None,
        };
        Ok(reply.ids.iter().filter_map(record).collect())
    }

    /// How long a job of ours may run on a 1.9 runner, which reads its record alone. `None` when nobody can say.
    pub(super) async fn timeout_ms(&self, id: &SessionId) -> Result<Option<u64>, WorkError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(format!("darkmux:job:{id}")).arg("record");
        let record: Option<Vec<u8>> = self.redis.query(&ask).await?;
        let job = record.and_then(|record| WorkJob::parse(&record).ok());
        Ok(job.map(|job| u64::from(job.timeout_seconds) * 1000))
    }

    /// Ends a job that waits in its lane: a 1.9 runner took it, or nobody can run it.
    pub async fn end_queued(
        &self,
        id: &SessionId,
        state: JobState,
        result: &JobResult,
        why: &str,
    ) -> Result<bool, WorkError> {
        let ttl = if state == JobState::Dead { self.config.dead_ttl } else { self.config.result_ttl };
        let mut call = self.scripts.settle.prepare_invoke();
        call.arg(id.as_str()).arg(state.as_str()).arg(super::claim::json(result)?);
        call.arg(ttl.as_secs()).arg(why);
        let answer = self.send_until_answered(&call).await?;
        Ok(answer.first().is_some_and(|word| word == "ok"))
    }
}

fn verdict(record: &Value) -> (JobState, JobResult) {
    let payload = &record["payload"];
    let good = payload["result_class"]
        .as_str()
        .map_or(record["action"] == "dispatch complete", |class| class == "ok");
    let exit_code = payload["exit_code"].as_i64().and_then(|code| i32::try_from(code).ok());
    let result = JobResult {
        schema: JOB_SCHEMA,
        machine: record["machine_id"].as_str().and_then(|name| name.parse().ok()),
        attempt: 1,
        exit_code: Some(exit_code.unwrap_or(i32::from(!good))),
        error: payload["error"].as_str().map(|text| text.chars().take(500).collect()),
        ended_at: record["ts"].as_str().map(str::to_owned),
        wall_ms: payload["wall_ms"].as_u64(),
        output_bytes: payload["stdout_chars"].as_u64().unwrap_or(0),
        ..JobResult::default()
    };
    (if good { JobState::Done } else { JobState::Failed }, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(fields: &[(&str, &str)]) -> Foreign {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Foreign { stream: "darkmux:work".into(), entry: "1-1".into(), fields: fields.collect() }
    }

    #[test]
    fn a_job_of_1_9_becomes_one_of_ours() {
        let record = r#"{"role_id":"coder","message":"m","session_id":"Mission 1/x","timeout_seconds":9,"published_at_unix_ms":0,"published_by_machine":"laptop","attempt":1}"#;
        let (job, spec) = adopted_spec(&foreign(&[("schema", "3"), ("record", record)]), 1).unwrap();
        assert_eq!((job.message.as_str(), spec.timeout_ms), ("m", Some(9000)));
        assert_eq!(spec.legacy_session.as_deref(), Some("Mission 1/x"));
        assert!(spec.id.as_str().starts_with("job-"));
        for (fields, word) in [
            (vec![("schema", "3")], "record"),
            (vec![("schema", "99"), ("record", record)], "version"),
            (vec![("record", "{")], "no job"),
        ] {
            let why = adopted_spec(&foreign(&fields), 1).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn the_end_that_1_9_recorded_is_read() {
        let record = serde_json::json!({"action": "dispatch complete", "machine_id": "studio",
            "payload": {"exit_code": 3, "result_class": "error", "wall_ms": 5}});
        let (state, result) = verdict(&record);
        assert_eq!((state, result.exit_code, result.wall_ms), (JobState::Failed, Some(3), Some(5)));
        assert_eq!(verdict(&serde_json::json!({"action": "dispatch complete"})).0, JobState::Done);
    }
}
