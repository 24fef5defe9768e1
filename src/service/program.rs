//! The path under which this program will be found again.

use std::path::{Path, PathBuf};

use super::ServiceError;
use crate::config::Environment;

/// Folders whose programs come and go with a build.
const BUILDS: &[&str] = &["target/debug", "target/release"];

/// Where this program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its path.
    pub path: PathBuf,
    /// Why it may not be there tomorrow.
    pub passing: Option<String>,
}

/// This program by a path that outlives an upgrade: the one of `PATH` that leads to it (package managers keep a link
/// there and move what it leads to), else where it lies.
pub fn own_program(env: &Environment) -> Result<Program, ServiceError> {
    let gone = |source| ServiceError::File {
        path: PathBuf::from("darkmux"),
        action: "looking for this program's own file (was it replaced? call the new one)",
        source,
    };
    let own = std::env::current_exe().and_then(std::fs::canonicalize).map_err(gone)?;
    Ok(lasting(&own, &env.path_dirs()))
}

fn lasting(own: &Path, dirs: &[PathBuf]) -> Program {
    let leads_here = |path: &PathBuf| std::fs::canonicalize(path).is_ok_and(|real| real == own);
    let named = own.file_name().unwrap_or_default();
    let by_path = dirs.iter().filter(|dir| dir.is_absolute()).map(|dir| dir.join(named)).find(leads_here);
    let path = by_path.unwrap_or_else(|| own.to_owned());
    Program { passing: passing(own), path }
}

fn passing(own: &Path) -> Option<String> {
    let text = own.to_string_lossy();
    let is_build = BUILDS.iter().any(|build| text.contains(&format!("/{build}/")));
    let is_temporary = own.starts_with(std::env::temp_dir()) || own.starts_with("/tmp");
    (is_build || is_temporary).then(|| {
        format!(
            "{} lies in a {} folder: the service ends with it; install darkmux (`cargo install --path .`) and run \
             this again from there",
            own.display(),
            if is_build { "build" } else { "temporary" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_path_is_kept_and_builds_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (cellar, bin) = (root.join("Cellar/1.0"), root.join("bin"));
        std::fs::create_dir_all(&cellar).unwrap();
        std::fs::create_dir(&bin).unwrap();
        let own = cellar.join("darkmux");
        std::fs::write(&own, "").unwrap();
        let dirs = [PathBuf::from("."), root.join("none"), bin.clone()];
        assert_eq!(lasting(&own, &dirs).path, own);
        std::os::unix::fs::symlink(&own, bin.join("darkmux")).unwrap();
        assert_eq!(lasting(&own, &dirs).path, bin.join("darkmux"));
        assert!(passing(Path::new("/home/x/darkmux/target/release/darkmux")).unwrap().contains("build"));
        assert_eq!(passing(Path::new("/usr/local/bin/darkmux")), None);
    }
}
