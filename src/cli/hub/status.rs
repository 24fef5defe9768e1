//! `darkmux hub status`.

use clap::Args;
use serde_json::json;

use crate::cli::printer::{BOLD, DIM};
use crate::cli::service::failure;
use crate::cli::{Cx, Exit, Failure, Outcome, block_on};
use crate::fleet::ServerReport;
use crate::service::hub::{self, HubFiles};
use crate::service::{Kind, LIMIT, Services};
use crate::store::Redis;
use crate::util::{human, visible_line};

/// Show the Redis that this machine keeps.
///
/// Ends with 0 when it answers, with 3 when it does not, and with 1 where this machine keeps none.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON, without passwords
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &StatusArgs, cx: &Cx) -> Outcome {
    let config = cx.config()?;
    let files = HubFiles::new(&config.paths);
    let Some(hub) = files.read().map_err(failure)? else {
        if args.json {
            cx.printer.json(&json!({ "schema": 1, "is_hub": false }))?;
            return Ok(Exit::Failed);
        }
        return Err(Failure::new(
            Exit::Failed,
            "this machine keeps no Redis for a fleet; `darkmux hub up` makes it the hub",
        ));
    };
    block_on(async {
        let redis = Redis::new(files.fleet(&hub).map_err(failure)?);
        let answer = ServerReport::ask(&redis, &cx.clock).await;
        let services = Services::at_work(config).await.map_err(failure)?;
        let look = services.look(Kind::Redis, LIMIT).await.map_err(failure)?;
        let used = hub::is_used(config, &files, &hub);
        let report = answer.as_ref().ok();
        if args.json {
            cx.printer.json(&json!({
                "schema": 1,
                "is_hub": true,
                "up": report.is_some(),
                "problem": answer.as_ref().err().map(ToString::to_string),
                "url": hub.url(),
                "bind": hub.bind,
                "port": hub.port,
                "manager": services.manager().name(),
                "service": look.state,
                "installed": look.is_installed(),
                "used": used == Ok(true),
                "product": report.map(|report| report.product),
                "version": report.map(|report| report.version.as_str()),
                "used_memory": report.map(|report| report.used_memory),
                "maxmemory": report.map(|report| report.maxmemory),
                "data": files.data(),
                "log": files.log(),
            }))?;
            return Ok(if report.is_some() { Exit::Ok } else { Exit::Unreachable });
        }
        let line = |name: &str, words: &str| cx.printer.line(&format!("{BOLD}{name:<8}{BOLD:#} {words}"));
        line("hub", &hub.url())?;
        let words = match report {
            Some(report) => format!(
                "{} {}, {} of {} taken",
                report.product,
                visible_line(&report.version),
                human::bytes(report.used_memory),
                human::bytes(report.maxmemory)
            ),
            None => "does not answer".to_owned(),
        };
        line("redis", &words)?;
        if look.is_installed() {
            line("service", &look.words())?;
        }
        line("data", &format!("{DIM}{}{DIM:#}", visible_line(&files.data().to_string_lossy())))?;
        line("log", &format!("{DIM}{}{DIM:#}", visible_line(&files.log().to_string_lossy())))?;
        match used {
            Ok(true) => {}
            Ok(false) => cx.printer.warn("this machine does not use it: `darkmux hub up`"),
            Err(other) => {
                cx.printer.warn(&format!("this machine uses another one, {}", visible_line(&other)));
            }
        }
        match answer {
            Ok(_) => Ok(Exit::Ok),
            Err(fault) => Err(Failure::new(
                Exit::Unreachable,
                format!("{fault}; `darkmux hub up` starts it, `darkmux service logs redis` says more"),
            )),
        }
    })
}
