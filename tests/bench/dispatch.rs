//! `darkmux crew dispatch shell -m true`, from its start to its exit.
//!
//! The limit is the start of the smallest program and the wait for its end, once a job: what a queue that runs
//! programs pays at least. A dispatch starts three programs (the command line, the session's host, the shell),
//! and keeps a terminal, a log of its output, two flow records and a state that outlive it.

use std::path::Path;
use std::time::Duration;

use crate::Setup;
use crate::machine::{Machine, smallest, time_to_exit};
use crate::table::{Table, Want, quantile};

const JOBS: usize = 20;

/// Time for a host to bring its records to the disk and end, so that the next start has the machine for itself.
const SETTLE: Duration = Duration::from_millis(60);

/// Measures and prints.
pub fn run(setup: &Setup) {
    let machine = Machine::new(setup);
    let mut limit = machine.command(smallest());
    let mut bare = machine.command(Path::new("/bin/sh"));
    bare.args(["-c", "true"]);
    let mut attached = machine.darkmux(&["crew", "dispatch", "shell", "-m", "true"]);
    let mut detached = machine.darkmux(&["crew", "dispatch", "shell", "-d", "-m", "true"]);
    let mut table = Table::new("Dispatch of `true`, start to exit");
    for _ in 0..setup.rounds {
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..JOBS {
            // The first start after a pause finds a cold machine; it is not the limit's to pay.
            times[1].push(time_to_exit(&mut bare));
            times[0].push(time_to_exit(&mut limit));
            times[2].push(time_to_exit(&mut attached));
            std::thread::sleep(SETTLE);
            times[3].push(time_to_exit(&mut detached));
            std::thread::sleep(SETTLE);
        }
        let [limit, bare, attached, detached] = times.each_mut().map(|times| quantile(times, 0.5));
        table.pair("`sh -c true`, median", "µs", Want::Nothing, (limit, bare));
        table.pair("dispatch, median", "µs", Want::AtMost(20.0), (limit, attached));
        table.pair("dispatch -d, median", "µs", Want::Nothing, (limit, detached));
        let [limit, _, attached, _] = times.each_mut().map(|times| quantile(times, 0.95));
        table.pair("dispatch, 95 of 100", "µs", Want::Nothing, (limit, attached));
    }
    table.print();
}
