//! Whether a machine is what a job asks for.

use super::Facts;
use crate::model::Requirement;
use crate::util::{human, visible_line};

/// Values named in a reason at most.
const NAMED: usize = 5;

/// Whether the machine of these facts meets the requirement; else why not, as in `needs ram=64GiB, has 32.0 GiB`.
pub fn meets(facts: &Facts, requirement: &Requirement) -> Result<(), String> {
    let value = requirement.value().unwrap_or_default();
    match requirement.key() {
        "ram" => at_least(requirement, requirement.bytes(), facts.ram, human::bytes),
        "free_ram" => {
            at_least(requirement, requirement.bytes(), facts.free_ram, |n| human::bytes(n) + " free")
        }
        "cores" => at_least(requirement, requirement.count(), Some(facts.cores), |n| n.to_string()),
        "os" => same(requirement, &facts.os),
        "arch" => same(requirement, &facts.arch),
        "machine" => same(requirement, facts.machine_id.as_str()),
        "gpu" => match (&facts.gpu, requirement.value()) {
            (Some(_), None) => Ok(()),
            (Some(gpu), Some(wanted)) if gpu == wanted => Ok(()),
            (Some(gpu), Some(_)) => Err(format!("needs {requirement}, has {gpu}")),
            (None, _) => Err(format!("needs {requirement}, has none that is known")),
        },
        "ac_power" => match facts.ac_power {
            Some(on) if on == (value != "false") => Ok(()),
            Some(on) => {
                Err(format!("needs {requirement}, {}", if on { "is on mains" } else { "is on battery" }))
            }
            None => Err(format!("needs {requirement}, its system does not say")),
        },
        "model" => {
            let known = || facts.models_loaded.iter().chain(&facts.models_available);
            listed(requirement, known().any(|model| is_model(model, value)), known())
        }
        "role" => {
            let found = facts.roles.iter().any(|role| role == value);
            if found { Ok(()) } else { Err(format!("needs {requirement}, which can't run there")) }
        }
        "repo" => listed(requirement, facts.repos.iter().any(|repo| repo == value), facts.repos.iter()),
        key => {
            let matches = |label: &String| match requirement.value() {
                Some(_) => *label == requirement.to_string(),
                None => label.split('=').next() == Some(key),
            };
            // Of a label with another value, the value is the reason.
            let of_key = facts.labels.iter().filter(|label| label.split('=').next() == Some(key));
            listed(requirement, facts.labels.iter().any(matches), of_key)
        }
    }
}

fn at_least(
    requirement: &Requirement,
    wanted: Option<u64>,
    had: Option<u64>,
    shown: impl Fn(u64) -> String,
) -> Result<(), String> {
    match (wanted, had) {
        (Some(wanted), Some(had)) if had >= wanted => Ok(()),
        (_, Some(had)) => Err(format!("needs {requirement}, has {}", shown(had))),
        (_, None) => Err(format!("needs {requirement}, its system does not say what it has")),
    }
}

fn same(requirement: &Requirement, had: &str) -> Result<(), String> {
    if requirement.value() == Some(had) {
        return Ok(());
    }
    Err(format!("needs {requirement}, is {}", visible_line(had)))
}

fn listed<'a>(
    requirement: &Requirement,
    found: bool,
    had: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    if found {
        return Ok(());
    }
    let mut had: Vec<&str> = had.map(String::as_str).collect();
    had.sort_unstable();
    had.dedup();
    let more = if had.len() > NAMED { format!(" and {} more", had.len() - NAMED) } else { String::new() };
    let named = if had.is_empty() { "none".to_owned() } else { had[..had.len().min(NAMED)].join(", ") };
    Err(format!("needs {requirement}, has {}{more}", visible_line(&named)))
}

/// Whether a model server's name means the wanted model: with or without the prefix that darkmux 1.9 loads
/// models under, and `llama3` is `llama3:latest`.
pub fn is_model(name: &str, wanted: &str) -> bool {
    let bare = |text: &'_ str| text.strip_prefix("darkmux:").unwrap_or(text).to_ascii_lowercase();
    let (name, wanted) = (bare(name), bare(wanted));
    name == wanted || name.strip_suffix(":latest") == Some(wanted.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MachineId;

    fn facts() -> Facts {
        let list = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect();
        Facts {
            machine_id: MachineId::new("studio").unwrap(),
            os: "macos".into(),
            arch: "aarch64".into(),
            cores: 12,
            ram: Some(32 << 30),
            free_ram: Some(5 << 30),
            load1: Some(0.5),
            gpu: Some("apple".into()),
            ac_power: Some(false),
            models_loaded: list(&["darkmux:qwen3-4b", "llama3:latest"]),
            models_available: list(&["qwen3-4b", "gpt-oss-20b"]),
            roles: list(&["coder", "shell"]),
            agents: list(&["claude"]),
            repos: list(&["darkmux", "site"]),
            labels: list(&["xcode", "room=cellar", "room=attic"]),
        }
    }

    fn said(text: &str) -> Result<(), String> {
        meets(&facts(), &text.parse().unwrap())
    }

    #[test]
    fn what_is_there_is_enough() {
        for good in [
            "ram=32G",
            "ram=16GiB",
            "free_ram=5G",
            "cores=12",
            "cores=1",
            "os=macos",
            "os=darwin",
            "arch=arm64",
            "gpu",
            "gpu=apple",
            "ac_power=false",
            "model=qwen3-4b",
            "model=darkmux:qwen3-4b",
            "model=LLAMA3",
            "model=gpt-oss-20b",
            "role=coder",
            "repo=site",
            "xcode",
            "room",
            "room=cellar",
            "room=attic",
            "machine=studio",
        ] {
            assert_eq!(said(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        for (bad, reason) in [
            ("ram=64G", "needs ram=64GiB, has 32.0 GiB"),
            ("free_ram=6G", "needs free_ram=6GiB, has 5.0 GiB free"),
            ("cores=16", "needs cores=16, has 12"),
            ("os=linux", "needs os=linux, is macos"),
            ("arch=x64", "needs arch=x86_64, is aarch64"),
            ("gpu=nvidia", "needs gpu=nvidia, has apple"),
            ("ac-power", "needs ac_power, is on battery"),
            ("model=qwen3", "needs model=qwen3, has darkmux:qwen3-4b, gpt-oss-20b, llama3:latest, qwen3-4b"),
            ("role=tester", "needs role=tester, which can't run there"),
            ("repo=other", "needs repo=other, has darkmux, site"),
            ("xcode=16", "needs xcode=16, has xcode"),
            ("room=hall", "needs room=hall, has room=attic, room=cellar"),
            ("cuda", "needs cuda, has none"),
            ("machine=laptop", "needs machine=laptop, is studio"),
        ] {
            assert_eq!(said(bad), Err(reason.to_owned()), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_met() {
        let unknown =
            Facts { ram: None, free_ram: None, gpu: None, ac_power: None, models_loaded: vec![], ..facts() };
        for text in ["ram=1G", "free_ram=1G", "gpu", "ac_power", "ac_power=false", "model=llama3"] {
            let reason = meets(&unknown, &text.parse().unwrap()).unwrap_err();
            assert!(reason.starts_with("needs "), "{reason}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_hostile_names_are_shown() {
        let many = (0..9).map(|n| format!("r{n}\u{1b}[2J")).collect();
        let reason = meets(&Facts { repos: many, ..facts() }, &"repo=x".parse().unwrap()).unwrap_err();
        assert!(reason.ends_with("and 4 more") && !reason.contains('\u{1b}'), "{reason}");
    }
}
