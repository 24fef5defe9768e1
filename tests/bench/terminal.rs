//! A terminal behind a socket: much output, short lines, single keys, coming to it.
//!
//! The [limit](crate::terminal_limit) moves bytes between a terminal and a socket with bare threads and keeps the
//! newest 2 MiB, in the frames of the host's protocol, to the same client. A host also keeps the output on disk,
//! bounded, lets any number of clients follow at their own pace, slows the terminal down for one that asked, and keeps
//! a model of the screen; three clients stand beside the limit: one of the output alone, one of the screen, and one
//! of the screen over the daemon's WebSocket.

use crate::Setup;
use crate::machine::Machine;
use crate::table::{Table, Want, quantile};
use crate::terminal_client::{Place, Terminal};
use crate::terminal_limit;

/// Bytes of the file that is shown, in lines of 100.
const SHOWN: usize = 50_000_000;
/// Bytes of short lines.
const SHORT: usize = 20_000_000;
/// Lines of history for who comes to it.
const HISTORY: usize = 10_000;
/// Number of the run that leaves the history.
const LAST: usize = 1_000_000;
/// How often somebody comes in a round.
const COMES: usize = 7;

/// The contestants, and what each must reach of the limit: much output, short lines.
const NAMES: [(&str, f64, f64); 3] =
    [("output", 0.85, 0.8), ("screen", 0.6, 0.8), ("screen, WebSocket", 0.6, 0.8)];

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let shown = machine.path().join("shown");
    std::fs::write(&shown, format!("{:-<99}\n", "").repeat(SHOWN / 100)).expect("a file");
    let bare = machine.path().join("bare.sock");
    terminal_limit::serve(&bare, machine.path());
    let daemon = machine.daemon();
    let token = std::fs::read_to_string(machine.path().join(".darkmux/auth-token")).expect("a token");
    let socket = |id: &str| machine.session(id).0.join(darkmux::session::files::SOCKET);
    let (output, screen) = (socket("output"), socket("screen"));
    machine.session("web");
    let places = [
        Place::Host(bare, false),
        Place::Host(output, false),
        Place::Host(screen, true),
        Place::Daemon(daemon.port, token.trim().to_owned(), "web".to_owned()),
    ];
    let mut table = Table::new("A terminal behind a socket");
    for round in 0..setup.rounds {
        let cat = format!("cat {}", shown.display());
        let yes = format!("yes | head -c {SHORT}");
        let runs = [(2 * round, "cat of 50 MB", &cat, SHOWN), (2 * round + 1, "yes, 20 MB", &yes, SHORT)];
        for (run, what, command, bytes) in runs {
            let speed = |at: usize| {
                let took = Terminal::attach(&places[at]).time_of(command, run);
                bytes as f64 / 1e6 / took.as_secs_f64()
            };
            let limit = speed(0);
            for (at, (name, cat, yes)) in NAMES.iter().enumerate() {
                let want = if bytes == SHOWN { *cat } else { *yes };
                table.pair(&format!("{what}: {name}"), "MB/s", Want::AtLeast(want), (limit, speed(at + 1)));
            }
        }
        let [mut limits, rest @ ..] = places.each_ref().map(|place| Terminal::attach(place).echoes());
        for ((name, ..), mut figures) in NAMES.iter().zip(rest) {
            for (what, share) in [("median", 0.5), ("99 of 100", 0.99)] {
                let pair = (quantile(&mut limits, share), quantile(&mut figures, share));
                table.pair(&format!("key echo, {what}: {name}"), "µs", Want::AtMost(1.5), pair);
            }
        }
    }
    comes(&places, setup.rounds, &mut table);
    table.print();
}

/// Somebody comes to a terminal with a history.
fn comes(places: &[Place; 4], rounds: usize, table: &mut Table) {
    let fill = format!("yes {:-<99} | head -n {HISTORY}", "x");
    for place in places {
        Terminal::attach(place).time_of(&fill, LAST);
    }
    let mark = format!("END-MARK-{LAST}");
    for _ in 0..rounds {
        // Who wants the output alone gets none of what there was.
        let [limit, figures @ ..] = [&places[0], &places[2], &places[3]].map(|place| {
            let mut times: Vec<_> = (0..COMES).map(|_| Terminal::time_to_attach(place, &mark)).collect();
            quantile(&mut times, 0.5)
        });
        for ((name, ..), figure) in NAMES[1..].iter().zip(figures) {
            table.pair(&format!("attach, 10,000 lines: {name}"), "µs", Want::AtMost(2.0), (limit, figure));
        }
    }
}
