//! The devcontainer feature: its scripts run in a folder that stands for the container's root.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{BIN, Home, describe, free_port, wait_for};

fn feature() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/devcontainer-feature")
}

/// The feature's folder as it is copied into an image.
fn copied(to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["install.sh", "start.sh"] {
        std::fs::copy(feature().join(name), to.join(name)).unwrap();
    }
}

fn install(home: &Home, folder: &Path, options: &[(&str, &str)]) -> Output {
    let mut command = home.command(folder.join("install.sh").to_str().unwrap());
    command.env("DARKMUX_ROOT", home.path().join("root")).envs(options.iter().copied());
    command.output().unwrap()
}

#[test]
fn the_binary_beside_it_is_installed_and_started_with_the_container() {
    let home = Home::new();
    let folder = home.path().join("feature");
    copied(&folder);
    std::fs::copy(BIN, folder.join("darkmux")).unwrap();
    let installed = install(&home, &folder, &[]);
    assert!(installed.status.success(), "{}", describe(&installed));
    let root = home.path().join("root");
    let state = root.join("var/lib/darkmux");
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o700);

    // As a container runs it: in the background, and then the container's own command.
    let port = free_port();
    let mut command = home.command(root.join("usr/local/share/darkmux/start.sh").to_str().unwrap());
    command.args(["echo", "the container's own command"]);
    command.env("DARKMUX_HOME", &state).env("DARKMUX_SERVE_BIND", "0.0.0.0");
    let started = command.env("DARKMUX_SERVE_PORT", port.to_string()).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&started.stdout),
        "the container's own command\n",
        "{}",
        describe(&started)
    );
    let info: Value = wait_for("the daemon to say its port", || {
        serde_json::from_slice(&std::fs::read(state.join("daemon.json")).ok()?).ok()
    });
    let pid = info["pid"].as_i64().unwrap();
    let _end = End(pid);
    assert_eq!((info["port"].as_u64(), info["bind"].as_str()), (Some(u64::from(port)), Some("0.0.0.0")));
    assert_eq!(std::fs::metadata(state.join("auth-token")).unwrap().mode() & 0o777, 0o600);

    // Who looks inside is told that it is well, though it listens on all addresses.
    let mut doctor = home.command(root.join("usr/local/bin/darkmux").to_str().unwrap());
    let said = describe(&doctor.arg("doctor").env("DARKMUX_HOME", &state).output().unwrap());
    assert!(said.contains("answers at http://localhost:"), "{said}");
    // Another start says in the log that there is one already, and takes nothing of it away.
    let log = || std::fs::read_to_string(state.join("logs/serve.log")).unwrap();
    assert!(log().contains("serving"), "{}", log());
    let mut command = home.command(root.join("usr/local/share/darkmux/start.sh").to_str().unwrap());
    command.arg("true").env("DARKMUX_HOME", &state).env("DARKMUX_SERVE_BIND", "0.0.0.0").output().unwrap();
    wait_for("the second to say why it ends", || log().contains("already runs").then_some(()));
    assert!(log().contains("serving"), "{}", log());
}

/// Ends the daemon that the script started.
struct End(i64);

impl Drop for End {
    fn drop(&mut self) {
        crate::support::signal(self.0, "KILL");
    }
}

#[test]
fn a_release_is_fetched_and_its_checksum_counts() {
    let home = Home::new();
    let folder = home.path().join("feature");
    copied(&folder);
    let none = install(&home, &folder, &[]);
    assert!(!none.status.success() && describe(&none).contains("beside install.sh"), "{}", describe(&none));

    let arch = std::env::consts::ARCH;
    let name = format!("darkmux-v1.2.3-{arch}-unknown-linux-gnu");
    let releases = home.path().join("releases/v1.2.3");
    let packed = releases.join(&name);
    std::fs::create_dir_all(&packed).unwrap();
    symlink(BIN, packed.join("darkmux")).unwrap();
    let script = format!("tar -chzf {name}.tar.gz {name} && sha256sum {name}.tar.gz >{name}.tar.gz.sha256");
    let made = Command::new("sh").args(["-c", &script]).current_dir(&releases).output().unwrap();
    assert!(made.status.success(), "{}", describe(&made));
    let url = format!("file://{}", home.path().join("releases").display());
    let options = [("VERSION", "1.2.3"), ("RELEASES", url.as_str())];
    let installed = install(&home, &folder, &options);
    assert!(installed.status.success(), "{}", describe(&installed));
    let binary = home.path().join("root/usr/local/bin/darkmux");
    assert!(Command::new(&binary).arg("--version").output().unwrap().status.success());

    std::fs::write(releases.join(format!("{name}.tar.gz")), "another").unwrap();
    let other = install(&home, &folder, &options);
    assert!(!other.status.success() && describe(&other).contains("checksum"), "{}", describe(&other));
}

#[test]
fn the_description_names_what_the_scripts_and_the_daemon_use() {
    let text = std::fs::read_to_string(feature().join("devcontainer-feature.json")).unwrap();
    let feature: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(feature["options"]["version"]["default"], env!("CARGO_PKG_VERSION"));
    assert_eq!(feature["entrypoint"], "/usr/local/share/darkmux/start.sh");
    assert_eq!(feature["containerEnv"]["DARKMUX_HOME"], feature["mounts"][0]["target"]);
    assert!(feature["containerEnv"]["DARKMUX_SERVE_BIND"].is_string());
}
