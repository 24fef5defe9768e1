//! What a job of the queue may do on this machine.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Runner;
use super::parked::UNKNOWN_ROLE;
use crate::config::Environment;
use crate::crew::{Crew, CrewError, Role};
use crate::model::Runtime;
use crate::util::clock;
use crate::work::Claim;

/// Why a claimed job does not start here. Another machine may run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CrewError> for Refusal {
    fn from(error: CrewError) -> Self {
        Self(error.to_string())
    }
}

/// Variables of the daemon that every job gets.
const CHILD_VARS: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "TZ", "SSL_CERT_FILE"];

/// Beginnings of further ones: the locale, and darkmux's own settings.
const CHILD_PREFIXES: &[&str] = &["LC_", crate::config::PREFIX];

/// The environment of a job's session: an allowlist, and what `runner.env` names.
pub fn child_env(env: &Environment, named: &[String]) -> Environment {
    let allowed = |name: &str| {
        CHILD_VARS.contains(&name)
            || CHILD_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || named.iter().any(|one| one == name)
    };
    Environment::of(env.for_child().filter(|(name, _)| name.to_str().is_some_and(allowed)))
}

/// The role of a job, if it may run here.
pub fn role(runner: &Runner, claim: &Claim) -> Result<Role, Refusal> {
    if claim.spec.not_after_ms < clock::unix_ms(runner.clock.now()) {
        return Err(Refusal("its time to start is over".to_owned()));
    }
    let role = match Crew::open(&runner.crew).get(&claim.job.role_id) {
        Err(error @ CrewError::UnknownRole { .. }) => {
            return Err(Refusal(format!("{UNKNOWN_ROLE}: {error}")));
        }
        role => role?,
    };
    let accepts = |name: &str| runner.config.accept.iter().any(|one| one == name || one == "*");
    match role.manifest.runtime {
        Runtime::AgentCli => {}
        _ if accepts(role.manifest.id.as_str()) => {}
        _ => {
            return Err(Refusal(format!(
                "the role `{}` runs commands, and this machine takes such jobs only for roles of runner.accept",
                role.manifest.id
            )));
        }
    }
    role.launcher().map_err(|error| Refusal(error.to_string()))?;
    Ok(role)
}

/// The folder that a job runs in: the one it names, which must lie below an allowed one, or a new one of its own.
pub fn workdir(runner: &Runner, claim: &Claim) -> Result<PathBuf, Refusal> {
    let roots = &runner.config.workdirs;
    let Some(wanted) = &claim.job.workdir else {
        let root = roots.first().cloned().unwrap_or_else(|| runner.home.join("worktrees"));
        let name = match claim.attempt {
            1 => claim.id.to_string(),
            attempt => format!("{}-{attempt}", claim.id),
        };
        return make(&root, &name).map_err(|error| Refusal(format!("{}: {error}", root.display())));
    };
    let path = Path::new(wanted);
    let refused = |why: &str| Refusal(format!("its folder {} {why}", crate::util::visible_line(wanted)));
    let real = path.canonicalize().map_err(|error| refused(&format!("cannot be used: {error}")))?;
    if !real.is_dir() {
        return Err(refused("is no folder"));
    }
    // Both ends resolved, so that no link leads out.
    let inside = |root: &PathBuf| root.canonicalize().is_ok_and(|root| real.starts_with(root));
    if roots.iter().any(inside) { Ok(real) } else { Err(refused("is not below a folder of runner.workdirs")) }
}

fn make(root: &Path, name: &str) -> io::Result<PathBuf> {
    crate::store::ensure_private_dir(root)?;
    let path = root.join(name);
    match DirBuilder::new().mode(0o700).create(&path) {
        // A claim that is begun again after a crash finds its folder.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(path),
        made => made.map(|()| path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_what_is_named_and_no_secret() {
        let env = Environment::of([
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("AWS_SECRET", "x"),
            ("API_KEY", "k"),
            ("DARKMUX_HOME", "/h"),
            ("DARKMUX_REDIS_URL", "redis://:pw@h"),
        ]);
        let child = child_env(&env, &["API_KEY".to_owned()]);
        let names: Vec<_> = child.for_child().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["API_KEY", "DARKMUX_HOME", "LC_ALL", "PATH"]);
        assert_eq!(child.get("DARKMUX_REDIS_URL"), None);
    }
}
