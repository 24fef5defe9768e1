//! Start of the command line.
//!
//! Two limits: `true`, which is what the kernel and the dynamic loader ask for any program, and the
//! [`floor`](crate::floor), which is what clap asks for the smallest parser. Every program is started 60 times a
//! round, in turns; the least of them is the figure, because everything else on the machine only ever adds.

use std::time::Duration;

use crate::Setup;
use crate::floor;
use crate::machine::{Machine, smallest, time_to_exit};
use crate::table::{Table, Want, quantile};

const STARTS: usize = 60;

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let me = std::env::current_exe().expect("the path of this program");
    let floor = |args: &[&str]| {
        let mut command = machine.command(&me);
        command.arg(floor::ASK).args(args);
        command
    };
    let mut commands = [
        machine.command(smallest()),
        floor(&["--version"]),
        machine.darkmux(&["--version"]),
        floor(&["roles"]),
        machine.darkmux(&["crew", "roles"]),
        machine.darkmux(&["flow", "status"]),
    ];
    let mut table = Table::new("Start of the command line");
    for _ in 0..setup.rounds {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); commands.len()];
        for _ in 0..STARTS {
            for (times, command) in times.iter_mut().zip(&mut commands) {
                times.push(time_to_exit(command));
            }
        }
        for (name, share, goal) in [("least", 0.0, Want::AtMost(1.5)), ("median", 0.5, Want::Nothing)] {
            let of: Vec<f64> = times.iter_mut().map(|times| quantile(times, share)).collect();
            let mut pair = |what: &str, want, limit: usize, figure: usize| {
                table.pair(&format!("{what}, {name}"), "µs", want, (of[limit], of[figure]));
            };
            pair("clap floor to `true`", Want::Nothing, 0, 1);
            pair("`--version` to the floor", goal, 1, 2);
            pair("`crew roles` to the floor", goal, 3, 4);
            pair("`flow status` to the floor", Want::Nothing, 3, 5);
        }
    }
    table.print();
}
