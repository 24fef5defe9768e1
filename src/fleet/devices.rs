//! Power supply and graphics processor of this machine, as far as its system tells them.

use std::path::Path;
#[cfg(target_os = "macos")]
use std::process::{Command, Stdio};

/// Whether this machine runs on mains power; one without a battery does. `None` when the system does not say.
pub fn ac_power() -> Option<bool> {
    #[cfg(target_os = "macos")]
    {
        let mut command = Command::new("/usr/bin/pmset");
        let output = command.args(["-g", "batt"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Some(text.lines().next()?.contains("AC Power"))
    }
    #[cfg(not(target_os = "macos"))]
    {
        supplies(Path::new("/sys/class/power_supply"))
    }
}

/// Whose graphics processor this machine has: `apple`, `nvidia`, `amd` or `intel`.
pub fn gpu() -> Option<String> {
    if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        return Some("apple".to_owned());
    }
    if Path::new("/proc/driver/nvidia/version").exists() {
        return Some("nvidia".to_owned());
    }
    cards(Path::new("/sys/class/drm"))
}

/// Most devices that are looked at.
const DEVICES_MAX: usize = 64;

#[cfg(any(test, not(target_os = "macos")))]
fn supplies(dir: &Path) -> Option<bool> {
    let entries = std::fs::read_dir(dir).ok()?;
    let mut battery = false;
    let mut mains = None;
    for entry in entries.flatten().take(DEVICES_MAX) {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        match read("type").trim() {
            // The battery of a mouse is a supply of another scope.
            "Battery" if read("scope").trim() != "Device" => battery = true,
            "Mains" | "USB" => mains = Some(mains.unwrap_or(false) || read("online").trim() == "1"),
            _ => {}
        }
    }
    if battery { mains } else { Some(true) }
}

fn cards(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir).ok()?;
    let vendor = |entry: std::fs::DirEntry| {
        let id = std::fs::read_to_string(entry.path().join("device/vendor")).ok()?;
        // The strongest kind stands first.
        match id.trim() {
            "0x10de" => Some("nvidia"),
            "0x1002" => Some("amd"),
            "0x8086" => Some("intel"),
            _ => None,
        }
    };
    let found: Vec<&str> = entries.flatten().take(DEVICES_MAX).filter_map(vendor).collect();
    ["nvidia", "amd", "intel"].into_iter().find(|name| found.contains(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(dir: &Path, name: &str, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = dir.join(name).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{text}\n")).unwrap();
        }
    }

    #[test]
    fn a_machine_without_a_battery_is_on_mains() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(supplies(&dir.path().join("none")), None);
        assert_eq!(supplies(dir.path()), Some(true));
        device(dir.path(), "mouse", &[("type", "Battery"), ("scope", "Device")]);
        assert_eq!(supplies(dir.path()), Some(true));
        device(dir.path(), "BAT0", &[("type", "Battery")]);
        assert_eq!(supplies(dir.path()), None);
        device(dir.path(), "AC", &[("type", "Mains"), ("online", "0")]);
        assert_eq!(supplies(dir.path()), Some(false));
        device(dir.path(), "AC", &[("online", "1")]);
        assert_eq!(supplies(dir.path()), Some(true));
    }

    #[test]
    fn the_strongest_card_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cards(dir.path()), None);
        device(dir.path(), "card0", &[("device/vendor", "0x1af4")]);
        assert_eq!(cards(dir.path()), None);
        device(dir.path(), "card1", &[("device/vendor", "0x8086")]);
        device(dir.path(), "card2", &[("device/vendor", "0x10de")]);
        assert_eq!(cards(dir.path()).as_deref(), Some("nvidia"));
    }
}
