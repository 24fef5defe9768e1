//! Service managers of a test's own: `tests/service/manager.py` under the names of the real programs, which are not on `PATH`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{Home, is_alive, signal};

/// What else is on `PATH`.
const TOOLS: &[&str] = &["cat", "env", "git", "ps", "redis-cli", "redis-server", "sh", "sleep"];

/// A folder of stand-ins. Dropping it ends what they run.
pub struct Managers {
    dir: TempDir,
}

impl Managers {
    /// Stand-ins of these names.
    pub fn of(names: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("dmxsvc").tempdir().expect("a temporary folder");
        let managers = Self { dir };
        fs::create_dir(managers.state("")).expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/manager.py");
        let source = fs::read_to_string(source).expect("the stand-ins");
        let path = std::env::var_os("PATH").expect("PATH");
        for tool in TOOLS {
            let found = std::env::split_paths(&path).map(|dir| dir.join(tool)).find(|path| path.is_file());
            symlink(found.expect("a tool that tests/run installs"), managers.dir.path().join(tool))
                .expect("a link");
        }
        for name in names {
            let path = managers.dir.path().join(name);
            fs::write(&path, format!("#!{} -IS\n{source}", python())).expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        managers
    }

    /// A systemd that does not run, as in a container.
    pub fn none() -> Self {
        let managers = Self::of(&["systemctl"]);
        fs::write(managers.state("offline"), "").expect("a file");
        managers
    }

    /// A home whose commands find these managers, and none of this machine's own.
    pub fn home(&self) -> Home {
        Home::new().with("PATH", self.dir.path().display().to_string())
    }

    /// A file of their state.
    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    /// What they were asked to do since the last time, apart from questions.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.state("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.state("calls"));
        let calls =
            text.lines().map(|line| serde_json::from_str::<Vec<String>>(line).expect("JSON").join(" "));
        let is_question = |call: &String| {
            ["launchctl print", "systemctl --user show", "systemctl --user is-system", "loginctl"]
                .iter()
                .any(|question| call.starts_with(question))
        };
        calls.filter(|call| !is_question(call)).collect()
    }

    /// A service of launchd, as `launchctl` wants it.
    pub fn target(label: &str) -> String {
        format!("gui/{}/{label}", rustix::process::getuid().as_raw())
    }

    fn units(&self) -> Value {
        let text = fs::read_to_string(self.state("units.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Managers {
    fn drop(&mut self) {
        let units = self.units();
        let all = || units.as_object().into_iter().flatten().map(|(_, unit)| unit);
        // First what would start others again.
        for key in ["supervisor", "pid"] {
            for pid in all().filter_map(|unit| unit[key].as_i64()).filter(|pid| is_alive(*pid)) {
                signal(pid, "KILL");
            }
        }
    }
}

/// The interpreter itself, and not what chooses one by the environment.
pub fn python() -> String {
    let said = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let said = said.expect("python3 is installed: tests/run installs it");
    String::from_utf8(said.stdout).expect("a path").trim().to_owned()
}
