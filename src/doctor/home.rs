//! The home folder and who may read it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{Check, Finding, Machine};
use crate::config::Paths;

/// The home folder and its permissions.
pub struct Home;

impl Check for Home {
    fn name(&self) -> &'static str {
        "home"
    }

    fn run(&self, machine: &Machine) -> Finding {
        look(&machine.config.paths)
    }
}

fn look(paths: &Paths) -> Finding {
    let home = paths.home();
    let shown = home.display();
    let meta = match fs::metadata(home) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return missing(home);
        }
        Err(error) => {
            let why = "without it darkmux can keep neither records nor sessions";
            return Finding::fail(format!("{shown}: {error}"), why, format!("ls -ld '{shown}'"));
        }
    };
    if !meta.is_dir() {
        let why = "darkmux keeps its state in a folder of this name";
        return Finding::fail(format!("{shown} is no folder"), why, format!("mv '{shown}' '{shown}.old'"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        let why = "darkmux keeps its state only in a folder of yours";
        let fix = "set DARKMUX_HOME to a folder of yours";
        return Finding::fail(format!("{shown} belongs to user {}", meta.uid()), why, fix);
    }
    // Owner and mode say nothing of a file system that is mounted read-only.
    if let Err(error) = rustix::fs::access(home, Access::WRITE_OK | Access::EXEC_OK) {
        return unwritable(format!("{shown} can't be written: {error}"));
    }
    open_to_others(paths, &meta)
}

/// It is made by whatever keeps something first, where that may.
fn missing(home: &Path) -> Finding {
    let shown = home.display();
    let above = home.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::pass(format!(
            "{shown} is not there yet; the first command that keeps something makes it"
        )),
        Err(error) => unwritable(format!("{shown} is not there, and can't be made: {error}")),
    }
}

fn unwritable(finding: String) -> Finding {
    let why = "without it darkmux can keep neither records nor sessions";
    Finding::fail(finding, why, "set DARKMUX_HOME to a folder that can be written")
}

fn open_to_others(paths: &Paths, meta: &fs::Metadata) -> Finding {
    let shown = paths.home().display();
    let is_open = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 != 0);
    let mut open: Vec<String> =
        paths.private().iter().filter(|path| is_open(path)).map(|path| path.display().to_string()).collect();
    if meta.mode() & 0o077 != 0 {
        open.insert(0, format!("{shown} (mode {:03o})", meta.mode() & 0o777));
    }
    if open.is_empty() {
        return Finding::pass(format!("{shown}, yours alone"));
    }
    let why = "records and terminals' output are in it, and others on this machine may read them";
    Finding::warn(format!("{} open to others", open.len()), why, format!("chmod -R go= '{shown}'"))
        .details(open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::doctor::State;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_folder_passes_and_others_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let found = |home: &Path| {
            let env = Environment::of([("DARKMUX_HOME", home.as_os_str())]);
            look(&Paths::from_env(&env).unwrap())
        };
        assert_eq!(found(&home).state, State::Pass);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(found(&home).state, State::Pass);

        for name in ["config.json", "fleet-key"] {
            fs::write(home.join(name), "{}").unwrap();
            fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        let seen = found(&home);
        assert_eq!((seen.state, seen.details.len()), (State::Warn, 3));
        assert!(seen.details[0].ends_with("(mode 755)"), "{seen:?}");
        assert!(seen.fix.unwrap().starts_with("chmod"));

        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(found(&file).state, State::Fail);
        assert_eq!(found(&file.join("below")).state, State::Fail);
    }
}
