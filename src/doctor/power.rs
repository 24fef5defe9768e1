//! Whether a Mac that others count on stays awake and comes back after a power failure.

use std::time::Duration;

use super::{Check, Finding, Machine, question, service};
use crate::service::{Kind, Services, run};

/// How long `pmset` may take.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Settings of an always-on Mac, with what each means there. One that `pmset` does not name this Mac does not have.
const WANTED: &[(&str, &str, &str)] = &[
    ("sleep", "0", "it falls asleep"),
    ("disksleep", "0", "its disks do"),
    ("autorestart", "1", "it stays off after a power failure"),
];

/// Sleep.
pub struct Power;

impl Check for Power {
    fn name(&self) -> &'static str {
        "sleep"
    }

    fn run(&self, machine: &Machine) -> Finding {
        let env = machine.config.env();
        if !env.path_dirs().iter().any(|dir| dir.join("pmset").is_file()) {
            return Finding::pass("not looked at: this is no Mac");
        }
        let services = Services::of_path(&machine.config);
        let is_counted_on =
            service::is_hub(machine) || services.is_ok_and(|services| services.is_installed(Kind::Serve));
        if !is_counted_on {
            return Finding::pass("not looked at: this machine is no hub");
        }
        let argv = ["pmset", "-g"].map(str::to_owned);
        match question(PATIENCE, run(&argv, env, PATIENCE)) {
            Ok(Ok(answer)) if answer.is_good() => judge(&answer.out),
            Ok(Ok(answer)) => unknown(&answer.words()),
            Ok(Err(error)) => unknown(&error.to_string()),
            Err(late) => unknown(&late),
        }
    }
}

fn unknown(why: &str) -> Finding {
    Finding::warn(format!("pmset -g does not tell: {why}"), WHY, "pmset -g")
}

const WHY: &str = "while it sleeps or is off, the other machines reach neither its daemon nor its Redis";

/// The value of a setting, which stands behind its name.
fn value<'a>(mut lines: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    lines.find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next().unwrap_or_default())
    })
}

/// Judges what `pmset -g` says is in use.
fn judge(text: &str) -> Finding {
    let in_use = || text.lines().skip_while(|line| !line.starts_with("Currently in use")).skip(1);
    if value(in_use(), "sleep").is_none() {
        return unknown("there is no `sleep` in it");
    }
    let never = value(text.lines(), "SleepDisabled") == Some("1");
    let is_wrong = |(name, want, _): &&(&str, &str, &str)| {
        value(in_use(), name).is_some_and(|have| have != *want && !(never && *name == "sleep"))
    };
    let wrong: Vec<_> = WANTED.iter().filter(is_wrong).collect();
    if wrong.is_empty() {
        return Finding::pass("it stays awake");
    }
    let what: Vec<&str> = wrong.iter().map(|(_, _, means)| *means).collect();
    let set: Vec<String> = wrong.iter().map(|(name, want, _)| format!("{name} {want}")).collect();
    Finding::warn(what.join(", "), WHY, format!("sudo pmset -a {}", set.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    /// What macOS 14 prints.
    const PMSET: &str = "System-wide power settings:
 SleepDisabled		0
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                1 (sleep prevented by caffeinate, coreaudiod)
 autorestart          0
 hibernatemode        3
 ttyskeepawake        1
 displaysleep         10
 womp                 1
";

    #[test]
    fn what_is_wrong_is_told_with_the_command() {
        let found = judge(PMSET);
        assert_eq!(
            (found.state, found.fix.as_deref()),
            (State::Warn, Some("sudo pmset -a sleep 0 disksleep 0 autorestart 1"))
        );
        let one = PMSET
            .replace("disksleep            10", "disksleep 0")
            .replace("sleep                1 (", "sleep 0 (");
        assert_eq!(judge(&one).fix.as_deref(), Some("sudo pmset -a autorestart 1"));
        // A laptop has no such setting.
        assert_eq!(judge(&one.replace(" autorestart          0\n", "")).state, State::Pass);
        let never = PMSET.replace("SleepDisabled		0", "SleepDisabled		1");
        assert_eq!(judge(&never).fix.as_deref(), Some("sudo pmset -a disksleep 0 autorestart 1"));
        for nonsense in ["", "sleep 1", "Currently in use:\n"] {
            assert!(judge(nonsense).finding.contains("does not tell"), "{nonsense}");
        }
    }
}
