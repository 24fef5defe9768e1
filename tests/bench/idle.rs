//! What darkmux takes while nothing happens: no ratio, for the limit is zero.
//!
//! Private memory is what the machine gets back when the process ends. Pages of the program that several
//! darkmux processes share are in none's private memory, so the daemon and two hosts run at once, as they do on
//! a machine in use; `alone` says what a single host takes.

use std::time::Duration;

use darkmux::session::HostClient;

use crate::Setup;
use crate::machine::{Machine, Switches, memory};
use crate::table::{Table, Want};

/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(10);

/// Output that fills the scrollback of a session, and the scrollback, in MiB.
const FILL: &str = "yes | head -c 6000000\n";
const SCROLLBACK: f64 = 2.0;

fn private(pid: u32) -> (f64, f64) {
    let memory = memory(pid);
    let of = |name: &str| memory.get(name).copied().unwrap_or(f64::NAN);
    (of("Private_Clean") + of("Private_Dirty"), of("Private_Dirty"))
}

/// Measures and prints.
pub fn run(setup: &Setup) {
    let mut table = Table::new("Idle");
    for _ in 0..setup.rounds {
        round(setup, &mut table);
    }
    table.print();
}

fn round(setup: &Setup, table: &mut Table) {
    let machine = Machine::new(setup);
    let (_, first) = machine.session("first");
    std::thread::sleep(Duration::from_secs(1));
    table.figure("host alone, private", "MiB", Want::Nothing, private(first).0);
    let (folder, host) = machine.session("second");
    let daemon = machine.daemon();
    std::thread::sleep(Duration::from_secs(6));

    let count = || [daemon.pid(), host].map(|pid| Switches::of(&[pid]));
    let before = count();
    std::thread::sleep(WATCHED);
    let after = count();
    let rate = |at: usize| after[at].rate_since(&before[at], WATCHED);
    table.figure("daemon, wake-ups a second", "1/s", Want::AtMost(2.0), rate(0));
    table.figure("daemon, threads", "", Want::Nothing, after[0].threads() as f64);
    table.figure("host, wake-ups a second", "1/s", Want::Nothing, rate(1));
    table.figure("host, threads", "", Want::Nothing, after[1].threads() as f64);

    let rss = memory(daemon.pid()).get("Rss").copied().unwrap_or(f64::NAN);
    let (all, dirty) = private(daemon.pid());
    table.figure("daemon, RSS", "MiB", Want::AtMost(18.0), rss);
    table.figure("daemon, private", "MiB", Want::AtMost(6.0), all);
    table.figure("daemon, private and written to", "MiB", Want::Nothing, dirty);
    let (all, dirty) = private(host);
    table.figure("host, private", "MiB", Want::AtMost(2.0), all);
    table.figure("host, private and written to", "MiB", Want::Nothing, dirty);

    type_into(&folder, FILL);
    std::thread::sleep(Duration::from_secs(4));
    let (all, _) = private(host);
    table.figure("host, private beside a full scrollback", "MiB", Want::AtMost(2.0), all - SCROLLBACK);
}

fn type_into(folder: &std::path::Path, text: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = HostClient::connect(folder).await.expect("the host answers");
        client.input(text.as_bytes()).await.expect("the host takes input");
    });
}
