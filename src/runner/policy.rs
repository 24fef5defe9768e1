//! What a job of the queue may do on this machine.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Runner;
use super::parked::UNKNOWN_ROLE;
use crate::config::Environment;
use crate::crew::{Crew, CrewError, Role};
use crate::fleet::not_accepted;
use crate::model::Runtime;
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
        Self(in_a_line(&error))
    }
}

/// How long the disk may take to say where a folder is.
const DISK_PATIENCE: Duration = Duration::from_secs(5);

/// Folders that are looked at at a time.
pub const DISKS_MAX: usize = 4;

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

/// The first line of an error: what follows is advice for who sits at this machine.
fn in_a_line(error: &impl fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The role of a job, if it may run here.
pub fn role(runner: &Runner, claim: &Claim) -> Result<Role, Refusal> {
    let role = match Crew::open(&runner.crew).get(&claim.job.role_id) {
        Err(error @ CrewError::UnknownRole { .. }) => {
            return Err(Refusal(format!("{UNKNOWN_ROLE}: {error}")));
        }
        role => role?,
    };
    let accepts = |name: &str| runner.config.accept.iter().any(|one| one == name || one == "*");
    match role.manifest.runtime {
        Runtime::AgentCli | Runtime::Agent => {}
        _ if accepts(role.manifest.id.as_str()) => {}
        _ => {
            let (machine, accept) = (runner.seat.machine.as_str(), &runner.config.accept);
            return Err(Refusal(not_accepted(machine, role.manifest.id.as_str(), accept)));
        }
    }
    role.launcher().map_err(|error| Refusal(in_a_line(&error)))?;
    Ok(role)
}

/// The folder that a job runs in: the one it names, which must lie below an allowed one, or a new one of its own, where
/// the journal is. A disk that hangs keeps the job from starting, and nobody else.
pub async fn workdir(runner: &Runner, claim: &Claim) -> Result<PathBuf, Refusal> {
    let roots = runner.config.workdirs.clone();
    let Some(wanted) = claim.job.workdir.clone() else {
        return own(&roots, claim.id.as_str(), &claim.token);
    };
    // Kept until the disk has answered: one that hangs must not take every thread there is.
    let place = Arc::clone(&runner.disks).acquire_owned();
    let found = async {
        let place = place.await;
        let look = move || {
            let _place = place;
            named(&roots, &wanted)
        };
        tokio::task::spawn_blocking(look).await
    };
    match tokio::time::timeout(DISK_PATIENCE, found).await {
        Ok(Ok(folder)) => folder,
        Ok(Err(error)) => Err(Refusal(format!("its folder cannot be looked at: {error}"))),
        Err(_) => Err(Refusal("the disk of its folder does not answer".to_owned())),
    }
}

fn named(roots: &[PathBuf], wanted: &str) -> Result<PathBuf, Refusal> {
    let path = Path::new(wanted);
    let refused = |why: &str| Refusal(format!("its folder {} {why}", crate::util::visible_line(wanted)));
    let real_root = |root: &PathBuf| root.canonicalize();
    let below = |path: &Path| {
        roots.iter().any(|root| path.starts_with(root))
            || roots.iter().filter_map(|root| real_root(root).ok()).any(|root| path.starts_with(root))
    };
    // By its words first: what is elsewhere is not even looked at.
    if !path.is_absolute() || !below(path) {
        return Err(refused("is not below a folder of runner.workdirs"));
    }
    let real = path.canonicalize().map_err(|error| refused(&format!("cannot be used: {error}")))?;
    if !real.is_dir() {
        return Err(refused("is no folder"));
    }
    // Both ends resolved, so that no link leads out.
    let inside = |root: &PathBuf| real_root(root).is_ok_and(|root| real.starts_with(root));
    if roots.iter().any(inside) {
        Ok(real)
    } else {
        Err(refused("leads out of the folders of runner.workdirs"))
    }
}

/// A folder that nobody used before: named after the job, or, where that one is taken, after this attempt too.
fn own(roots: &[PathBuf], id: &str, token: &str) -> Result<PathBuf, Refusal> {
    let root = roots.first().ok_or_else(|| Refusal("it has no folder to run in".to_owned()))?;
    let failed = |error: io::Error| Refusal(format!("{}: {error}", root.display()));
    crate::store::ensure_private_dir(root).map_err(failed)?;
    let attempt = format!("{id}-{}", &blake3::hash(token.as_bytes()).to_hex()[..8]);
    for name in [id, &attempt] {
        let path = root.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Err(_) => {}
        }
    }
    // This attempt made it before the daemon died.
    let path = root.join(attempt);
    if path.is_dir() { Ok(path) } else { Err(Refusal(format!("{} is no folder", path.display()))) }
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
