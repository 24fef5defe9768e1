//! What this machine is called and what drives it.

use super::{Check, Finding, Machine};
use crate::config::Origin;
use crate::model::MachineId;
use crate::store;

/// The machine id.
pub struct MachineName;

impl Check for MachineName {
    fn name(&self) -> &'static str {
        "machine_id"
    }

    /// Does not ask [`crate::config::Config::machine_id`], which would keep an id that is not kept yet.
    fn run(&self, machine: &Machine) -> Finding {
        let config = &machine.config;
        if let Ok(setting) = config.settings.get("machine_id")
            && let Some(id) = setting.value.as_str()
        {
            return Finding::pass(format!("{id} ({})", setting.origin));
        }
        let path = config.paths.machine_id_file();
        let kept = match store::read_if_there(&path, 1024) {
            Ok(kept) => kept,
            Err(error) => return broken(&path.display().to_string(), &error.to_string()),
        };
        let Some(kept) = kept else { return not_kept_yet() };
        match MachineId::new(String::from_utf8_lossy(&kept).trim()) {
            Ok(id) => Finding::pass(format!("{id} (made from the host name and kept)")),
            Err(error) => broken(&path.display().to_string(), &error.to_string()),
        }
    }
}

fn broken(path: &str, reason: &str) -> Finding {
    let why = "every record and every session names its machine; without a name nothing is written";
    Finding::fail(
        format!("{path}: {reason}"),
        why,
        format!("rm '{path}', or: darkmux config set machine_id NAME"),
    )
}

fn not_kept_yet() -> Finding {
    let uname = rustix::system::uname();
    match MachineId::from_host_name(&uname.nodename().to_string_lossy()) {
        Some(id) => Finding::pass(format!("will be {id}, after the host name")),
        None => Finding::warn(
            "the host name holds nothing that a machine id may hold",
            "this machine will be called `machine`, like every other of that kind",
            "darkmux config set machine_id NAME",
        ),
    }
}

/// The orchestrator.
pub struct Orchestrator;

impl Check for Orchestrator {
    fn name(&self) -> &'static str {
        "orchestrator"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let setting = machine.config.settings.get("orchestrator").ok();
        let set = setting.filter(|setting| !matches!(setting.origin, Origin::Unset | Origin::Default));
        match set.and_then(|setting| Some((setting.value.as_str()?, setting.origin))) {
            Some((name, origin)) if !name.is_empty() => Finding::pass(format!("{name} ({origin})")),
            _ => Finding::warn(
                "not set",
                "records don't say what drives this machine",
                "darkmux config set orchestrator claude-code",
            ),
        }
    }
}
