//! This machine's hardware.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What is known of the hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// Name of the processor.
    pub cpu_brand: Option<String>,
    /// Such as `linux x86_64`.
    pub os: String,
    /// Memory of the machine, in bytes.
    pub ram_total: Option<u64>,
    /// Memory that could still be used, in bytes.
    pub ram_available: Option<u64>,
}

/// Asks the system. May block for some milliseconds.
pub fn hardware() -> Hardware {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let brand =
        system.as_ref().and_then(|system| system.cpus().first()).map(|cpu| cpu.brand().trim().to_owned());
    let known = |bytes: u64| (bytes > 0).then_some(bytes);
    Hardware {
        cpu_brand: brand.filter(|brand| !brand.is_empty()),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ram_total: system.as_ref().map(System::total_memory).and_then(known),
        ram_available: system.as_ref().map(System::available_memory).and_then(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_machine_is_known() {
        let found = hardware();
        assert!(found.ram_total > Some(64 * 1024 * 1024), "{found:?}");
        assert!(found.ram_available <= found.ram_total, "{found:?}");
        assert!(found.os.contains(' '), "{found:?}");
    }
}
