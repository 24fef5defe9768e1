//! `darkmux fleet invite`.

use std::time::Duration;

use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use qrcode::types::EcLevel;
use serde_json::json;

use crate::cli::printer::BOLD;
use crate::cli::{Cx, Exit, Failure, FailureContext, Outcome, block_on};
use crate::client::{Client, ClientError};
use crate::util::{human, visible_line};
use crate::wire::{InviteAsk, Invited};

/// Invite another machine into the fleet: print a code that `darkmux fleet join` takes there.
///
/// The code is good for one machine and expires. Whoever has it meanwhile can join the fleet and run commands on its
/// machines: give it to nobody, and type it nowhere but there. The running daemon makes it, and a restart of the daemon ends it.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = human::parse_duration, allow_hyphen_values = true)]
    expires: Duration,
    /// Where the other machine reaches this daemon, if not where it listens: host:port, or https://HOST through a proxy
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Draw no QR code
    #[arg(long)]
    no_qr: bool,
    /// Print JSON, with the code
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &InviteArgs, cx: &Cx) -> Outcome {
    let client = Client::local(&cx.config()?.paths).or_exit(Exit::Unreachable)?;
    let ask = InviteAsk { address: args.address.clone(), seconds: Some(args.expires.as_secs()) };
    let invited = block_on(async {
        client.invite(&ask).await.map_err(|error| match error {
            ClientError::Refused { status: 400, message, .. } => Failure::new(Exit::Usage, message),
            ClientError::Refused { status: 409, message, .. } => Failure::new(Exit::Failed, message),
            error => Failure::new(Exit::Unreachable, error),
        })
    })?;
    if args.json {
        cx.printer.json(&document(&invited))?;
        return Ok(Exit::Ok);
    }
    cx.printer.line(&visible_line(&invited.code))?;
    for note in &invited.notes {
        cx.printer.warn(&visible_line(note));
    }
    let life = human::duration(Duration::from_secs(invited.seconds));
    let shared = invited.redis.as_ref().map_or(String::new(), |redis| format!(", and Redis at {redis}"));
    cx.printer.note(&format!(
        "on the other machine: {BOLD}darkmux fleet join{BOLD:#}, and this code\n\
         it gets a token for {}, the fleet's key{}\n\
         good for one machine until {} ({life})",
        visible_line(&invited.machine_id),
        visible_line(&shared),
        visible_line(&invited.expires_at),
    ));
    if cx.printer.is_tty() && !args.no_qr {
        cx.printer.line(&visible_line(&invited.url))?;
        if let Some(drawn) = drawn(&invited.url) {
            cx.printer.line(&drawn)?;
        }
    }
    Ok(Exit::Ok)
}

fn document(invited: &Invited) -> serde_json::Value {
    json!({
        "address": invited.address,
        "code": invited.code,
        "expires_at": invited.expires_at,
        "expires_in": invited.seconds,
        "machine_id": invited.machine_id,
        "made_fleet_key": invited.made_fleet_key,
        "notes": invited.notes,
        "redis": invited.redis,
        "schema": 1,
        "url": invited.url,
    })
}

/// The text as a QR code of half blocks, dark on light as scanners want it.
fn drawn(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // A terminal is dark: its ink is the light modules.
    let code = code.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_fits_a_terminal() {
        let url = format!("http://studio.tail1234.ts.net:8765/#join={}", "a".repeat(64));
        let drawn = drawn(&url).unwrap();
        let width = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(width <= 80 && drawn.lines().count() <= 24 * 2, "{width}\n{drawn}");
        assert!(drawn.chars().all(|c| "\n █▀▄".contains(c)));
        assert!(super::drawn(&"x".repeat(10_000)).is_none());
    }
}
