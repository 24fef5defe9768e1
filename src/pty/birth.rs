//! Telling a process from another one that got its number later.

/// What only this process has of all that have, had or will have its number: when it began, in which life of the system. It
/// is compared and never read. `None` where no process of this number lives; a zombie does nothing more.
#[cfg(target_os = "linux")]
pub fn birth(pid: u32) -> Option<String> {
    use std::io::Read as _;
    let mut stat = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.take(STAT_MAX).read_to_end(&mut stat).ok()?;
    let began = began_of(&stat)?;
    // The clock's ticks count from the system's start.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{began}@{}", boot.trim()))
}

/// More than all of /proc/PID/stat.
#[cfg(target_os = "linux")]
const STAT_MAX: u64 = 4096;

/// The start of a living process, from its /proc/PID/stat.
#[cfg(target_os = "linux")]
fn began_of(stat: &[u8]) -> Option<u64> {
    // The name in parentheses may hold anything, parentheses and blanks too.
    let after_name = memchr::memrchr(b')', stat)?;
    let mut fields = std::str::from_utf8(&stat[after_name + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let began = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(began)
}

/// What only this process has of all that have, had or will have its number. `None` where no process of this number
/// lives.
#[cfg(not(target_os = "linux"))]
pub fn birth(pid: u32) -> Option<String> {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
    let mut system = System::new().ok()?;
    let (pid, what) = (Pid::from_u32(pid), ProcessRefreshKind::nothing().without_tasks());
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let process = system.process(pid)?;
    (process.status() != ProcessStatus::Zombie).then(|| process.start_time().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_birth_and_none_after_its_end() {
        let own = birth(std::process::id()).unwrap();
        assert_eq!(birth(std::process::id()), Some(own.clone()));
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let of_child = birth(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(birth(child.id()), None);
        assert!(cfg!(not(target_os = "linux")) || of_child != own, "{own}");
        assert_eq!(birth(u32::MAX), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_start_is_read_behind_any_name_and_of_the_living_alone() {
        let rest = "1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 8544256 215";
        assert_eq!(began_of(format!("7 (a) S 9 (b) S {rest}").as_bytes()), Some(12345));
        assert_eq!(began_of(format!("7 (sh) Z {rest}").as_bytes()), None);
        assert_eq!(began_of(b"7 (sh) S 1 7 7"), None);
        assert_eq!(began_of(b""), None);
    }
}
