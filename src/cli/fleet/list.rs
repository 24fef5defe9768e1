//! `darkmux fleet list`.

use clap::Args;
use serde_json::Value;

use super::known;
use super::links::{self, Links};
use crate::cli::printer::{BAD, DIM, GOOD};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::fleet::{Member, members};

/// List the machines of the fleet, without asking them.
///
/// Those of the roster, those that show signs of life in Redis, and further peers of this machine's daemon.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &ListArgs, cx: &Cx) -> Outcome {
    let (file, roster) = known::roster(cx)?;
    let local = cx.config()?.machine_id()?;
    let redis = known::redis(cx)?;
    block_on(async {
        let (alive, links) = tokio::join!(known::alive(redis), Links::of(cx));
        let members = members(&roster, alive.presence());
        if args.json {
            let machines: Vec<Value> = members.iter().map(known::as_json).collect();
            cx.printer.json(&known::document(&local, &file, &machines, (&alive, &links)))?;
            return Ok(Exit::Ok);
        }
        if members.is_empty() && links.peers.is_empty() {
            cx.printer.note("no machine is known; `darkmux fleet add NAME --address HOST:PORT` adds one");
        } else {
            let mut table =
                Table::new(&["MACHINE", "ADDRESS", "ORIGIN", "ALIVE", "VERSION", "SLOTS", "DESCRIPTION"]);
            for member in &members {
                table.row(row(member, local.as_str()));
            }
            for peer in links.beside(&members) {
                let version = Cell::from(known::version(peer.version.as_deref()));
                let (origin, none) = (links::origin(peer), || Cell::from(""));
                let cells = vec![
                    Cell::from(&peer.name),
                    links::address(peer),
                    origin,
                    links::state(peer),
                    version,
                    none(),
                    none(),
                ];
                table.row(cells);
            }
            table.print(&cx.printer)?;
        }
        alive.tell(cx);
        links::tell_file(cx);
        known::tell_clashes(cx, &members);
        Ok(Exit::Ok)
    })
}

fn row(member: &Member, local: &str) -> Vec<Cell> {
    let newest = member.newest();
    let beat = newest.map(|seen| &seen.beat);
    let alive = match newest {
        _ if member.clash().is_some() => Cell::styled("clash", BAD),
        Some(seen) => Cell::styled(format!("{} ago", known::ago(seen.age)), GOOD),
        None => Cell::styled("-", DIM),
    };
    vec![
        Cell::from(&member.id),
        Cell::from(known::address(member)),
        Cell::styled(member.origin.as_str(), DIM),
        alive,
        Cell::from(known::version(beat.and_then(|beat| beat.darkmux_version.as_deref()))),
        Cell::from(known::slots(beat)),
        Cell::styled(known::description(member, local), DIM),
    ]
}
