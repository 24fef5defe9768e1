//! `darkmux flow status`: where records go and whether all is well.

use clap::Args;

use crate::cli::Failure;
use crate::cli::printer::{BAD, GOOD, WARN};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::client::Client;
use crate::flow::shared::{RedisStatus, SharedFlow, probe};
use crate::flow::ship::{ShipStatus, unshipped};
use crate::flow::{self, State, Status};
use crate::util::{human, visible_line};

/// Show where records go and whether all is well.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb. A flow that loses records ends with 1.
pub fn run(args: &StatusArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let status = flow::status(&config.flow()?);
    let status = match SharedFlow::of(config)? {
        None => status,
        Some(shared) => fleet(status, &shared, cx)?,
    };
    if args.json {
        cx.printer.json(&status)?;
    } else {
        for line in lines(&status) {
            cx.printer.line(&line)?;
        }
    }
    Ok(if status.overall_state == State::Fail { Exit::Failed } else { Exit::Ok })
}

/// Adds how the fleet's flow is doing, as Redis says and as the daemon that ships says.
fn fleet(status: Status, shared: &SharedFlow, cx: &Cx) -> Result<Status, Failure> {
    let config = cx.config()?;
    let dir = config.flows_dir();
    let mut made = None;
    block_on(async {
        let asked = async { Client::connect(&config.paths).ok()?.shipper().await.ok().flatten() };
        let (redis, shipper) = tokio::join!(probe(shared, &cx.clock), asked);
        let shipper = shipper.unwrap_or_else(|| unshipped(&dir, redis.mark.as_deref()));
        made = Some((redis, shipper));
        Ok(Exit::Ok)
    })?;
    Ok(match made {
        Some((redis, shipper)) => status.with_fleet(redis, shipper),
        None => status,
    })
}

fn lines(status: &Status) -> Vec<String> {
    let style = match status.overall_state {
        State::Ok => GOOD,
        State::Warn => WARN,
        State::Fail => BAD,
    };
    let disk = &status.disk;
    let mut lines = vec![
        format!("state    {style}{}{style:#}", status.overall_state.as_str()),
        format!("sinks    {}", status.sinks.composition),
        format!(
            "files    {} ({}, {})",
            visible_line(&disk.flows_dir),
            human::bytes(disk.total_bytes),
            human::count(disk.day_files, "day file")
        ),
    ];
    lines.extend(status.redis.as_ref().map(redis));
    lines.extend(status.shipper.as_ref().map(shipper));
    if let Some(audit) = &status.audit {
        let end = match (&audit.error, &audit.head) {
            (Some(error), _) => visible_line(error).into_owned(),
            (None, Some(head)) => {
                format!("{} to {}, {} records that day", head.first_day, head.day, head.count)
            }
            (None, None) => "no record yet".to_owned(),
        };
        lines.push(format!("audit    {} ({end})", visible_line(&audit.dir)));
    }
    lines.push(format!("schema   {}", status.schema.writer_version));
    let reasons = status.fail_reasons.iter().chain(&status.warn_reasons);
    lines.extend(
        reasons.map(|reason| format!("         {style}{reason}{style:#}: {}", advice(reason, status))),
    );
    lines
}

fn redis(redis: &RedisStatus) -> String {
    let url = visible_line(&redis.url);
    match (&redis.reachability_error, redis.xlen) {
        // The error names the server.
        (Some(error), _) => format!("redis    {}", visible_line(error)),
        (None, records) => {
            let most =
                redis.max_len.map_or("all are kept".to_owned(), |most| format!("about {most} are kept"));
            let stream = visible_line(&redis.stream);
            format!("redis    {url} ({stream}: {} records, {most})", records.unwrap_or(0))
        }
    }
}

fn shipper(shipper: &ShipStatus) -> String {
    let state = match (&shipper.error, shipper.lag_bytes) {
        _ if !shipper.running && shipper.lag_bytes > 0 => {
            format!("no daemon runs: {} stay here until one does", human::bytes(shipper.lag_bytes))
        }
        _ if !shipper.running => "no daemon runs; everything is shipped".to_owned(),
        (Some(error), lag) => format!("{} wait: {}", human::bytes(lag), visible_line(&error.message)),
        (None, 0) => "everything is shipped".to_owned(),
        (None, lag) if shipper.backfilling => format!("back-filling, {} to go", human::bytes(lag)),
        (None, lag) => format!("{} to go", human::bytes(lag)),
    };
    format!("shipper  {state}")
}

fn advice(reason: &str, status: &Status) -> String {
    match reason {
        "flows_dir_absent" => "the first record makes the folder".to_owned(),
        "flows_dir_unreadable" => "check its owner and permissions".to_owned(),
        "redis_unreachable" => "records stay in the files of this machine and are shipped later".to_owned(),
        "redis_stream_near_maxlen" => {
            "less than a day is kept in Redis; raise redis.maxlen on every machine".to_owned()
        }
        "records_wait_for_a_daemon" => "start `darkmux serve`, which ships them".to_owned(),
        "records_are_not_shipped" => "see the line `shipper`".to_owned(),
        "audit_chain_unusable" => "see `darkmux flow integrity-check`".to_owned(),
        _ => status.schema.skew_reason.as_deref().map(visible_line).unwrap_or_default().into_owned(),
    }
}
