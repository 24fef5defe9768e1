//! The built-in agent's tools for files.
//!
//! The limit of `search` is ripgrep itself over the same 100,000 files, started as a program; a search of the agent
//! starts none, but opens each file below its root. `read` and `edit` have a bound of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkmux::agent::tools::{Confinement, ToolCall, ToolLimits, ToolName, Toolbox, ToolboxSetup};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Setup;
use crate::machine::time_to_exit;
use crate::table::{Table, Want, quantile};

const FOLDERS: usize = 1_000;
const FILES: usize = 100;
const SEARCHES: usize = 10;
const CALLS: usize = 200;

/// Measures and prints.
pub fn run(setup: &Setup) {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, outputs) = (folder.path().join("tree"), folder.path().join("outputs"));
    grow(&root);
    let mut toolbox = Toolbox::new(ToolboxSetup {
        root: root.clone(),
        palette: ToolName::ALL.to_vec(),
        confinement: Confinement::Off,
        env: Vec::new(),
        overflow_dir: outputs,
        darkmux: "darkmux".into(),
        limits: ToolLimits::default(),
    })
    .expect("a toolbox");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut call = |name: &str, arguments: Value| {
        let call = ToolCall { id: String::new(), name: name.into(), arguments: arguments.to_string() };
        let began = Instant::now();
        let done = runtime.block_on(toolbox.call(&call, &CancellationToken::new(), &mut |_| {}));
        assert!(done.ok, "{}", done.text);
        began.elapsed()
    };
    let mut table = Table::new("The agent's tools");
    for _ in 0..setup.rounds {
        let mut rg = Command::new("rg");
        rg.args(["--max-count=1", "needle [0-9]*7 ", "."]).current_dir(&root).stdout(Stdio::null());
        let (mut limit, mut figure) = (Vec::new(), Vec::new());
        for _ in 0..SEARCHES {
            limit.push(time_to_exit(&mut rg));
            figure.push(call("search", json!({"pattern": "needle [0-9]*7 "})));
        }
        let least = |times: &mut [Duration]| quantile(times, 0.0);
        table.pair("search to rg", "µs", Want::AtMost(2.0), (least(&mut limit), least(&mut figure)));
        let mut reads: Vec<_> = (0..CALLS).map(|_| call("read", json!({"path": "0/0.txt"}))).collect();
        let edit = |at: usize| json!({"path": "0/0.txt", "old_string": mark(at), "new_string": mark(at + 1)});
        fs::write(root.join("0/0.txt"), mark(0)).expect("a file");
        let mut edits: Vec<_> = (0..CALLS).map(|at| call("edit", edit(at))).collect();
        table.figure("`read`, median", "µs", Want::AtMost(2_000.0), quantile(&mut reads, 0.5));
        table.figure("`edit`, median", "µs", Want::AtMost(2_000.0), quantile(&mut edits, 0.5));
    }
    table.print();
}

fn mark(number: usize) -> String {
    format!("mark {number};\n")
}

/// Files as a repository has them: a few kilobytes of text, few of which match.
fn grow(root: &Path) {
    let filler = "let value = compute(other, 12345) + rest;\n".repeat(40);
    for folder in 0..FOLDERS {
        let at = root.join(folder.to_string());
        fs::create_dir_all(&at).expect("a folder");
        for file in 0..FILES {
            let needle = if file == 0 { format!("needle {folder} here\n") } else { String::new() };
            fs::write(at.join(format!("{file}.txt")), format!("{filler}{needle}")).expect("a file");
        }
    }
}
