//! `darkmux fleet status`.

use clap::Args;
use serde_json::{Value, json};

use super::known;
use super::links::{self, Links};
use crate::cli::printer::{BAD, DIM, GOOD, WARN};
use crate::cli::table::{Cell, Table};
use crate::cli::{Cx, Exit, Outcome, block_on};
use crate::fleet::{Member, Peer, ProbeState, Probed, Specs, members, probe_all};
use crate::util::{clock, human, visible_line};
use crate::wire::v1::PeerStatus;

/// Ask every machine of the roster whether it is there, within a second altogether.
///
/// Machines that are known by their signs of life in Redis alone, or as peers of this machine's daemon alone (by host.toml, or
/// found), are listed with what these say. A machine that does not answer is shown as such and fails nothing.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Also ask for memory, system, version and models
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A machine and what became of asking it.
struct Row {
    member: Member,
    probed: Option<Probed>,
}

/// Runs the verb.
pub fn run(args: &StatusArgs, cx: &Cx) -> Outcome {
    let (file, roster) = known::roster(cx)?;
    let local = cx.config()?.machine_id()?;
    let redis = known::redis(cx)?;
    block_on(async {
        let (probed, alive, links) =
            tokio::join!(probe_all(&roster.peers, args.deep), known::alive(redis), Links::of(cx));
        let members = members(&roster, alive.presence());
        known::tell_clashes(cx, &members);
        let beside: Vec<PeerStatus> = links.beside(&members).cloned().collect();
        let rows: Vec<Row> =
            members.into_iter().map(|member| Row::of(member, &roster.peers, &probed)).collect();
        if args.json {
            let machines: Vec<Value> = rows.iter().map(Row::as_json).collect();
            cx.printer.json(&known::document(&local, &file, &machines, (&alive, &links)))?;
            return Ok(Exit::Ok);
        }
        cx.printer.line(&format!("roster: {}", visible_line(&file.path().to_string_lossy())))?;
        cx.printer.line(&format!("local machine_id: {local}"))?;
        if rows.is_empty() && beside.is_empty() {
            cx.printer.note("no machine is known; `darkmux fleet add NAME --address HOST:PORT` adds one");
        } else {
            table(&rows, &beside, args.deep, local.as_str()).print(&cx.printer)?;
        }
        alive.tell(cx);
        for row in &rows {
            row.tell(cx);
        }
        links.tell(cx);
        Ok(Exit::Ok)
    })
}

fn table(rows: &[Row], beside: &[PeerStatus], deep: bool, local: &str) -> Table {
    let heads: &[&'static str] = if deep {
        &["MACHINE", "ADDRESS", "PROBE", "RAM-FREE", "OS", "VERSION", "MODELS", "ORIGIN"]
    } else {
        &["MACHINE", "ADDRESS", "PROBE", "VERSION", "SLOTS", "ORIGIN", "DESCRIPTION"]
    };
    let mut table = Table::new(heads);
    for row in rows {
        table.row(row.cells(deep, local));
    }
    for peer in beside {
        let (origin, none) = (links::origin(peer), || Cell::from(""));
        let version = Cell::from(known::version(peer.version.as_deref()));
        let mut cells = vec![Cell::from(&peer.name), links::address(peer), links::state(peer)];
        if deep {
            cells.extend([none(), none(), version, none(), origin]);
        } else {
            cells.extend([version, none(), origin, none()]);
        }
        table.row(cells);
    }
    table
}

impl Row {
    fn of(member: Member, peers: &[Peer], probed: &[Probed]) -> Self {
        let at = member.peer.as_ref().and_then(|peer| peers.iter().position(|other| other.id == peer.id));
        Self { probed: at.and_then(|at| probed.get(at)).cloned(), member }
    }

    fn cells(&self, deep: bool, local: &str) -> Vec<Cell> {
        let Self { member, probed } = self;
        let beat = member.newest().map(|seen| &seen.beat);
        let asked = probed.as_ref().and_then(|probed| probed.version.as_deref());
        let version = known::version(asked.or_else(|| beat.and_then(|beat| beat.darkmux_version.as_deref())));
        let mut cells = vec![Cell::from(&member.id), Cell::from(known::address(member)), self.probe_cell()];
        let origin = Cell::styled(member.origin.as_str(), DIM);
        if deep {
            cells.extend([
                self.ram_cell(),
                Cell::from(self.system()),
                Cell::from(version),
                Cell::from(self.models()),
                origin,
            ]);
        } else {
            let about = Cell::styled(known::description(member, local), DIM);
            cells.extend([Cell::from(version), Cell::from(known::slots(beat)), origin, about]);
        }
        cells
    }

    fn probe_cell(&self) -> Cell {
        match (&self.probed, self.member.newest()) {
            (Some(probed), _) => match &probed.state {
                ProbeState::Answers => Cell::styled(format!("✓ {}ms", probed.took.as_millis()), GOOD),
                ProbeState::OtherMachine(id) => Cell::styled(format!("≠ {id}"), BAD),
                ProbeState::Auth => Cell::styled("auth?", WARN),
                other => Cell::styled(format!("✗ {}", other.words()), BAD),
            },
            (None, Some(seen)) => Cell::styled(format!("beat {}", known::ago(seen.age)), GOOD),
            (None, None) => Cell::styled("-", DIM),
        }
    }

    fn specs(&self) -> Option<&Value> {
        match &self.probed.as_ref()?.specs {
            Specs::Known(specs) => Some(specs),
            _ => None,
        }
    }

    fn ram_cell(&self) -> Cell {
        let asked = self.specs().and_then(|specs| specs["ram_free_for_ai_bytes"].as_u64());
        let beaten = || self.member.newest()?.beat.ram_free_bytes;
        if let Some(bytes) = asked.or_else(beaten) {
            return Cell::from(human::bytes(bytes));
        }
        match &self.probed {
            Some(probed) if probed.specs == Specs::Auth || probed.state == ProbeState::Auth => {
                Cell::styled("auth?", WARN)
            }
            // 1.9 does not know this on Linux.
            Some(_) if self.specs().is_some() => Cell::styled("-", DIM),
            _ => Cell::styled("specs?", WARN),
        }
    }

    fn system(&self) -> String {
        let asked = self.specs().and_then(|specs| specs["os"].as_str()).map(cut);
        asked.or_else(|| self.member.newest()?.beat.system()).unwrap_or_default()
    }

    fn models(&self) -> String {
        let asked = self.specs().and_then(|specs| specs["loaded_models"].as_array()).map(|models| {
            let name = |model: &Value| {
                let keys = ["identifier", "model", "id"];
                model.as_str().or_else(|| keys.iter().find_map(|key| model[key].as_str())).map(cut)
            };
            models.iter().filter_map(name).collect::<Vec<_>>()
        });
        let beaten = || Some(self.member.newest()?.beat.loaded_models.clone());
        known::models(&asked.or_else(beaten).unwrap_or_default())
    }

    /// What is wrong and what mends it.
    fn tell(&self, cx: &Cx) {
        let (Some(peer), Some(probed)) = (&self.member.peer, &self.probed) else { return };
        let beats =
            if self.member.seen.is_empty() { "" } else { "; its daemon lives, for it beats in Redis" };
        if let Some(problem) = probed.state.problem(peer) {
            cx.printer.note(&format!("{BAD}{}{BAD:#}: {}{beats}", peer.id, visible_line(&problem)));
        }
        if let Specs::Failed(why) = &probed.specs {
            cx.printer.note(&format!("{WARN}{}{WARN:#}: no specs: {}", peer.id, visible_line(why)));
        }
    }

    fn as_json(&self) -> Value {
        let mut value = known::as_json(&self.member);
        let probed = self.probed.as_ref();
        let problem =
            probed.zip(self.member.peer.as_ref()).and_then(|(probed, peer)| probed.state.problem(peer));
        let auth =
            probed.is_some_and(|probed| probed.specs == Specs::Auth || probed.state == ProbeState::Auth);
        let other = probed.and_then(|probed| match &probed.state {
            ProbeState::OtherMachine(id) => Some(id),
            _ => None,
        });
        let more = json!({
            "darkmux_version": probed.and_then(|probed| probed.version.as_ref()),
            "other_machine_id": other,
            "probe_error": problem,
            "probe_ms": probed.map(|probed| clock::whole_ms(probed.took)),
            "probe_state": probed.map(|probed| probed.state.code()),
            "reachable": probed.is_some_and(|probed| probed.state.is_good()),
            "resolved_address": probed.and_then(|probed| probed.resolved).map(|address| address.to_string()),
            "specs": self.specs(),
            "specs_auth_required": auth,
        });
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        value
    }
}

/// At most this much of what a machine says of itself in a column.
fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
