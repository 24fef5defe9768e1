//! `darkmux flow status`: where records go and whether all is well.

use clap::Args;

use crate::cli::printer::{BAD, GOOD, WARN};
use crate::cli::{Cx, Exit, Outcome};
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
    let status = flow::status(&cx.config()?.flow()?);
    if args.json {
        cx.printer.json(&status)?;
    } else {
        for line in lines(&status) {
            cx.printer.line(&line)?;
        }
    }
    Ok(if status.overall_state == State::Fail { Exit::Failed } else { Exit::Ok })
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
            "files    {} ({}, {} day files)",
            visible_line(&disk.flows_dir),
            human::bytes(disk.total_bytes),
            disk.day_files
        ),
    ];
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

fn advice(reason: &str, status: &Status) -> String {
    match reason {
        "flows_dir_absent" => "the first record makes the folder".to_owned(),
        "flows_dir_unreadable" => "check its owner and permissions".to_owned(),
        "audit_chain_unusable" => "see `darkmux flow integrity-check`".to_owned(),
        _ => status.schema.skew_reason.as_deref().map(visible_line).unwrap_or_default().into_owned(),
    }
}
