//! `darkmux fleet discover`.

use clap::Args;
use serde::Deserialize;

use crate::cli::exit::FailureContext;
use crate::cli::printer::{DIM, GOOD, WARN};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::client::Client;
use crate::util::visible_line;
use crate::wire::v1::{Discovered, FoundMachine, Looking};

/// List machines that were found in the tailnet and among this machine's development containers.
///
/// Those that let this machine in are shown in its lists by themselves; the others are suggestions, with how to join
/// them. The daemon of this machine looks for them.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Answer {
    data: Discovered,
}

/// Runs the verb.
pub fn run(args: &DiscoverArgs, cx: &Cx) -> Outcome {
    let client = Client::local(&cx.config()?.paths).or_exit(Exit::Unreachable)?;
    let answer: Answer = block_on(async { client.get("/v1/discovery").await.or_exit(Exit::Unreachable) })?;
    let found = answer.data;
    if args.json {
        let mut document = serde_json::to_value(&found)?;
        document["schema"] = serde_json::json!(1);
        cx.printer.json(&document)?;
        return Ok(Exit::Ok);
    }
    if found.machines.is_empty() {
        cx.printer.note("nothing was found");
    } else {
        let mut table = Table::new(&["MACHINE", "URL", "FOUND IN", "RUNS", "ACCESS"]);
        for machine in &found.machines {
            table.row(row(machine));
        }
        table.print(&cx.printer)?;
    }
    tell_found(cx, &found);
    tell(cx, "the tailnet", &found.tailscale);
    tell(cx, "containers", &found.devcontainers);
    Ok(Exit::Ok)
}

/// How those are joined that do not let this machine in, and why others are not connected to.
pub fn tell_found(cx: &Cx, found: &Discovered) {
    for machine in &found.machines {
        if let Some(join) = &machine.join {
            cx.printer.note(&format!("join {}", visible_line(join)));
        }
        if let Some(why) = &machine.taken {
            let (name, url) = (visible_line(&machine.name), visible_line(&machine.url));
            cx.printer.note(&format!("{name}, found at {url}, is not connected to: {}", visible_line(why)));
        }
    }
}

/// What was found; `None` where no daemon of this machine says so.
pub async fn found(client: &Client) -> Option<Discovered> {
    let answer: Answer = client.get("/v1/discovery").await.ok()?;
    Some(answer.data)
}

fn row(machine: &FoundMachine) -> Vec<Cell> {
    let place = match (&machine.host, &machine.folder) {
        (Some(host), _) => format!("tailnet: {host}"),
        (None, Some(folder)) => format!("container: {folder}"),
        (None, None) => "container".to_owned(),
    };
    let access = match machine.access.as_str() {
        _ if !machine.online => Cell::styled("off", DIM),
        "suggestion" => Cell::styled("to be joined", WARN),
        "taken" => Cell::styled("name taken", WARN),
        access => Cell::styled(access, GOOD),
    };
    vec![
        Cell::from(&machine.name),
        Cell::from(&machine.url),
        Cell::from(place),
        Cell::styled(&machine.kind, DIM),
        access,
    ]
}

fn tell(cx: &Cx, what: &str, looking: &Looking) {
    match (looking.state.as_str(), looking.reason.as_deref()) {
        ("away", why) => cx.printer.note(&format!(
            "{what} can't be looked at: {}",
            visible_line(why.unwrap_or("no reason was given"))
        )),
        ("off", _) => cx.printer.note(&format!("{what}: switched off in host.toml")),
        ("starting", _) => cx.printer.note(&format!("{what}: not looked at yet; ask again in a moment")),
        _ => {}
    }
}
